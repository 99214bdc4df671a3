"""The log's database: its tables, its migrations, and the mapping between rows and records."""

from __future__ import annotations

import json
import sqlite3
from functools import cache
from pathlib import Path
from typing import Any, Final

from common.errors import CorruptArtifact, StorageFull
from common.positions import LEGACY_EPOCH
from events_service.log import LogEntry, LoggedRecord, RecordKind
from events_service.log._disk import end_if_unsynced
from protos.tailorbird.internal.v1 import records_pb2

__all__ = [
    "LOOKED_UP_AT_ONCE",
    "RECORD_COLUMNS",
    "insert_records",
    "logged_record",
    "open_database",
    "prepare",
    "record_values",
    "select_offsets",
]

_VERSION: Final = 4
#: Ids of one statement, at most; SQLite takes 32,766 parameters.
LOOKED_UP_AT_ONCE: Final = 512
#: What version 4 has beyond version 3; offsets as those of removals.
_FROM_VERSION_3: Final = """
CREATE TABLE user_removals (
    "offset" INTEGER PRIMARY KEY,
    dataset_group_arn TEXT NOT NULL,
    location TEXT NOT NULL UNIQUE,
    up_to_offset INTEGER NOT NULL
) STRICT;
"""
_SCHEMA: Final = f"""
{_FROM_VERSION_3}
CREATE TABLE tables (
    id INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    dataset_group_arn TEXT NOT NULL,
    dataset_type TEXT NOT NULL,
    schema TEXT NOT NULL,
    -- Records up to here were removed for their age.
    removed_offset INTEGER NOT NULL DEFAULT 0,
    -- Rows in the table that another log put there, and when that was noticed.
    diverged_after INTEGER,
    diverged_until INTEGER,
    diverged_at_millis INTEGER
) STRICT;
-- AUTOINCREMENT: an offset is not used again, even when all records were removed.
CREATE TABLE records (
    "offset" INTEGER PRIMARY KEY AUTOINCREMENT,
    table_id INTEGER NOT NULL REFERENCES tables (id),
    appended_at_millis INTEGER NOT NULL,
    kind INTEGER NOT NULL,
    tracking_id TEXT NOT NULL,
    record_id TEXT,
    payload BLOB NOT NULL
) STRICT;
CREATE INDEX records_by_table ON records (table_id);
-- Unique within one table only: a dataset that is created anew has no records yet.
CREATE UNIQUE INDEX records_by_id ON records (table_id, tracking_id, record_id) WHERE record_id IS NOT NULL;
CREATE INDEX records_by_age ON records (table_id, appended_at_millis);
CREATE TABLE cursors (
    consumer TEXT NOT NULL,
    table_id INTEGER NOT NULL REFERENCES tables (id),
    "offset" INTEGER NOT NULL,
    PRIMARY KEY (consumer, table_id)
) STRICT, WITHOUT ROWID;
CREATE TABLE epochs (
    first_offset INTEGER PRIMARY KEY,
    epoch INTEGER NOT NULL UNIQUE
) STRICT;
-- Ends of tables; their offsets are of the same row of numbers as those of records.
CREATE TABLE removals (
    "offset" INTEGER PRIMARY KEY,
    dataset_group_arn TEXT NOT NULL,
    dataset_type TEXT NOT NULL,
    up_to_offset INTEGER NOT NULL
) STRICT;
CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    first_offset INTEGER NOT NULL,
    -- What the log's own clock said last.
    clock_millis INTEGER
) STRICT;
INSERT INTO state (only, first_offset) VALUES (1, 1);
"""  # noqa: S608 - constants only
#: What version 2 had beyond version 1, in which a tracker's events were unique over all tables.
_FROM_VERSION_1: Final = f"""
ALTER TABLE tables ADD COLUMN diverged_after INTEGER;
ALTER TABLE tables ADD COLUMN diverged_until INTEGER;
ALTER TABLE tables ADD COLUMN diverged_at_millis INTEGER;
CREATE TABLE epochs (first_offset INTEGER PRIMARY KEY, epoch INTEGER NOT NULL UNIQUE) STRICT;
CREATE TABLE removals ("offset" INTEGER PRIMARY KEY, dataset_group_arn TEXT NOT NULL, up_to_offset INTEGER NOT NULL);
ALTER TABLE state ADD COLUMN clock_millis INTEGER;
INSERT INTO epochs SELECT 1, {LEGACY_EPOCH} FROM sqlite_sequence WHERE name = 'events' AND seq > 0;
"""  # noqa: S608 - constants only
#: Versions since 3 keep records of all kinds, where version 2 kept events in columns, and a cursor for each consumer.
_FROM_VERSION_2: Final = f"""
ALTER TABLE tables RENAME TO old_tables;
ALTER TABLE removals RENAME TO old_removals;
ALTER TABLE epochs RENAME TO old_epochs;
ALTER TABLE state RENAME TO old_state;
{_SCHEMA}
INSERT INTO tables (id, location, dataset_group_arn, dataset_type, schema, diverged_after, diverged_until,
                    diverged_at_millis)
SELECT id, location, dataset_group_arn, 'INTERACTIONS', schema, diverged_after, diverged_until, diverged_at_millis
FROM old_tables;
INSERT INTO cursors SELECT 'dataset_sink', id, sealed_offset FROM old_tables WHERE sealed_offset > 0;
INSERT INTO records
SELECT "offset", table_id, appended_at_millis, {RecordKind.EVENT:d}, tracking_id, event_id,
       event_record(event_id, user_id, session_id, event_type, event_value, item_id, sent_at_millis, properties_json,
                    impression_json, recommendation_id, attribution_source)
FROM events;
INSERT INTO epochs SELECT * FROM old_epochs;
INSERT INTO removals SELECT "offset", dataset_group_arn, 'INTERACTIONS', up_to_offset FROM old_removals;
UPDATE state SET (first_offset, clock_millis) = (SELECT first_offset, clock_millis FROM old_state);
DELETE FROM sqlite_sequence WHERE name = 'records';
INSERT INTO sqlite_sequence SELECT 'records', seq FROM sqlite_sequence WHERE name = 'events';
DROP TABLE events;
DROP TABLE old_tables;
DROP TABLE old_removals;
DROP TABLE old_epochs;
DROP TABLE old_state;
"""  # noqa: S608 - constants only
#: For SELECT, from `records r JOIN tables t`; in the order that `logged_record` expects.
RECORD_COLUMNS: Final = 'r."offset", r.kind, r.payload, t.dataset_group_arn, r.tracking_id'


