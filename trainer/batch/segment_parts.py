"""Answers parts of segment jobs: a line names an item, or attributes of items, and gets the users most likely to come.

It runs in processes of its own, which keep the model from one part to the next.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

import numpy as np
import orjson
from numpy.typing import NDArray
from pyroaring import FrozenBitMap

from common.errors import InvalidInput, invalid
from common.filters import MAX_LENGTH
from common.host_copies import HostCopies
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.vocabulary import Vocabulary
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.catalog import get_recipe
from recipes.data.histories import ItemIndexes
from recipes.registry import open_scorer
from trainer.batch.caches import usable_cache
from trainer.batch.inputs import LinePart
from trainer.batch.lines import Answers, Line, filter_values, read_lines, text_member
from trainer.batch.results import PartResult

if TYPE_CHECKING:  # the registry imports it where a model is opened, with Numba and what that compiles
    from recipes.models.user_segments.score import UserSegments

__all__ = ["PassingUsers", "SegmentModel", "SegmentPart", "answer", "open_segments", "values_key"]

_OPERATION: Final = "CreateBatchSegmentJob"
#: Users whose ids are written at a time.
_IDS_AT_ONCE: Final = 50_000
_MEANINGS: Final = {"itemId": "the id of an item", "itemAttributes": "an attribute expression"}

#: By values of a filter's parameters, see `values_key`: who passes, a serialized bitmap, or why the values are wrong.
PassingUsers = Mapping[frozenset[tuple[str, str]], bytes | str]


@dataclass(frozen=True, slots=True)
class SegmentModel:
    """Where a process finds the model; the same for all parts of a job.

    Attributes:
        store: Of the artifact.
        location: Of the artifact in the store.
        cache: Folder for a copy of it, where the store is not local.
    """

    store: StoreSettings
    location: str
    cache: Path


@dataclass(frozen=True, slots=True)
class SegmentPart:
    """A part, and what its answer needs.

    Attributes:
        lines: What is asked.
        model: Who answers.
        size: Users of a segment at most.
        passing: Of each line's values; None without a filter.
    """

    lines: LinePart
    model: SegmentModel
    size: int
    passing: PassingUsers | None


@dataclass(frozen=True, slots=True)
class _Query:
    """A line that can be answered.

    Attributes:
        line: As it was read.
        items: Whose users are looked for.
        allowed: Who may be listed, a serialized bitmap; None for everybody.
    """

    line: Line
    items: ItemIndexes
    allowed: bytes | None


def open_segments(model: SegmentModel) -> UserSegments:
    """Open what ranks users.

    Raises:
        InvalidInput: The artifact ranks none.
        ResourceNotFound: There is no such artifact.
        CorruptArtifact: It is damaged.
        Unavailable: The store cannot be reached.
    """
    artifact = HostCopies(open_store(model.store), usable_cache(model.cache)).open(model.location, ArtifactManifest)
    recipe = get_recipe(artifact.manifest.recipe)
    if recipe.kind.batch_operation != _OPERATION:
        raise invalid("solutionVersionArn", got=f"a version of {recipe.name}", want="one of a recipe that ranks users")
    return cast("UserSegments", open_scorer(recipe, artifact.folder))


def values_key(values: Mapping[str, str]) -> frozenset[tuple[str, str]]:
    """Return what `PassingUsers` finds values by."""
    return frozenset(values.items())


def answer(part: SegmentPart) -> PartResult:
    """Answer a part; see `open_segments` for errors, those of a line are its answer."""
    segments, gathered = _opened(part.model), Answers()
    queries = [_read(line, segments, part.passing) for line in read_lines(part.lines.data, first=part.lines.first)]
    answerable = [query for query in queries if isinstance(query, _Query)]
    masks = _Masks(answerable, segments.scorer.n_users)
    ranked = segments.rank([query.items for query in answerable], part.size, allowed=masks)
    for query in queries:
        if isinstance(query, _Query):
            ids = orjson.Fragment(_json_ids(segments.users, next(ranked)))
            gathered.add(query.line, {"usersList": ids, "recommendedUsers": ids})
        else:
            gathered.fail(*query)
    return PartResult(gathered.content(), gathered.answered, gathered.failed)


@lru_cache(maxsize=1)
def _opened(model: SegmentModel) -> UserSegments:
    return open_segments(model)


def _read(line: Line, segments: UserSegments, passing: PassingUsers | None) -> _Query | tuple[Line, str]:
    """Return a query, or a line and why it cannot be answered."""
    if line.members is None:
        return line, line.problem
    try:
        query = text_member(line.members, segments.member, meaning=_MEANINGS[segments.member], longest=MAX_LENGTH)
        values = filter_values(line.members)
        if values and passing is None:
            raise invalid("filterValues", got=sorted(values), want="none: the job has no filterArn")
        allowed = None if passing is None else passing[values_key(values)]
        if isinstance(allowed, str):
            return line, allowed
        return _Query(line, segments.items_of(query), allowed)
    except InvalidInput as error:
        return line, error.message


class _Masks(Sequence[NDArray[np.bool_] | None]):
    """Who may be listed for each query, made when it is looked at: a mask has a byte for each user.

    Args:
        queries: In their order.
        n_users: Of the model.
    """

    def __init__(self, queries: Sequence[_Query], n_users: int) -> None:
        self._queries = queries
        self._n_users = n_users
        self._last: tuple[bytes, NDArray[np.bool_]] | None = None

    def __len__(self) -> int:
        return len(self._queries)

    def __getitem__(self, place: Any) -> Any:
        allowed = self._queries[place].allowed
        if allowed is None:
            return None
        if self._last is None or self._last[0] is not allowed:
            mask = np.zeros(self._n_users, bool)
            mask[np.frombuffer(FrozenBitMap.deserialize(allowed).to_array(), np.uint32)] = True
            self._last = allowed, mask
        return self._last[1]


def _json_ids(users: Vocabulary, chosen: NDArray[np.int32]) -> bytes:
    """Return ids as a JSON list; texts of the ids are made for some at a time."""
    parts = [
        orjson.dumps(users.ids(chosen[begin : begin + _IDS_AT_ONCE].tolist()))[1:-1]
        for begin in range(0, len(chosen), _IDS_AT_ONCE)
    ]
    return b"[" + b",".join(parts) + b"]"
