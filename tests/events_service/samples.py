"""Schemas, tables and events that most tests here begin with."""

from __future__ import annotations

import json
import threading
from collections.abc import Sequence

from common.avro import AvroSchema
from events_service.domain import Event, RawEvent, SentCall
from events_service.log import LogEntry, LogTable
from events_service.trackers import KnownTrackers, Tracker, TrackerAnswer

GROUP = "arn:aws:personalize:eu-west-1:123456789012:dataset-group/films"
TRACKING_ID = "0d3f6f1a-7e1c-4a4e-9d0e-6f2b8f1f5c11"
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


def table(location: str = "datasets/films/interactions", schema: str = SCHEMA_TEXT) -> LogTable:
    return LogTable(location, GROUP, schema)


def event(number: int, **more: object) -> Event:
    values = {"session_id": "s", "event_type": "watch", "sent_at_millis": NOW_MILLIS + 1000 * number}
    return Event(**{"event_id": f"e{number}", "user_id": "u", "item_id": f"i{number}", **values, **more})


def entries(*numbers: int, to: LogTable | None = None, tracking_id: str = TRACKING_ID) -> list[LogEntry]:
    return [LogEntry(tracking_id, to or table(), event(number)) for number in numbers]


def sent(**more: object) -> RawEvent:
    return RawEvent(**{"event_type": "watch", "sent_at_millis": NOW_MILLIS, "item_id": "i", **more})


def call(*events: RawEvent, session_id: str | None = "s", user_id: str | None = "u") -> SentCall:
    return SentCall(TRACKING_ID, session_id, user_id, events)


class ListedTrackers:
    """A source of trackers in memory, for tests of other parts; can be out of reach."""

    def __init__(self, **trackers: Tracker) -> None:
        self.trackers = dict(trackers)
        self.told: list[dict[str, Tracker]] = []
        #: Tables of datasets whose trackers were deleted.
        self.untracked: set[str] = set()
        self.asked = 0
        self.trouble: Exception | None = None

    def active(self, locations: Sequence[str]) -> frozenset[str]:
        self.asked += 1
        if self.trouble is not None:
            raise self.trouble
        tables = {item.table.location for item in self.trackers.values() if item.table is not None}
        return frozenset((tables | self.untracked) & set(locations))

    def ask(self, known: KnownTrackers, *, wait_seconds: float) -> ListedQuestion:
        return ListedQuestion(self, known, wait_seconds)


class ListedQuestion:
    """Waits for its whole time, unless it is cancelled."""

    def __init__(self, source: ListedTrackers, known: KnownTrackers, wait_seconds: float) -> None:
        self.source, self.known, self.wait_seconds = source, known, wait_seconds
        self.cancelled = threading.Event()

    def answer(self) -> TrackerAnswer | None:
        if self.cancelled.wait(self.wait_seconds):
            return None
        if self.source.trouble is not None:
            raise self.source.trouble
        present, told = dict(self.source.trackers), self.source.told
        if not told or told[-1] != present:
            told.append(present)
        return TrackerAnswer(len(told), None if self.known.revision == len(told) else present, 60.0)

    def cancel(self) -> None:
        self.cancelled.set()


def tracker(to: LogTable | None = None) -> Tracker:
    place = to or table()
    return Tracker(place.dataset_group_arn, place, AvroSchema.parse(place.schema))


def known_trackers(to: LogTable | None = None) -> ListedTrackers:
    return ListedTrackers(**{TRACKING_ID: tracker(to)})
