"""A process that appends to a log from several threads and says which events were acknowledged, until it is killed.

`python -m tests.events_service.appender FOLDER ROUND` writes one line for each acknowledged event: its id.
"""

from __future__ import annotations

import os
import sys
import threading
from pathlib import Path

from common.clock import SystemClock
from events_service.log.sqlite import SqliteEventLog
from tests.events_service.samples import entry, event

THREADS = 6


def append_for_ever(log: SqliteEventLog, prefix: str) -> None:
    number = 0
    while True:
        number += 1
        sent = [event(number, event_id=f"{prefix}-{number}-{part}") for part in range(3)]
        log.append([entry(item) for item in sent], seconds=60)
        # One write each, so that a kill cuts no line in two.
        os.write(1, "".join(f"{item.event_id}\n" for item in sent).encode())


def main() -> None:
    # Checkpoints come often here, so that kills meet them too.
    log = SqliteEventLog(Path(sys.argv[1]), clock=SystemClock(), checkpoint_pages=8)
    for thread in range(THREADS):
        threading.Thread(target=append_for_ever, args=[log, f"{sys.argv[2]}-{thread}"]).start()


if __name__ == "__main__":
    main()
