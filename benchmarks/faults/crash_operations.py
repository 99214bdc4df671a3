"""Operations that write to a disk, each with what must hold after it was cut off: for `crash_points`."""

from __future__ import annotations

import json
import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final, Protocol

import polars as pl
import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.script import ScriptDirectory

from benchmarks.faults.old_logs import version_1, version_2
from common import columns
from common.arn import DEFAULT_ACCOUNT
from common.artifacts import open_artifact, publish_artifact
from common.clock import SystemClock
from common.deletions import read_report
from common.errors import ResourceAlreadyExists, ResourceNotFound
from common.settings import StoreSettings
from common.storage import Store
from common.storage.objects import open_store
from common.tables import Table
from common.vocabulary import Vocabulary
from control_plane.metadata_store.database import MIGRATIONS
from control_plane.metadata_store.sql import open_metadata_store
from events_service.dataset_sink import DatasetSink
from events_service.domain import Entity, Event
from events_service.domain.rate_limit import CommitRateLimit
from events_service.log import LogEntry, LogTable
from events_service.log.sqlite import DATABASE, SqliteEventLog
from events_service.records import content_of, log_entry
from events_service.user_records import UserRecords
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from trainer.deletions import DeletionJobHandler
from trainer.files.sources import Sources
from trainer.flushing import Flushed
from trainer.worker import JobContext, NullJobContext
from trainer.workspace import Workspace

__all__ = ["OPERATIONS", "Operation"]

Acknowledge = Callable[[str], None]
_GROUP: Final = f"arn:aws:personalize:eu-west-1:{DEFAULT_ACCOUNT}:dataset-group/films"
_MILLIS: Final = 1_767_225_600_000
_SECONDS: Final = 60.0


class Operation(Protocol):
    """What is cut off; every method runs in a process of its own, and raises AssertionError for what must not be."""

    def prepare(self, folder: Path) -> None:
        """Write what is there before."""

    def run(self, folder: Path, acknowledge: Acknowledge) -> None:
        """Do the operation, and acknowledge each part of it that is done."""

    def check(self, folder: Path, acknowledged: Collection[str]) -> None:
        """Check what was acknowledged, repeat the operation, and check the result."""


def _schema(name: str, *fields: tuple[str, object]) -> str:
    listed = [{"name": field, "type": kind} for field, kind in fields]
    return json.dumps({"type": "record", "name": name, "fields": listed, "version": "1.0"})


_EVENTS: Final = LogTable(
    "datasets/films/interactions",
    _GROUP,
    _schema(
        "Interactions",
        (columns.USER_ID, "string"),
        (columns.ITEM_ID, "string"),
        (columns.TIMESTAMP, "long"),
        (columns.EVENT_TYPE, "string"),
    ),
)
_ITEMS: Final = LogTable(
    "datasets/films/items",
    _GROUP,
    _schema("Items", (columns.ITEM_ID, "string"), ("PRICE", ["null", "float"])),
    "ITEMS",
)


_USERS: Final = LogTable(
    "datasets/films/users", _GROUP, _schema("Users", (columns.USER_ID, "string"), ("AGE", ["null", "int"])), "USERS"
)


def _event(name: str, user: str = "user") -> LogEntry:
    event = Event(name, f"session of {user}", "watch", _MILLIS, user_id=user, item_id="item")
    return log_entry(_EVENTS, event, tracking_id="tracker")


def _item(name: str, price: float) -> LogEntry:
    return log_entry(_ITEMS, Entity(name, json.dumps({"price": price})))


def _assert_same(got: object, want: object, what: str) -> None:
    if got != want:
        raise AssertionError(f"{what}: got {got}, want {want}")


@contextmanager
def _open_log(folder: Path) -> Iterator[SqliteEventLog]:
    # Copied into the database often, so that this is cut off as well.
    log = SqliteEventLog(folder / "log", clock=SystemClock(), checkpoint_pages=6)
    try:
        yield log
    finally:
        log.close()


