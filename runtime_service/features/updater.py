"""Keeps what a worker knows of dataset groups up to date: what is assigned, snapshots, and what is put.

Everything is made in threads and put in place at once, so that a request sees one state from begin to end and waits for
none to be made. A snapshot that cannot be opened is tried again for as long as it is assigned, and the one before it
stays in force.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, NamedTuple, Protocol

from common.deletions import DeletedUsers
from common.errors import InvalidInput
from common.features import Features, FeatureSnapshot
from common.features.snapshot import ID_COLUMNS
from common.logs import get_logger
from common.positions import START, Lineage, Position
from common.process.backoff import BackoffPolicy
from common.process.contact import PeerContact
from common.telemetry import NO_FIGURES, Figures
from common.vocabulary import Vocabulary
from inference.encoded_items import EncodedNewItems, encoded_new_items
from inference.filter_table import FilterTable, StaticPart
from inference.model import Model
from inference.new_items import NewIds
from protos.tailorbird.internal.v1.serving_pb2 import ServingDatasetGroup
from runtime_service.features.groups import GroupFeatures, GroupMeaning
from runtime_service.features.update import GroupState, updated_group
from runtime_service.figures import UPKEEP_FAILURES
from runtime_service.history import HistoryReader, Progress, PutsMark
from runtime_service.history.held import Held
from runtime_service.serving.deployments import Deployment, DeploymentTable

__all__ = ["FeatureUpdater", "Opener"]

#: Pause between two looks at what was put, and how many times as long as an update took the next pause is at least.
_PAUSE_SECONDS, _PAUSE_FACTOR, _LONGEST_PAUSE_SECONDS = 0.1, 3.0, 5.0
_OPEN_BACKOFF: Final = BackoffPolicy(first_seconds=0.5, longest_seconds=30.0, jitter=0.5)
#: Short, as what one group trips over must not make the others late.
_UPDATE_BACKOFF: Final = BackoffPolicy(first_seconds=0.05, longest_seconds=0.5, jitter=0.5)
#: Snapshots that are opened at a time: each takes a thread, of which requests and updates need some as well.
_OPENED_AT_ONCE: Final = 2
#: How long a new deployment waits for the features of its group before it serves without them.
_PREPARED_SECONDS: Final = 10.0
#: What tells that nothing was ever put.
_NO_PUTS: Final = PutsMark(0, 0)
#: Dataset group, identity of a model's ids, and the type of the dataset that they are of.
_Key = tuple[str, int, str]
_log = get_logger(__name__)


class Opener(Protocol):
    """Opens snapshots, in any thread."""

    def open(self, location: str) -> FeatureSnapshot:
        """Open and verify a snapshot."""

    def read_deletion(self, location: str) -> DeletedUsers | None:
        """Return a deletion of users; None for one that is gone with its group."""

    def forget_others(self, locations: Sequence[str]) -> None:
        """Keep local copies of these snapshots alone."""


@dataclass(slots=True, eq=False)
class _Group:
    """A group that is assigned.

    Attributes:
        message: As the control plane gave it.
        meaning: The same, read; None before the first update.
        snapshots: By type of dataset, those in force.
        locations: Of those.
        opens: By type of dataset, the location that is being opened, if another one is assigned, and what opens it.
        failed: Types of datasets whose assigned snapshot could not be opened.
        state: As the last update left it.
        tried: Set once every dataset is in force or has failed to open, and requests can see it.
    """

    message: ServingDatasetGroup
    meaning: GroupMeaning
    snapshots: dict[str, FeatureSnapshot | None] = field(default_factory=dict)
    locations: dict[str, str] = field(default_factory=dict)
    opens: dict[str, tuple[str, asyncio.Task[None]]] = field(default_factory=dict)
    failed: set[str] = field(default_factory=set)
    state: GroupState | None = None
    tried: asyncio.Event = field(default_factory=asyncio.Event)


@dataclass(frozen=True, slots=True, eq=False)
class _Ids:
    """The ids of a model that filters choose from, and the features of its group.

    Attributes:
        model: Of one of the deployments that have the ids.
        items: Of its items or actions.
        new_ids: Indexes of items that came after it; None for actions.
        features: None where the group has no such dataset.
    """

    model: Model
    items: Vocabulary
    new_ids: NewIds | None
    features: Features | None

    def fits(self, table: FilterTable) -> bool:
        """Return whether a table has all that is known now."""
        n_new = 0 if self.new_ids is None else len(self.new_ids)
        return table.features is self.features and table.n_items == len(self.items) + n_new

    def bound(self, before: FilterTable | None, recent: Sequence[tuple[str, StaticPart]] = ()) -> FilterTable:
        """Return a table of what is known now."""
        scan = None if self.items is not self.model.items else self.model.scan
        return FilterTable.of(self.items, self.features, new_ids=self.new_ids, scan=scan, before=before, recent=recent)


class _Made(NamedTuple):
    """What is made anew, by the ids that it is of.

    Attributes:
        tables: Of filters; those of before where one cannot be made.
        encoded: New items, likewise.
        failures: What could not be made.
    """

    tables: dict[_Key, FilterTable]
    encoded: dict[_Key, EncodedNewItems]
    failures: dict[_Key, Exception]


class FeatureUpdater:
    """Follows features for as long as it is run; used on one event loop.

    Args:
        reader: Has what was put.
        opener: Opens snapshots.
        deployments: What is served; their models get tables of filters.
        note_held: Takes the positions that the snapshots in force contain, in a thread; whoever prunes reads them.
        figures: Count rounds that failed.
    """

    def __init__(
        self,
        reader: HistoryReader,
        opener: Opener,
        *,
        deployments: DeploymentTable,
        note_held: Callable[[Held], None],
        figures: Figures = NO_FIGURES,
    ) -> None:
        self._reader = reader
        self._opener = opener
        self._deployments = deployments
        self._note_held = note_held
        self._groups: dict[str, _Group] = {}
        self._tables: dict[_Key, FilterTable] = {}
        self._encoded: dict[_Key, EncodedNewItems] = {}
        self._changed = asyncio.Event()
        self._seen: tuple[PutsMark, Lineage] | None = None
        self._looked = START
        self._behind: dict[str, Position] = {}
        self._noted: tuple[Held, list[str]] | None = None
        self._opening = asyncio.Semaphore(_OPENED_AT_ONCE)
        self._coming: list[Deployment] = []
        self._failures: Mapping[_Key, Exception] = {}
        self._round_ended = asyncio.Event()  # another one for each round
        self._failed_rounds = figures.counter(UPKEEP_FAILURES, "features")

    def assign(self, messages: Iterable[ServingDatasetGroup]) -> None:
        """Follow these groups from now on, and no others."""
        by_arn = {message.dataset_group_arn: message for message in messages}
        for arn in self._groups.keys() - by_arn.keys():
            for _, task in self._groups.pop(arn).opens.values():
                task.cancel()
        for arn, message in by_arn.items():
            before = self._groups.get(arn)
            if before is not None and before.message == message:
                continue
            try:
                meaning = GroupMeaning.read(message)
            except InvalidInput as error:
                _log.error("dataset_group_unreadable", dataset_group_arn=arn, message=error.message)
                continue
            if before is None:
                self._groups[arn] = _Group(message, meaning)
            else:
                before.message, before.meaning = message, meaning
        self._changed.set()

    def find(self, dataset_group_arn: str) -> GroupFeatures | None:
        """Return a group as it is now; None for one that is not assigned or was never made."""
        group = self._groups.get(dataset_group_arn)
        return None if group is None or group.state is None else group.state.group

    def filter_group(self, filter_arn: str) -> str | None:
        """Return the dataset group that a filter belongs to; None for one that is not assigned."""
        return next((arn for arn, group in self._groups.items() if filter_arn in group.meaning.filters), None)

    def oldest_snapshot(self) -> float | None:
        """Return when the oldest snapshot in force was made, in seconds since 1970; None where there is none."""
        snapshots = [snapshot for group in self._groups.values() for snapshot in group.snapshots.values()]
        return min(
            (one.manifest.created_at.ToMilliseconds() / 1000 for one in snapshots if one is not None), default=None
        )

    def included(self, progress: Progress, dataset_group_arn: str) -> int:
        """Return up to which offset answers of a group include the log.

        Args:
            progress: How far the histories are; what was put last may not be in the features yet.
            dataset_group_arn: The group; one whose puts cannot be read is behind the others.
        """
        if (behind := self._behind.get(dataset_group_arn)) is not None:
            return min(progress.lineage.shared(behind), progress.offset)
        if progress.puts == (_NO_PUTS if self._seen is None else self._seen[0]):
            return progress.offset
        return min(progress.lineage.shared(self._looked), progress.offset)

    async def filter_table(self, deployment: Deployment, dataset_type: str) -> FilterTable:
        """Return what filters of a deployment are evaluated over.

        Raises:
            Unavailable: The features are not loaded yet.
        """
        group = self.find(deployment.assignment.dataset_group_arn)
        features = None if group is None else group.of(dataset_type)
        key = _key(deployment, dataset_type)
        made = self._tables.get(key)
        if made is None:
            table = await asyncio.to_thread(_ids(deployment, dataset_type, features).bound, None)
            made = self._tables.setdefault(key, table)
        return made

    async def prepared(self, dataset_group_arn: str) -> None:
        """Wait until the features of a group are there, or have failed to load, for some seconds at most."""
        group = self._groups.get(dataset_group_arn)
        if group is None:
            return
        try:
            await asyncio.wait_for(group.tried.wait(), _PREPARED_SECONDS)
        except TimeoutError:
            _log.warning("features_late", dataset_group_arn=dataset_group_arn)

    async def in_force(self, dataset_group_arn: str) -> None:
        """Return once requests see what was last assigned of a group; the caller bounds the time."""
        while (group := self._groups.get(dataset_group_arn)) is not None:
            if group.state is not None and group.state.group.meaning is group.meaning:
                return
            await self._round_ended.wait()

    @asynccontextmanager
    async def bound(self, deployment: Deployment) -> AsyncIterator[None]:
        """Make what filters of a deployment are evaluated over, before requests may name one.

        The features of its group are waited for until they are there or have failed to load, and then what is made of
        them, for some seconds at most each. What was made stays while this is open, though nothing serves it yet.
        """
        self._coming.append(deployment)
        try:
            await self.prepared(deployment.assignment.dataset_group_arn)
            try:
                async with asyncio.timeout(_PREPARED_SECONDS):
                    while self._lacks(deployment):
                        self._changed.set()
                        await self._round_ended.wait()
            except TimeoutError:
                _log.warning("filter_table_late", campaign_arn=deployment.assignment.campaign_arn)
            yield
        finally:
            self._coming.remove(deployment)

    def _lacks(self, deployment: Deployment) -> bool:
        """Return whether something is still to be made of a deployment's features, and was not tried in vain."""
        groups = {arn: group.state.group for arn, group in self._groups.items() if group.state is not None}
        keys = _assigned_tables([deployment], groups).keys()
        return any(key not in self._tables and key not in self._failures for key in keys)

    async def run(self) -> None:
        """Follow until cancelled."""
        contact, clock = PeerContact(backoff=_UPDATE_BACKOFF, quiet_seconds=0.0), asyncio.get_running_loop().time
        async with asyncio.TaskGroup() as tasks:
            while True:
                is_changed = self._changed.is_set()
                self._changed.clear()
                began, pause = clock(), _PAUSE_SECONDS
                try:
                    if is_changed:
                        self._begin_opens(tasks)
                    if await self._update(is_changed=is_changed):
                        pause = min(max(pause, _PAUSE_FACTOR * (clock() - began)), _LONGEST_PAUSE_SECONDS)
                        contact.succeeded("features_updated")
                except Exception as error:  # noqa: BLE001 -- a bug stops nothing that is served; `failed` logs its trace
                    self._changed.set()
                    self._failed_rounds.add()
                    pause = contact.failed("features_not_updated", error)
                    await asyncio.sleep(pause)
                    continue
                finally:
                    self._round_ended.set()
                    self._round_ended = asyncio.Event()
                try:
                    await asyncio.wait_for(self._changed.wait(), pause)
                except TimeoutError:
                    continue

    def _begin_opens(self, tasks: asyncio.TaskGroup) -> None:
        """Open what is assigned and not in force; drop what is assigned no longer."""
        for group in self._groups.values():
            assigned = {kind: place for kind, place in group.meaning.locations.items() if kind in ID_COLUMNS}
            for kind in group.snapshots.keys() - assigned.keys():
                group.snapshots.pop(kind)
                group.locations.pop(kind)
            for kind, (location, task) in list(group.opens.items()):
                if assigned.get(kind) != location:
                    task.cancel()
                    del group.opens[kind]
            for kind, location in assigned.items():
                is_in_force = kind in group.snapshots and group.locations[kind] == location
                if is_in_force or kind in group.opens:
                    continue
                if not location:
                    group.snapshots[kind], group.locations[kind] = None, ""
                else:
                    group.opens[kind] = location, tasks.create_task(self._open(group, kind, location))

    async def _open(self, group: _Group, kind: str, location: str) -> None:
        """Open a snapshot, again and again until it is there; cancelled when it is assigned no longer."""
        contact = PeerContact(backoff=_OPEN_BACKOFF, quiet_seconds=0.0)
        while True:
            try:
                async with self._opening:
                    snapshot = await asyncio.to_thread(self._opener.open, location)
                break
            except Exception as error:  # noqa: BLE001 -- what one snapshot trips over must not end the worker
                pause = contact.failed("features_not_loaded", error)
            group.failed.add(kind)
            self._changed.set()
            await asyncio.sleep(pause)
        contact.succeeded("features_loaded")
        group.snapshots[kind], group.locations[kind] = snapshot, location
        group.failed.discard(kind)
        group.opens.pop(kind)
        self._changed.set()

    async def _update(self, *, is_changed: bool) -> bool:
        """Make everything anew of which a part has changed; return whether something had."""
        progress = self._reader.progress()
        seen = progress.puts, progress.lineage
        now = {arn: group.state.group for arn, group in self._groups.items() if group.state is not None}
        if not is_changed and seen == self._seen and not self._lacks_tables(now):
            self._looked = progress.position
            return False
        states, failures, behind = dict[str, GroupState](), list[Exception](), set[str]()
        tried = list(self._groups.items())  # others may be assigned meanwhile
        for arn, group in tried:
            try:
                states[arn] = await self._state(group, *seen)
            except Exception as error:  # noqa: BLE001 -- what one group lacks keeps no other one waiting; raised below
                error.add_note(f"dataset group {arn}")
                failures.append(error)
                behind.add(arn)
        groups = {**now, **{arn: state.group for arn, state in states.items()}}
        recent = {key: table.recent_parts() for key, table in self._tables.items()}
        assigned = self._assigned_tables(groups)
        made = await asyncio.to_thread(_made, assigned, self._tables, self._encoded, recent)
        # Offsets promise what filters read, and not the vectors of new items, which take several rounds anyhow.
        behind |= {
            key[0] for key in made.failures if key not in made.tables or not assigned[key].fits(made.tables[key])
        }
        failures += made.failures.values()
        # All at once, so that a request sees one state.
        self._tables, self._encoded, self._failures = made
        for key, ids in assigned.items():
            if key in self._encoded:
                ids.model.new_items.current = self._encoded[key].current
        for arn, group in self._groups.items():
            group.state = states.get(arn, group.state)
        # Of before what failed: whoever waits for what was put since, waits until it is there.
        self._behind = {arn: self._behind.get(arn, self._looked) for arn in behind}
        self._seen, self._looked = seen, progress.position
        await self._tell_held()
        for _, group in tried:
            waited_for = group.meaning.locations.keys() & ID_COLUMNS.keys()
            loaded = set() if group.state is None else group.state.group.loaded_types()
            if waited_for <= loaded | group.failed:
                group.tried.set()
        if failures:
            raise failures[0] if len(failures) == 1 else ExceptionGroup("several groups", failures)
        return True

    async def _state(self, group: _Group, mark: PutsMark, lineage: Lineage) -> GroupState:
        return await asyncio.to_thread(
            updated_group,
            group.meaning,
            group.state,
            snapshots=dict(group.snapshots),
            reader=self._reader,
            mark=mark,
            lineage=lineage,
            read_deletion=self._opener.read_deletion,
        )

    def _lacks_tables(self, groups: Mapping[str, GroupFeatures]) -> bool:
        """Return whether a model has no table, one of other features, or new items that are not encoded yet.

        A request may have made a table meanwhile, and events may have named new items.
        """
        return any(
            key not in self._tables
            or not ids.fits(self._tables[key])
            or not (ids.new_ids is None or (key in self._encoded and self._encoded[key].is_complete))
            for key, ids in self._assigned_tables(groups).items()
        )

    def _assigned_tables(self, groups: Mapping[str, GroupFeatures]) -> dict[_Key, _Ids]:
        """Return the ids of each model that filters choose from, with the features of its group."""
        return _assigned_tables([*self._deployments.all(), *self._coming], groups)

    async def _tell_held(self) -> None:
        """Say what the snapshots in force contain, and remove copies of those that are not."""
        held: dict[tuple[str, str], Position] = {}
        for arn, group in self._groups.items():
            if group.state is not None:
                held |= {(arn, kind): snapshot.position for kind, snapshot in group.state.group.snapshots().items()}
        names = {place for group in self._groups.values() for place in group.locations.values()}
        assigned = {place for group in self._groups.values() for place in group.meaning.locations.values()}
        noted = held, sorted((names | assigned) - {""})
        if noted != self._noted:
            try:
                await asyncio.to_thread(self._note_held, held)
            except OSError as error:
                _log.warning("held_positions_not_written", cause=str(error))
                return
            self._noted = noted
            await asyncio.to_thread(self._opener.forget_others, noted[1])


