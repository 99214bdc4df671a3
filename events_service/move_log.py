"""Moves the event log: `python -m events_service.move_log jetstream|sqlite`, by the settings of the events service.

`tailorbird log move` runs it. Standard output has one JSON object a line: how far it has got, and at the end what was
moved, or why nothing was.
"""

from __future__ import annotations

import json
import sys
import time
from typing import Final

from common.errors import InvalidInput, TailorbirdError
from events_service.log.moving import move_to_sqlite, move_to_stream
from events_service.settings import EventsSettings

_REPORT_SECONDS: Final = 0.2


class _Reports:
    """Writes how far a move has got: at each new step, at its end, and from time to time between."""

    def __init__(self) -> None:
        self._step = ""
        self._next = 0.0

    def __call__(self, step: str, done: int, total: int) -> None:
        """Take how far a step has got; see `MoveProgress`."""
        if step != self._step or done >= total or time.monotonic() >= self._next:
            self._step, self._next = step, time.monotonic() + _REPORT_SECONDS
            _print({"step": step, "done": done, "total": total})


def main(place: str) -> None:
    """Move the log to a place.

    Raises:
        InvalidInput: No stream is named.
    """
    settings = EventsSettings()
    if not settings.event_log_url:
        raise InvalidInput(
            "`event_log_url`: got none, want the URL of the NATS servers: --url or TAILORBIRD_EVENT_LOG_URL"
        )
    folder, target, reports = settings.data_dir, settings.stream(), _Reports()
    if place == "jetstream":
        contents = move_to_stream(folder, target, progress=reports)
    else:
        contents = move_to_sqlite(folder, target, progress=reports, lease_seconds=settings.event_log_lease_seconds)
    if contents is None:
        _print({"moved": None})
    else:
        _print({"moved": {"records": contents.records, "tables": contents.tables, "digest": contents.digest}})


def _print(report: dict[str, object]) -> None:
    print(json.dumps(report), flush=True)


if __name__ == "__main__":
    try:
        main(sys.argv[1])
    except (TailorbirdError, OSError) as error:
        _print({"error": str(error)})
        sys.exit(1)
