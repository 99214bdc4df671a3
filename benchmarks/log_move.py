"""How long a move of the event log takes: `python -m benchmarks.log_move`, on a real nats-server on loopback.

Calls are refused for that time, and for the restart of the events service.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from contextlib import closing
from pathlib import Path

from benchmarks.nats import nats_server
from benchmarks.report import markdown_table, publish
from common.clock import SystemClock
from events_service.domain import Event
from events_service.log import LogTable
from events_service.log.moving import MOVED_DATABASE, move_to_sqlite, move_to_stream
from events_service.log.sqlite import SqliteEventLog
from events_service.log.stream_target import StreamTarget
from events_service.records import log_entry

_CALL_RECORDS = 1000
_TABLES = 3
_SCHEMA = '{"type": "record", "name": "Interactions", "fields": []}'


def fill(folder: Path, records: int) -> None:
    """Write a log in SQLite."""
    tables = [LogTable(f"datasets/{number}", "arn", _SCHEMA) for number in range(_TABLES)]
    with closing(SqliteEventLog(folder, clock=SystemClock())) as log:
        for first in range(0, records, _CALL_RECORDS):
            table = tables[first // _CALL_RECORDS % _TABLES]
            numbers = range(first, min(first + _CALL_RECORDS, records))
            events = [
                Event(
                    event_id=f"event-{number}",
                    session_id=f"session-{number // 10}",
                    user_id=f"user-{number // 20}",
                    item_id=f"item-{number % 5000}",
                    event_type="watch",
                    sent_at_millis=1_767_225_600_000 + number,
                )
                for number in numbers
            ]
            log.append([log_entry(table, event, tracking_id="tracker") for event in events], seconds=60)


def measure(records: int) -> dict[str, float]:
    """Return the seconds that a move into a stream takes, and that back."""
    with tempfile.TemporaryDirectory(prefix="tailorbird-move-") as work, nats_server() as server:
        folder, target = Path(work) / "events", StreamTarget(server.url)
        fill(folder, records)
        seconds = {}
        for name, move in (("to JetStream", move_to_stream), ("to SQLite", move_to_sqlite)):
            began = time.perf_counter()
            move(folder, target, progress=lambda *_: None)
            seconds[name] = round(time.perf_counter() - began, 1)
            (folder / MOVED_DATABASE).unlink(missing_ok=True)
        return seconds


def main() -> None:
    """Run and print; figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000, help="in the log")
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    seconds = measure(arguments.records)
    rows = [(name, value, round(arguments.records / max(value, 0.1))) for name, value in seconds.items()]
    table = markdown_table(("move", "seconds", "records per second"), rows)
    publish({"records": arguments.records, "seconds": seconds}, table=table, output=arguments.output)


if __name__ == "__main__":
    main()
