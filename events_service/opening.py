"""Opens the event log where the settings say that it is."""

from __future__ import annotations

from common.clock import Clock
from common.errors import InvalidInput
from common.telemetry import NO_FIGURES, Figures
from events_service.log import EventLog
from events_service.log._files import UNFINISHED_DATABASE
from events_service.log._replica import REPLICA
from events_service.log.sqlite import DATABASE, SqliteEventLog
from events_service.settings import EventsSettings

__all__ = ["open_log"]


def open_log(settings: EventsSettings, clock: Clock, *, figures: Figures = NO_FIGURES) -> EventLog:
    """Open the event log.

    Args:
        settings: Say where it is.
        clock: The time of day.
        figures: Count what is written; to a log in JetStream, which is another process, nothing.

    Raises:
        InvalidInput: The folder has one elsewhere, which was not moved.
    """
    database, replica = settings.data_dir / DATABASE, settings.data_dir / REPLICA
    if settings.event_log_url:
        from events_service.log.jetstream import JetStreamEventLog

        if database.exists():
            raise InvalidInput(
                f"`event_log_url`: got {settings.event_log_url}, and {database}, which holds a log too, want one of "
                "them: move it with `tailorbird log move jetstream`"
            )
        return JetStreamEventLog(
            settings.stream(),
            settings.data_dir,
            clock=clock,
            max_waiting=settings.max_pending_writes,
            lease_seconds=settings.event_log_lease_seconds,
        )
    # The last step of a move makes the one the other; whatever cuts it off, one of the two is there.
    for file in () if database.exists() else (replica, settings.data_dir / UNFINISHED_DATABASE):
        if file.exists():
            raise InvalidInput(
                f"`event_log_url`: got none, and {file}, which is of a log in JetStream, want its URL; move the log "
                "with `tailorbird log move sqlite`, or delete the file to begin a new one"
            )
    return SqliteEventLog(
        settings.data_dir,
        clock=clock,
        max_waiting=settings.max_pending_writes,
        checkpoint_pages=settings.wal_checkpoint_pages,
        figures=figures,
    )