class Append:
    """Calls of several records each, of two kinds."""

    _CALLS: Final = tuple(
        tuple(_item(f"{call}-{part}", call) if call % 3 == 2 else _event(f"{call}-{part}") for part in range(3))
        for call in range(6)
    )

    def prepare(self, folder: Path) -> None:
        """Append the first call."""
        with _open_log(folder) as log:
            log.append(self._CALLS[0], seconds=_SECONDS)

    def run(self, folder: Path, acknowledge: Acknowledge) -> None:
        """Append the others."""
        with _open_log(folder) as log:
            for number, call in enumerate(self._CALLS[1:], 1):
                log.append(call, seconds=_SECONDS)
                acknowledge(str(number))

    def check(self, folder: Path, acknowledged: Collection[str]) -> None:
        """Every acknowledged call is there once and whole, and a repeated one of events adds nothing."""
        with _open_log(folder) as log:
            kept = self._counts(log)
            for number, call in enumerate(self._CALLS):
                count = {kept.get(entry.payload, 0) for entry in call}
                expected = ({1},) if number == 0 or str(number) in acknowledged else ({0}, {1})
                if count not in expected:
                    raise AssertionError(f"call {number}: got {count} of each record, want one of {expected}")
            missing = [call for call in self._CALLS if call[0].payload not in kept or call[0].record_id is not None]
            for call in missing:
                log.append(call, seconds=_SECONDS)
            _assert_same(self._counts(log), {entry.payload: 1 for call in self._CALLS for entry in call}, "repeated")
        _assert_whole(folder / "log" / DATABASE)

    @staticmethod
    def _counts(log: SqliteEventLog) -> Counter[bytes]:
        return Counter(record.payload for record in log.read(1, max_records=1000).records)


class Flush:
    """Two flushes of the dataset sink into tables of a local store: events are appended, items merged."""

    def prepare(self, folder: Path) -> None:
        """Log events and items, flush half of them."""
        with _open_log(folder) as log:
            sink = self.sink(folder, log)
            for half in (0, 1):
                log.append([_event(f"{half}-{number}") for number in range(4)], seconds=_SECONDS)
                log.append([_item(f"i{number}", half) for number in range(half, 4)], seconds=_SECONDS)
                if half == 0:
                    for table in (_EVENTS, _ITEMS):
                        sink.flush(table.location, seconds=_SECONDS)

    def run(self, folder: Path, acknowledge: Acknowledge) -> None:
        """Flush the others."""
        with _open_log(folder) as log:
            for table in (_EVENTS, _ITEMS):
                self.sink(folder, log).flush(table.location, seconds=_SECONDS)
                acknowledge(table.location)

    def check(self, folder: Path, acknowledged: Collection[str]) -> None:
        """A flushed table has all rows, the others those of before or all; another flush brings all, each once."""
        before, after = [f"0-{number}" for number in range(4)], [f"1-{number}" for number in range(4)]
        events, prices = self._rows(folder)
        if events not in ([before + after] if _EVENTS.location in acknowledged else [before, before + after]):
            raise AssertionError(f"events: got {events}")
        old, new = {f"i{number}": 0.0 for number in range(4)}, {f"i{number}": float(number > 0) for number in range(4)}
        if prices not in ([new] if _ITEMS.location in acknowledged else [old, new]):
            raise AssertionError(f"items: got {prices}")
        self.run(folder, lambda _: None)
        _assert_same(self._rows(folder), (before + after, new), "repeated")

    @staticmethod
    def _rows(folder: Path) -> tuple[list[str], dict[str, float]]:
        store = open_store(StoreSettings(store_url=str(folder / "store")))
        events = Table(store, _EVENTS.location).read()
        items = Table(store, _ITEMS.location).read()
        _assert_same(len(set(items[columns.ITEM_ID])), items.height, "items that are there once")
        prices = dict(zip(items[columns.ITEM_ID].to_list(), items["PRICE"].to_list(), strict=True))
        return sorted(events[columns.EVENT_ID]), dict(sorted(prices.items()))

    @staticmethod
    def sink(folder: Path, log: SqliteEventLog) -> DatasetSink:
        """Return the sink of a log into the store."""
        store = open_store(StoreSettings(store_url=str(folder / "store")))
        return DatasetSink(log, store, _AllTables(), commit_rate=CommitRateLimit(100, 1, 1), compact_commits=3)


