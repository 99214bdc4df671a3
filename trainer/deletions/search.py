"""Does searches for a user: looks into every table, the event log, and every artifact of a dataset group.

The user comes as a digest, so that the proof that an id is nowhere does not keep it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Final, Protocol

from common.clock import Clock
from common.deletions import (
    DeletedUsers,
    DigestSet,
    list_deletions,
    read_deletion,
    read_report,
)
from common.errors import CorruptArtifact, LimitExceeded, ResourceNotFound, TailorbirdError, invalid
from common.feature_folders import features_folder
from common.storage import Store
from common.table_deletions import ErasableTable
from protos.tailorbird.control.v1 import user_search_service_pb2 as api
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.deletions.artifacts import StoredModel, feature_snapshots, models_of_group
from trainer.deletions.table_search import search_table
from trainer.deletions.tables import sessions_of
from trainer.worker import JobContext
from trainer.workspace import Workspace

__all__ = ["RecordCounter", "UserSearchHandler"]

_DIGEST_BYTES: Final = 16
_FOLDER: Final = "deletions"
_FEATURES: Final = "features"
#: More sessions of one user than anybody has; a request has to hold them.
_MAX_SESSIONS: Final = 100_000
_ALL: Final = 2**63 - 1


class RecordCounter(Protocol):
    """Counts a user's records in the event log."""

    def count(
        self, table_location: str, user: bytes, *, sessions: bytes, deletions: Sequence[str], context: JobContext
    ) -> int:
        """Return how many records of a table are the user's.

        Args:
            table_location: Folder of the table.
            user: Digest of the user's id, 16 bytes.
            sessions: Digests of the ids of the user's sessions, 16 bytes each.
            deletions: Folders of the deletions in the ledger that reach the user.
            context: Cancels the wait when the job must end.

        Raises:
            Unavailable: The events service cannot be reached.
            JobCancelled: The job must end.
        """
        ...


class UserSearchHandler:
    """Looks for users; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        workspace: Makes folders for copies of files.
        counter: Looks into the event log.
        clock: The time of day.
    """

    def __init__(self, store: Store, workspace: Workspace, *, counter: RecordCounter, clock: Clock) -> None:
        self._store = store
        self._workspace = workspace
        self._counter = counter
        self._clock = clock

    def run(self, payload: jobs_pb2.UserSearchPayload, context: JobContext) -> jobs_pb2.UserSearchResult:
        """Look for one user in everything of a group.

        Raises:
            InvalidInput: The digest has another length.
            CorruptArtifact: An entry of the ledger is damaged.
            Unavailable: The store cannot be reached.
            JobCancelled: The job must end.
        """
        if len(payload.user) != _DIGEST_BYTES:
            raise invalid("user", got=f"{len(payload.user)} bytes", want=f"{_DIGEST_BYTES}")
        report = api.UserSearchReport()
        report.searched_at.FromDatetime(self._clock.now())
        context.report(fraction=0.0, activity="reading the ledger of deletions")
        search = _Search(self._store, payload, context)
        report.deletions.extend(search.shown_deletions())
        with self._workspace.folder() as folder:
            report.findings.extend(search.tables(folder))
            report.findings.extend(search.records(self._counter))
            report.findings.extend(search.models(folder))
        return jobs_pb2.UserSearchResult(report=report)


