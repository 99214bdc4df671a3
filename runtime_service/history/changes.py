"""The histories that one batch of events changes, each read once and written once."""

from __future__ import annotations

from collections.abc import Callable

from inference.recent_events import RecentEvent
from runtime_service.history import HistoryEvent
from runtime_service.history.keys import USED, digest, key
from runtime_service.history.records import StoredHistory

__all__ = ["Changes"]


class Changes:
    """Histories by their keys, as they are after some events.

    Args:
        read: Returns the stored history of a key; None for none.
        max_events: Newest events kept for each.

    Attributes:
        histories: Those that changed; an empty one is to be removed.
        new_events: Events with items that were not there before, each with the digest of its group.
    """

    def __init__(self, read: Callable[[bytes], bytes | None], max_events: int) -> None:
        self._read = read
        self._max_events = max_events
        self.histories: dict[bytes, list[RecentEvent]] = {}
        self.new_events: list[tuple[bytes, HistoryEvent]] = []

    def add(self, event: HistoryEvent) -> None:
        """Add an event; one with a session and a user moves the session's earlier events to the user."""
        group = digest(event.dataset_group_arn)
        users, sessions = USED[event.dataset_type]
        session = key(group, sessions, event.session_id)
        if not event.user_id:
            history_key = session
        else:
            history_key = key(group, users, event.user_id)
            if event.session_id:
                self._move(session, history_key, event.offset)
        if event.item_id and (event.user_id or event.session_id):
            fingerprint = int.from_bytes(digest(event.event_id or str(event.offset)), "little")
            recent_event = RecentEvent(
                event.offset, event.millis, event.event_type, event.item_id, fingerprint, event.value
            )
            if self._append(history_key, recent_event) and event.is_of_item:
                self.new_events.append((group, event))

    def _move(self, session: bytes, user: bytes, offset: int) -> None:
        """Move a session's events to its user; they get the offset of the event that tied the two."""
        for event in self._history(session):
            self._append(user, event._replace(offset=offset))
        self.histories[session] = []

    def _append(self, history_key: bytes, event: RecentEvent) -> bool:
        history = self._history(history_key)
        if any(earlier.fingerprint == event.fingerprint for earlier in history):
            return False
        history.append(event)
        del history[: -self._max_events]
        return True

    def _history(self, history_key: bytes) -> list[RecentEvent]:
        history = self.histories.get(history_key)
        if history is None:
            payload = self._read(history_key)
            history = self.histories[history_key] = [] if payload is None else list(StoredHistory(payload).events())
        return history
