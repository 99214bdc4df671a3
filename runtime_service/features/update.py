"""Brings the features of a group up to date: a new snapshot or schema, and what was put since. Runs in a thread."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import PurePosixPath
from typing import Final

from common.avro import AvroSchema
from common.deletions import DeletedUsers
from common.features import Features, FeatureSnapshot, Put
from common.features.snapshot import ID_COLUMNS
from common.positions import Lineage
from runtime_service.features.groups import GroupFeatures, GroupMeaning
from runtime_service.features.put_values import read_puts
from runtime_service.features.users import UserFeatures
from runtime_service.history import HistoryReader, PutsMark

__all__ = ["GroupState", "updated_group"]

_PAGE: Final = 1000
_PUT_ONLY_READ: Final = ("ITEMS", "ACTIONS")


@dataclass(frozen=True, slots=True, eq=False)
class _Followed:
    """Features of a dataset, and what they were made of.

    Attributes:
        features: With all puts up to the cursor.
        schema: Of the dataset.
        contained: Up to this offset the snapshot has all puts.
        cursor: Up to this offset puts were read.
    """

    features: Features
    schema: AvroSchema
    contained: int
    cursor: int


@dataclass(frozen=True, slots=True, eq=False)
class GroupState:
    """A group as the last update left it.

    Attributes:
        group: For requests.
        generation: Of the puts that it was made of.
    """

    group: GroupFeatures
    generation: int
    followed: Mapping[str, _Followed] = field(default_factory=dict)


def updated_group(
    meaning: GroupMeaning,
    before: GroupState | None,
    *,
    snapshots: Mapping[str, FeatureSnapshot | None],
    reader: HistoryReader,
    mark: PutsMark,
    lineage: Lineage,
    read_deletion: Callable[[str], DeletedUsers | None],
) -> GroupState:
    """Return a group as it is now.

    Args:
        meaning: What the control plane says of it.
        before: As it was.
        snapshots: By type of dataset those in force; None for a dataset that has none yet, missing where one is not
            loaded.
        reader: Has what was put.
        mark: Read before the rest.
        lineage: Of the log that was put.
        read_deletion: Reads a deletion of users; None for one that is gone with its group.

    Raises:
        Unavailable: A deletion cannot be read.
    """
    followed: dict[str, _Followed] = {}
    for kind in _PUT_ONLY_READ:
        if kind not in snapshots or kind not in meaning.schemas:
            continue
        snapshot, schema = snapshots[kind], meaning.schemas[kind]
        contained = 0 if snapshot is None else lineage.shared(snapshot.position)
        last = None if before is None or before.generation != mark.generation else before.followed.get(kind)
        if last is None or (last.features.snapshot, last.schema, last.contained) != (snapshot, schema, contained):
            last = _Followed(Features.of(snapshot, schema, offset=contained), schema, contained, contained)
        followed[kind] = _with_puts(last, meaning.arn, kind, reader)
    users = None
    if "USERS" in snapshots and "USERS" in meaning.schemas:
        last_users = None if before is None else before.group.users
        users = _users(meaning, snapshots["USERS"], last_users, reader, lineage, read_deletion)
    group = GroupFeatures(meaning, {kind: one.features for kind, one in followed.items()}, users)
    return GroupState(group, mark.generation, followed)


def _with_puts(before: _Followed, group_arn: str, kind: str, reader: HistoryReader) -> _Followed:
    # Laid over the features at once: page by page would index the same again and again.
    read, cursor = list[Put](), before.cursor
    while page := reader.puts(group_arn, kind, after=cursor, limit=_PAGE):
        read += read_puts(page, before.schema, id_column=ID_COLUMNS[kind])
        cursor = page[-1].offset
    return _Followed(before.features.with_puts(read), before.schema, before.contained, cursor)


def _users(
    meaning: GroupMeaning,
    snapshot: FeatureSnapshot | None,
    before: UserFeatures | None,
    reader: HistoryReader,
    lineage: Lineage,
    read_deletion: Callable[[str], DeletedUsers | None],
) -> UserFeatures:
    contained = 0 if snapshot is None else lineage.shared(snapshot.position)
    # By name, not by position: a deletion ends long after the log says that it began, and snapshots are made meanwhile.
    obeyed = set() if snapshot is None else set(snapshot.manifest.deletions)
    noted = [place for _, place in reader.deletions(meaning.arn) if PurePosixPath(place).name not in obeyed]
    read = {} if before is None else {deletion.location: deletion for deletion in before.deletions}
    deletions = [read[place] if place in read else read_deletion(place) for place in noted]
    return UserFeatures(meaning.schemas["USERS"], snapshot, contained, [one for one in deletions if one is not None])