class _Search:
    """One search.

    Args:
        store: The shared store.
        payload: What is asked.
        context: Of the job.
    """

    def __init__(self, store: Store, payload: jobs_pb2.UserSearchPayload, context: JobContext) -> None:
        self._store = store
        self._payload = payload
        # Nobody else sees the set, so that it needs no key.
        self._user = DigestSet.of(b"", [payload.user])
        self._context = context
        locations = list_deletions(store, f"{payload.group_location}/{_FOLDER}")
        self._deletions = [deleted for deleted in map(self._read, locations) if self._reaches(deleted)]

    def shown_deletions(self) -> Iterator[api.UserDeletion]:
        """Yield the deletions that reach the user, or the one that is asked for if it does."""
        only_location = self._payload.deletion_location
        for deleted in sorted(self._deletions, key=lambda item: item.entry.began_at.ToNanoseconds()):
            if only_location in ("", deleted.location):
                shown = api.UserDeletion(
                    name=PurePosixPath(deleted.location).name,
                    began_at=deleted.entry.began_at,
                    up_to_offset=deleted.entry.up_to_offset,
                )
                with suppress(ResourceNotFound):  # it is not finished
                    shown.finished_at.CopyFrom(read_report(self._store, deleted.location).finished_at)
                yield shown

    def tables(self, folder: Path) -> Iterator[api.UserFinding]:
        """Yield what is found in the group's folder: in known tables, and in what is left of others."""
        group = self._payload.group_location
        by_folder: dict[str, list[str]] = {table.location: [] for table in self._payload.tables}
        for item in self._store.list(group):
            top = f"{group}/{PurePosixPath(item.path).relative_to(group).parts[0]}"
            by_folder.setdefault(top, []).append(item.path)
        by_folder.pop(f"{group}/{_FOLDER}", None)
        snapshots = by_folder.pop(f"{group}/{_FEATURES}", [])
        names = {table.location: table.dataset_type for table in self._payload.tables}
        for place, (location, paths) in enumerate(sorted(by_folder.items())):
            self._context.report(fraction=0.1 + 0.4 * place / len(by_folder), activity=f"reading {location}")
            self._context.check()
            yield from search_table(
                self._store,
                location,
                names.get(location, PurePosixPath(location).name),
                self._user,
                self._deletions,
                paths=paths,
                folder=folder,
            )

        of_users = {features_folder(location): name for location, name in names.items()}
        yield from self._features(snapshots, of_users, folder)

    def _features(self, paths: Sequence[str], of_users: Mapping[str, str], folder: Path) -> Iterator[api.UserFinding]:
        """Yield what is found in snapshots of features; those of items and actions have no users."""
        for snapshot in feature_snapshots(paths):
            name = next((name for top, name in of_users.items() if snapshot.location.startswith(f"{top}/")), None)
            if name is not None:
                finding = api.UserFinding(place=api.USER_PLACE_FEATURES, name=name, location=snapshot.location)
                yield from self._counted(finding, snapshot, folder)

    def records(self, counter: RecordCounter) -> Iterator[api.UserFinding]:
        """Yield what is found in the event log."""
        deletions = [deleted.location for deleted in self._deletions]
        for place, table in enumerate(self._payload.tables):
            self._context.report(
                fraction=0.5 + 0.2 * place / len(self._payload.tables), activity="reading the event log"
            )
            finding = api.UserFinding(place=api.USER_PLACE_EVENT_LOG, name=table.dataset_type, location=table.location)
            try:
                finding.rows = counter.count(
                    table.location,
                    self._payload.user,
                    sessions=self._sessions,
                    deletions=deletions,
                    context=self._context,
                )
            except TailorbirdError as error:
                finding.reason = error.message
            yield finding

    def models(self, folder: Path) -> Iterator[api.UserFinding]:
        """Yield what is found in artifacts, and in what trainings have left that published none."""
        self._context.report(fraction=0.7, activity="reading models")
        for model in models_of_group(self._store, self._payload.group_location):
            self._context.check()
            finding = api.UserFinding(
                place=api.USER_PLACE_MODEL if model.manifest else api.USER_PLACE_TRAINING_REMAINS,
                location=model.location,
            )
            if model.manifest:
                finding.name = model.manifest.solution_version_arn
                finding.created_at.CopyFrom(model.manifest.created_at)
                finding.deletions_since.extend(self._deletions_since(model))
            yield from self._counted(finding, model, folder)

    def _counted(self, finding: api.UserFinding, model: StoredModel, folder: Path) -> Iterator[api.UserFinding]:
        """Yield the finding with what a model or a snapshot knows of the user; nothing for one that is gone."""
        try:
            finding.rows = model.count(self._store, self._user, folder=folder)
        except ResourceNotFound:
            return  # deleted since it was listed
        except CorruptArtifact as error:
            finding.reason = error.message
        yield finding

    @cached_property
    def _sessions(self) -> bytes:
        """Digests of the sessions in which the user is named in tables: what came in the same is in the log, too."""
        sessions = set[bytes]()
        for table in self._payload.tables:
            sessions.update(sessions_of(ErasableTable(self._store, table.location), self._user, up_to=_ALL))
            if len(sessions) > _MAX_SESSIONS:
                raise LimitExceeded(f"the user has more than {_MAX_SESSIONS:,} sessions, which one request cannot name")
        return b"".join(sorted(sessions))

    def _deletions_since(self, model: StoredModel) -> list[str]:
        obeyed = set(model.manifest.snapshot.deletions) if model.manifest else set[str]()
        return [name for item in self._deletions if (name := PurePosixPath(item.location).name) not in obeyed]

    def _read(self, location: str) -> DeletedUsers:
        self._context.check()
        return read_deletion(self._store, location)

    def _reaches(self, deleted: DeletedUsers) -> bool:
        return bool(deleted.users.holds([self._payload.user])[0])