class _AllTables:
    def active(
        self,
        locations: Sequence[str],
        *,
        rows_wait: bool = False,  # noqa: ARG002 - the port
        with_schemas: bool = False,  # noqa: ARG002 - the port
    ) -> dict[str, str]:
        schemas = {table.location: table.schema for table in (_EVENTS, _ITEMS, _USERS)}
        return {location: schemas[location] for location in locations}


class Publish:
    """Publishes an artifact of three files."""

    def prepare(self, folder: Path) -> None:
        """Write the files."""
        (folder / "files" / "part").mkdir(parents=True)
        for name in ("a", "b", "part/c"):
            (folder / "files" / name).write_text(name * 20_000)

    def run(self, folder: Path, acknowledge: Acknowledge) -> None:
        """Publish them."""
        store = open_store(StoreSettings(store_url=str(folder / "store")))
        publish_artifact(store, "artifact", files=folder / "files", manifest=ArtifactManifest())
        acknowledge("published")

    def check(self, folder: Path, acknowledged: Collection[str]) -> None:
        """The artifact is there whole, or is not there; afterwards it can be published, or is published already."""
        if not self._is_published(folder):
            _assert_same(set(acknowledged), set(), "acknowledged without an artifact")
        with suppress(ResourceAlreadyExists):
            self.run(folder, lambda _: None)
        _assert_same(self._is_published(folder), True, "published at the repetition")

    @staticmethod
    def _is_published(folder: Path) -> bool:
        try:
            store = open_store(StoreSettings(store_url=str(folder / "store")))
            artifact = open_artifact(store, "artifact", cache=folder / "cache")
        except ResourceNotFound:
            return False
        _assert_same((artifact.folder / "part/c").read_text(), "part/c" * 20_000, "content")
        return True