def _assigned_tables(deployments: Iterable[Deployment], groups: Mapping[str, GroupFeatures]) -> dict[_Key, _Ids]:
    assigned: dict[_Key, _Ids] = {}
    for deployment in deployments:
        group = groups.get(deployment.assignment.dataset_group_arn)
        if group is None:
            continue
        for kind in ("ITEMS", "ACTIONS") if deployment.model.action_ids else ("ITEMS",):
            if kind in group.features or kind not in group.meaning.schemas:
                assigned[_key(deployment, kind)] = _ids(deployment, kind, group.features.get(kind))
    return assigned


def _made(
    assigned: Mapping[_Key, _Ids],
    before: Mapping[_Key, FilterTable],
    encoded_before: Mapping[_Key, EncodedNewItems],
    recent: Mapping[_Key, Sequence[tuple[str, StaticPart]]],
) -> _Made:
    """Make what is not as it should be; what one model trips over stays as it was, and stops no other one."""
    made = _Made({}, {}, {})
    for key, ids in assigned.items():
        last = before.get(key)
        try:
            table = last if last is not None and ids.fits(last) else ids.bound(last, recent.get(key, ()))
            made.tables[key] = table
            if ids.new_ids is not None:
                made.encoded[key] = encoded_new_items(ids.model, table, encoded_before.get(key) or EncodedNewItems())
        except Exception as error:  # noqa: BLE001 -- raised once everything else is in place
            error.add_note(f"dataset group {key[0]}, {key[2]}")
            made.failures[key] = error
            if last is not None:
                made.tables.setdefault(key, last)
            if key in encoded_before:
                made.encoded[key] = encoded_before[key]
    return made


def _vocabulary(deployment: Deployment, dataset_type: str) -> Vocabulary:
    return deployment.model.items if dataset_type == "ITEMS" else deployment.model.actions


def _ids(deployment: Deployment, dataset_type: str, features: Features | None) -> _Ids:
    model = deployment.model
    new_ids = model.new_items.ids if dataset_type == "ITEMS" else None
    return _Ids(model, _vocabulary(deployment, dataset_type), new_ids, features)


def _key(deployment: Deployment, dataset_type: str) -> _Key:
    return deployment.assignment.dataset_group_arn, id(_vocabulary(deployment, dataset_type)), dataset_type
