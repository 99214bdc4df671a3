"""Opens the event log where the settings say that it is."""

from __future__ import annotations

from common.clock import Clock
from common.errors import InvalidInput
from events_service.log import EventLog
from events_service.log.sqlite import DATABASE, SqliteEventLog
from events_service.settings import EventsSettings

__all__ = ["open_log"]


def open_log(settings: EventsSettings, clock: Clock) -> EventLog:
    """Open the event log.

    Raises:
        InvalidInput: It is to be in JetStream, and there is one in SQLite that was not moved.
    """
    if settings.event_log_url:
        from events_service.log.jetstream import JetStreamEventLog

        if (settings.data_dir / DATABASE).exists():
            raise InvalidInput(
                f"`event_log_url`: got {settings.event_log_url}, and {settings.data_dir / DATABASE}, which holds a log "
                "too, want one of them: put the file away to begin with the log in the stream"
            )
        return JetStreamEventLog(
            settings.stream(), settings.data_dir, clock=clock, max_waiting=settings.max_pending_writes
        )
    return SqliteEventLog(
        settings.data_dir,
        clock=clock,
        max_waiting=settings.max_pending_writes,
        checkpoint_pages=settings.wal_checkpoint_pages,
    )