class Delete:
    """A data deletion job: the ledger, the event log, two tables with their history, models, and the report."""

    _LOCATION: Final = "datasets/films/deletions/leavers"
    _STAYING: Final = 4

    def prepare(self, folder: Path) -> None:
        """Log and flush events and users in two parts, and publish a model that knows them."""
        with _open_log(folder) as log:
            for part in (0, 1):
                users = ["gone" if number % 2 else f"stays-{number}" for number in range(2 * self._STAYING)]
                log.append([_event(f"{part}-{n}", user) for n, user in enumerate(users)], seconds=_SECONDS)
                log.append([log_entry(_USERS, Entity(user, "{}")) for user in sorted(set(users))], seconds=_SECONDS)
                for table in (_EVENTS, _USERS):
                    Flush.sink(folder, log).flush(table.location, seconds=_SECONDS)
        (folder / "s3" / "lake").mkdir(parents=True)
        (folder / "s3" / "lake" / "leavers.csv").write_text("USER_ID\ngone\n")
        (folder / "model").mkdir()
        Vocabulary.build(["gone", "stays-0"]).save(folder / "model", "users")
        manifest = ArtifactManifest(solution_version_arn="version")
        manifest.snapshot.tables.add(location=_EVENTS.location)
        publish_artifact(self._store(folder), "artifacts/films", files=folder / "model", manifest=manifest)

    def run(self, folder: Path, acknowledge: Acknowledge) -> None:
        """Do the job."""
        store = self._store(folder)
        with _open_log(folder) as log:
            handler = DeletionJobHandler(
                store,
                Sources(StoreSettings(), buckets=folder / "s3", roots=(folder / "s3",)),
                Workspace(folder / "work"),
                flusher=_Flusher(log, Flush.sink(folder, log)),
                remover=_Remover(UserRecords(log, store)),
                max_bytes=1000,
            )
            payload = jobs_pb2.DataDeletionPayload(
                dataset_group_arn=_GROUP, data_location="s3://lake/leavers.csv", location=self._LOCATION
            )
            for table in (_EVENTS, _USERS):
                payload.tables.add(dataset_type=table.dataset_type, location=table.location, schema=table.schema)
            handler.run(payload, NullJobContext())
        acknowledge("deleted")

    def check(self, folder: Path, acknowledged: Collection[str]) -> None:
        """The others lost nothing; the job, once more, leaves nothing of the user and comes to the same report."""
        self._check_others(folder)
        if acknowledged:
            self._check_report(folder)
        self.run(folder, lambda _: None)
        self._check_others(folder)
        self._check_report(folder)
        for path in folder.rglob("*"):
            if path.is_file() and (folder / "s3" not in path.parents and folder / "model" not in path.parents):
                text = str(pl.read_parquet(path).to_dict(as_series=False)) if path.suffix == ".parquet" else ""
                is_model = folder / "store" / "artifacts" in path.parents
                if not is_model and ("gone" in text or b"gone" in path.read_bytes()):
                    raise AssertionError(f"{path.relative_to(folder)} still has the user")
        _assert_whole(folder / "log" / DATABASE)

    def _check_others(self, folder: Path) -> None:
        store = self._store(folder)
        staying = [f"stays-{number}" for number in range(0, 2 * self._STAYING, 2)]
        for table, expected in ((_EVENTS, sorted(staying * 2)), (_USERS, staying)):
            users = Table(store, table.location).read()[columns.USER_ID].to_list()
            _assert_same(sorted(user for user in users if user != "gone"), expected, table.location)
        with _open_log(folder) as log:
            records = log.read(1, max_records=1000).records
            left = [record for record in records if b"stays" in record.payload]
            _assert_same(len(left), 2 * 2 * self._STAYING, "records of others")

    def _check_report(self, folder: Path) -> None:
        report = read_report(self._store(folder), self._LOCATION)
        _assert_same([(table.location, table.rows) for table in report.tables],
                     [(_EVENTS.location, 2 * self._STAYING), (_USERS.location, 1)], "rows deleted")  # fmt: skip
        _assert_same((report.users, [item.location for item in report.artifacts]), (1, ["artifacts/films"]), "report")

    @staticmethod
    def _store(folder: Path) -> Store:
        return open_store(StoreSettings(store_url=str(folder / "store")))


class _Flusher:
    """Flushes as the events service does, in this process.

    Args:
        log: The log.
        sink: Its dataset sink.
    """

    def __init__(self, log: SqliteEventLog, sink: DatasetSink) -> None:
        self._log = log
        self._sink = sink

    def flush(self, location: str, context: JobContext) -> Flushed:  # noqa: ARG002 - the port's signature
        """Move all records into a table."""
        last = self._log.bounds().end - 1
        self._sink.flush(location, seconds=_SECONDS)
        return Flushed(last)


class _Remover:
    """Removes users' records as the events service does, in this process.

    Args:
        records: Of users in the log.
    """

    def __init__(self, records: UserRecords) -> None:
        self._records = records

    def remove(self, location: str, table_location: str, context: JobContext) -> int:  # noqa: ARG002 - the port's signature
        """Remove the records of a table."""
        return self._records.remove(location, table_location, after=0, seconds=_SECONDS).count


