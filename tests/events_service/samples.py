"""Schemas, tables, events and a source of trackers that most tests here begin with."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

from common.arn import DEFAULT_ACCOUNT
from common.avro import AvroSchema
from events_service.domain import Event, RawCall, RawEvent
from events_service.log import LogEntry, LoggedRecord, LogTable
from events_service.records import content_of, log_entry
from events_service.trackers import Attribution, KnownRevisions, Tracker, TrackerUpdate

GROUP = f"arn:aws:personalize:eu-west-1:{DEFAULT_ACCOUNT}:dataset-group/films"
TRACKING_ID = "0d3f6f1a-7e1c-4a4e-9d0e-6f2b8f1f5c11"
#: The consumer that most tests ask for.
SINK = "dataset_sink"
NOW_MILLIS = 1_767_225_600_500


def avro(*fields: tuple[str, object]) -> str:
    document = {"type": "record", "name": "Interactions", "fields": [{"name": n, "type": t} for n, t in fields]}
    return json.dumps({**document, "version": "1.0"})


SCHEMA_TEXT = avro(
    ("USER_ID", "string"),
    ("ITEM_ID", "string"),
    ("TIMESTAMP", "long"),
    ("EVENT_TYPE", "string"),
    ("EVENT_VALUE", ["null", "float"]),
    ("IMPRESSION", ["null", "string"]),
    ("RECOMMENDATION_ID", ["null", "string"]),
    ("NUM_RATINGS", ["null", "int"]),
)
SCHEMA = AvroSchema.parse(SCHEMA_TEXT)
ITEMS_SCHEMA_TEXT = json.dumps(
    {
        "type": "record",
        "name": "Items",
        "version": "1.0",
        "fields": [
            {"name": "ITEM_ID", "type": "string"},
            {"name": "GENRES", "type": ["null", "string"], "categorical": True},
            {"name": "PRICE", "type": ["null", "float"]},
            {"name": "TEXT", "type": ["null", "string"], "textual": True},
            {"name": "CREATION_TIMESTAMP", "type": "long"},
            {"name": "STOCK", "type": "int", "default": 7},
        ],
    }
)


def table(location: str = "datasets/films/interactions", schema: str = SCHEMA_TEXT) -> LogTable:
    return LogTable(location, GROUP, schema)


def event(number: int, **fields: object) -> Event:
    values = {"session_id": "s", "event_type": "watch", "sent_at_millis": NOW_MILLIS + 1000 * number}
    return Event(**{"event_id": f"e{number}", "user_id": "u", "item_id": f"i{number}", **values, **fields})


def entries(*numbers: int, to: LogTable | None = None, tracking_id: str = TRACKING_ID) -> list[LogEntry]:
    return [log_entry(to or table(), event(number), tracking_id=tracking_id) for number in numbers]


def entry(sent_event: Event, *, to: LogTable | None = None, tracking_id: str = TRACKING_ID) -> LogEntry:
    return log_entry(to or table(), sent_event, tracking_id=tracking_id)


def logged(sent_event: Event, offset: int = 1) -> LoggedRecord:
    appended = entry(sent_event)
    return LoggedRecord(offset, appended.kind, appended.payload, GROUP, TRACKING_ID)


def event_ids(records) -> list[str]:
    return [content_of(record).event_id for record in records]


def sent(**fields: object) -> RawEvent:
    return RawEvent(**{"event_type": "watch", "sent_at_millis": NOW_MILLIS, "item_id": "i", **fields})


def call(*events: RawEvent, session_id: str | None = "s", user_id: str | None = "u") -> RawCall:
    return RawCall(TRACKING_ID, session_id, user_id, events)


class ListedTrackers:
    """A source of trackers in memory, for tests of other parts; can fail."""

    def __init__(self, **trackers: Tracker) -> None:
        self.trackers = dict(trackers)
        self.attributions: dict[str, Attribution] = {}
        #: The sets so far; the revision is their number.
        self.sets: list[tuple[dict[str, Tracker], dict[str, Attribution]]] = []
        #: Tables of datasets whose trackers were deleted.
        self.untracked: set[str] = set()
        self.lookups = 0
        #: Tables that rows waited for, call by call.
        self.waited: list[tuple[str, ...]] = []
        self.error: Exception | None = None

    def active(
        self, locations: Sequence[str], *, rows_wait: bool = False, with_schemas: bool = False
    ) -> dict[str, str]:
        self.lookups += 1
        if rows_wait:
            self.waited.append(tuple(locations))
        if self.error is not None:
            raise self.error
        tables = {item.table.location: item.table.schema for item in self.trackers.values() if item.table is not None}
        tables = {**dict.fromkeys(self.untracked, SCHEMA_TEXT), **tables}
        return {location: tables[location] if with_schemas else "" for location in locations if location in tables}

    def fetch(self, revisions: KnownRevisions, *, wait_seconds: float) -> ListedFetch:
        return ListedFetch(self, revisions.revision, wait_seconds)


class ListedFetch:
    """Waits for its whole time, unless it is cancelled."""

    def __init__(self, source: ListedTrackers, known_revision: int | None, wait_seconds: float) -> None:
        self.source, self.known_revision, self.wait_seconds = source, known_revision, wait_seconds
        self.cancelled = threading.Event()

    def result(self) -> TrackerUpdate | None:
        if self.cancelled.wait(self.wait_seconds):
            return None
        if self.source.error is not None:
            raise self.source.error
        present, sets = (dict(self.source.trackers), dict(self.source.attributions)), self.source.sets
        if not sets or sets[-1] != present:
            sets.append(present)
        trackers, attributions = present
        if self.known_revision == len(sets):
            return TrackerUpdate(len(sets), None, 60.0)
        return TrackerUpdate(len(sets), trackers, 60.0, attributions)

    def cancel(self) -> None:
        self.cancelled.set()


def tracker(to: LogTable | None = None) -> Tracker:
    target = to or table()
    return Tracker(target.dataset_group_arn, target, AvroSchema.parse(target.schema))


def known_trackers(to: LogTable | None = None) -> ListedTrackers:
    return ListedTrackers(**{TRACKING_ID: tracker(to)})
