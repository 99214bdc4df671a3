"""Logs as earlier programs left them.

Version 1, before epochs: two events, of which one is in the table. Version 2, before records of several kinds: two of
three events are kept, one of those is in the table, and a dataset was removed.
"""

from __future__ import annotations

__all__ = ["version_1", "version_2"]


def version_1(*, location: str, group: str, schema: str, tracking_id: str, millis: int) -> str:
    """Return the statements that make a log of version 1."""
    return f"""
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE tables (
    id INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    dataset_group_arn TEXT NOT NULL,
    schema TEXT NOT NULL,
    sealed_offset INTEGER NOT NULL DEFAULT 0,
    removed INTEGER NOT NULL DEFAULT 0
) STRICT;
CREATE TABLE events (
    "offset" INTEGER PRIMARY KEY AUTOINCREMENT,
    table_id INTEGER NOT NULL REFERENCES tables (id),
    appended_at_millis INTEGER NOT NULL,
    tracking_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    user_id TEXT,
    event_type TEXT NOT NULL,
    event_value REAL,
    item_id TEXT,
    sent_at_millis INTEGER NOT NULL,
    properties_json TEXT,
    recommendation_id TEXT,
    impression_json TEXT,
    attribution_source TEXT
) STRICT;
CREATE UNIQUE INDEX events_by_id ON events (tracking_id, event_id);
CREATE INDEX events_by_table ON events (table_id);
CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    first_offset INTEGER NOT NULL
) STRICT;
INSERT INTO state VALUES (1, 1);
INSERT INTO tables VALUES (1, '{location}', '{group}', '{schema}', 1, 0);
INSERT INTO events (table_id, appended_at_millis, tracking_id, event_id, session_id, user_id, event_type, item_id,
                    sent_at_millis)
VALUES (1, {millis}, '{tracking_id}', 'e1', 's', 'u', 'watch', 'i1', {millis}),
       (1, {millis}, '{tracking_id}', 'e2', 's', 'u', 'watch', 'i2', {millis});
PRAGMA user_version = 1;
COMMIT;
"""


def version_2(*, location: str, group: str, schema: str, tracking_id: str, millis: int) -> str:
    """Return the statements that make a log of version 2."""
    return f"""
PRAGMA journal_mode = WAL;
BEGIN;
CREATE TABLE tables (
    id INTEGER PRIMARY KEY,
    location TEXT NOT NULL UNIQUE,
    dataset_group_arn TEXT NOT NULL,
    schema TEXT NOT NULL,
    sealed_offset INTEGER NOT NULL DEFAULT 0,
    diverged_after INTEGER,
    diverged_until INTEGER,
    diverged_at_millis INTEGER
) STRICT;
CREATE TABLE events (
    "offset" INTEGER PRIMARY KEY AUTOINCREMENT,
    table_id INTEGER NOT NULL REFERENCES tables (id),
    appended_at_millis INTEGER NOT NULL,
    tracking_id TEXT NOT NULL,
    event_id TEXT NOT NULL,
    session_id TEXT NOT NULL,
    user_id TEXT,
    event_type TEXT NOT NULL,
    event_value REAL,
    item_id TEXT,
    sent_at_millis INTEGER NOT NULL,
    properties_json TEXT,
    recommendation_id TEXT,
    impression_json TEXT,
    attribution_source TEXT
) STRICT;
CREATE INDEX events_by_table ON events (table_id);
CREATE TABLE state (
    only INTEGER PRIMARY KEY CHECK (only = 1),
    first_offset INTEGER NOT NULL,
    clock_millis INTEGER
) STRICT;
INSERT INTO state VALUES (1, 2, {millis + 5});
CREATE UNIQUE INDEX events_by_id ON events (table_id, tracking_id, event_id);
CREATE INDEX events_by_age ON events (table_id, appended_at_millis);
CREATE TABLE epochs (first_offset INTEGER PRIMARY KEY, epoch INTEGER NOT NULL UNIQUE) STRICT;
INSERT INTO epochs VALUES (1, 4711);
CREATE TABLE removals (
    "offset" INTEGER PRIMARY KEY,
    dataset_group_arn TEXT NOT NULL,
    up_to_offset INTEGER NOT NULL
) STRICT;
INSERT INTO removals VALUES (4, '{group}-before', 1);
INSERT INTO tables VALUES (1, '{location}', '{group}', '{schema}', 2, 0, 1, {millis});
INSERT INTO events VALUES
    (2, 1, {millis}, '{tracking_id}', 'e1', 's', NULL, 'watch', NULL, NULL, {millis + 1000}, NULL, NULL, NULL,
     NULL),
    (3, 1, {millis}, '{tracking_id}', 'e2', 's', 'u', 'watch', 0.5, 'i2', {millis + 2000}, '{{"a":1}}', 'RID-1',
     '["i1", "i2"]', 'front page');
UPDATE sqlite_sequence SET seq = 4 WHERE name = 'events';
PRAGMA user_version = 2;
COMMIT;
"""