@cache
def insert_records(count: int) -> str:
    """Return the statement that inserts so many records, with the parameters of `record_values` for each."""
    columns = "table_id, appended_at_millis, kind, tracking_id, record_id, payload"
    rows = ", ".join(["(?, ?, ?, ?, ?, ?)"] * count)
    return f"INSERT INTO records ({columns}) VALUES {rows}"  # noqa: S608 - question marks only


@cache
def select_offsets(count: int) -> tuple[str, int]:
    """Return the statement that looks up the offsets of so many ids of one table and tracker, and how many it takes.

    That is a power of two, so that there are few statements to be prepared.
    """
    size = 1 << (count - 1).bit_length()
    marks = ", ".join("?" * size)
    where = f"table_id = ? AND tracking_id = ? AND record_id IN ({marks})"
    return f'SELECT record_id, "offset" FROM records WHERE {where}', size  # noqa: S608 - question marks only


def open_database(path: Path) -> sqlite3.Connection:
    """Open a connection in autocommit mode: every transaction begins with an explicit BEGIN."""
    connection = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
    # Other connections of this process may be checkpointing or recovering.
    connection.execute("PRAGMA busy_timeout = 5000")
    return connection


def prepare(connection: sqlite3.Connection, *, checkpoint_pages: int) -> None:
    """Configure the writer's connection, and create or migrate the database.

    Args:
        connection: To a new database, or to one of a known version.
        checkpoint_pages: Size of the write-ahead log at which SQLite copies it into the database; 0 for never.

    Raises:
        CorruptArtifact: The file is not a database, or has a version that this program does not know.
        StorageFull: The disk is full.
    """
    try:
        connection.execute("PRAGMA journal_mode = WAL")
        # Each commit syncs the write-ahead log: what is acknowledged survives a power cut.
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute(f"PRAGMA wal_autocheckpoint = {checkpoint_pages:d}")
        # A savepoint that is kept in a file would be in a folder of the system's, on another disk.
        connection.execute("PRAGMA temp_store = MEMORY")
        # What is removed is overwritten, so that no file holds it any longer.
        connection.execute("PRAGMA secure_delete = ON")
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        migration = {
            0: _SCHEMA,
            1: _FROM_VERSION_1 + _FROM_VERSION_2,
            2: _FROM_VERSION_2,
            3: _FROM_VERSION_3,
        }.get(version)
        if migration is not None:
            connection.create_function("event_record", 11, _event_record, deterministic=True)
            connection.executescript(f"BEGIN IMMEDIATE; {migration} PRAGMA user_version = {_VERSION}; COMMIT;")
    except sqlite3.DatabaseError as error:
        end_if_unsynced(error)
        if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_FULL:
            raise StorageFull(f"event log: cannot be opened: {error}") from error
        raise CorruptArtifact(f"event log: cannot be opened: {error}") from error
    if migration is None and version != _VERSION:
        raise CorruptArtifact(f"event log: got a database of version {version}, want {_VERSION}; use a newer program")


def record_values(entry: LogEntry, *, table_id: int, appended_at_millis: int) -> tuple[Any, ...]:
    """Return the parameters of `insert_records` for one entry."""
    return table_id, appended_at_millis, int(entry.kind), entry.tracking_id, entry.record_id, entry.payload


def logged_record(row: tuple[Any, ...]) -> LoggedRecord:
    """Return the record that a row of `RECORD_COLUMNS` stands for."""
    offset, kind, payload, dataset_group_arn, tracking_id = row
    return LoggedRecord(offset, RecordKind(kind), payload, dataset_group_arn, tracking_id)


def _event_record(*values: Any) -> bytes:
    """Return the payload of an event from its columns in version 2."""
    *texts, impression, recommendation_id, attribution_source = values
    event_id, user_id, session_id, event_type, event_value, item_id, sent_at_millis, properties_json = texts
    record = records_pb2.EventRecord(
        event_id=event_id,
        user_id=user_id,
        session_id=session_id,
        event_type=event_type,
        event_value=event_value,
        item_id=item_id,
        sent_at_millis=sent_at_millis,
        properties_json=properties_json,
        impression=json.loads(impression) if impression else (),
        recommendation_id=recommendation_id,
        attribution_source=attribution_source,
    )
    return record.SerializeToString()