class MigrateLog:
    """Opens a log that an earlier program wrote.

    Args:
        script: Makes its database.
        offsets: Of the records in it.
    """

    def __init__(self, script: str, offsets: Sequence[int]) -> None:
        self._script = script
        self._offsets = list(offsets)

    def prepare(self, folder: Path) -> None:
        """Make the old database."""
        (folder / "log").mkdir()
        with closing(sqlite3.connect(folder / "log" / DATABASE)) as connection:
            connection.executescript(self._script)

    def run(self, folder: Path, acknowledge: Acknowledge) -> None:
        """Open it."""
        with _open_log(folder):
            acknowledge("migrated")

    def check(self, folder: Path, acknowledged: Collection[str]) -> None:  # noqa: ARG002 - the same, migrated or not
        """It is migrated, with the old records, and takes new ones."""
        with _open_log(folder) as log:
            first = log.bounds().first
            records = log.read(first, max_records=100).records
            _assert_same([record.offset for record in records], self._offsets, "offsets")
            _assert_same([content_of(record).event_id for record in records], ["e1", "e2"], "events")
            (offset,) = log.append([_event("new")], seconds=_SECONDS)
            _assert_same(offset > max(self._offsets), True, "a new offset")
        _assert_whole(folder / "log" / DATABASE)


class MigrateMetadata:
    """Opens a metadata store in SQLite of revision 0009."""

    def prepare(self, folder: Path) -> None:
        """Make the old database, with a dataset group."""
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        engine = sa.create_engine(self._url(folder))
        with engine.begin() as connection:
            config.attributes["connection"] = connection
            command.upgrade(config, "0009")
            tables = sa.MetaData()
            tables.reflect(connection)
            table = tables.tables["dataset_group"]
            row = {column.name: _filler(column) for column in table.c if not column.nullable}
            connection.execute(table.insert().values({**row, "arn": _GROUP}))
        engine.dispose()

    def run(self, folder: Path, acknowledge: Acknowledge) -> None:
        """Open it."""
        open_metadata_store(self._url(folder)).close()
        acknowledge("migrated")

    def check(self, folder: Path, acknowledged: Collection[str]) -> None:  # noqa: ARG002 - the same, migrated or not
        """It is migrated, and has the dataset group."""
        self.run(folder, lambda _: None)
        with closing(sqlite3.connect(folder / "metadata.db")) as connection:
            revisions = [row[0] for row in connection.execute("SELECT version_num FROM alembic_version")]
            groups = [row[0] for row in connection.execute("SELECT arn FROM dataset_group")]
        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        _assert_same(revisions, ScriptDirectory.from_config(config).get_heads(), "revisions")
        _assert_same(groups, [_GROUP], "dataset groups")
        _assert_whole(folder / "metadata.db")

    @staticmethod
    def _url(folder: Path) -> str:
        return f"sqlite:///{folder / 'metadata.db'}"


def _filler(column: sa.Column[Any]) -> object:
    """Return a value for a column whose content does not matter."""
    if isinstance(column.type, sa.DateTime):
        return datetime(2026, 1, 1, tzinfo=UTC)
    if isinstance(column.type, sa.String):
        return "x"
    if isinstance(column.type, sa.Boolean):
        return False
    return {} if isinstance(column.type, sa.JSON) else 0


def _assert_whole(database: Path) -> None:
    with closing(sqlite3.connect(database)) as connection:
        _assert_same(connection.execute("PRAGMA integrity_check").fetchall(), [("ok",)], "integrity")


def _old_log(version: Callable[..., str]) -> str:
    """Return the statements that make a log of an earlier version."""
    return version(
        location=_EVENTS.location, group=_GROUP, schema=_EVENTS.schema, tracking_id="tracker", millis=_MILLIS
    )


OPERATIONS: Final[Mapping[str, Operation]] = MappingProxyType(
    {
        "append": Append(),
        "flush": Flush(),
        "publish": Publish(),
        "deletion of a user": Delete(),
        "migration of a log of version 1": MigrateLog(_old_log(version_1), [1, 2]),
        "migration of a log of version 2": MigrateLog(_old_log(version_2), [2, 3]),
        "migration of a metadata store": MigrateMetadata(),
    }
)
