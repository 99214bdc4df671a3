"""Keeps answers for a while, so that PutEvents asks nobody in the common case."""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta

from common.clock import Clock
from common.errors import ResourceNotFound, Unavailable
from events_service.trackers import Tracker, Trackers

__all__ = ["CachedTrackers"]

_MAX_KNOWN = 10_000


@dataclass(frozen=True, slots=True)
class _Known:
    answer: Tracker | ResourceNotFound
    learnt_at: datetime


class CachedTrackers:
    """Remembers what another implementation answered, "there is none" included.

    While control_plane is away, ids that were good a short time ago stay good: events are taken on.

    Args:
        trackers: Who is asked.
        clock: Source of the present time.
        fresh_for: How long an answer holds.
        missing_for: How long the answer that there is no such tracker holds; short, for it may be created any moment.
        stale_for: How long an answer is used beyond that when nobody can be asked.
    """

    def __init__(
        self,
        trackers: Trackers,
        *,
        clock: Clock,
        fresh_for: timedelta,
        missing_for: timedelta,
        stale_for: timedelta,
    ) -> None:
        self._trackers = trackers
        self._clock = clock
        self._fresh_for = fresh_for
        self._missing_for = missing_for
        self._stale_for = stale_for
        self._known: OrderedDict[str, _Known] = OrderedDict()
        self._asking: dict[str, tuple[threading.Lock, int]] = {}
        self._lock = threading.Lock()

    def resolve(self, tracking_id: str) -> Tracker:
        """Return what the id stands for; see `Trackers`."""
        known = self._fresh(tracking_id)
        if known is None:
            # One call asks, the others that want the same id wait for its answer.
            with self._alone(tracking_id):
                known = self._fresh(tracking_id) or self._ask(tracking_id)
        if isinstance(known.answer, ResourceNotFound):
            # A new one: an exception that is raised twice gathers the traces of both.
            raise ResourceNotFound(known.answer.message, metadata=known.answer.metadata)
        return known.answer

    def _fresh(self, tracking_id: str) -> _Known | None:
        known = self._known.get(tracking_id)
        if known is None:
            return None
        holds = self._missing_for if isinstance(known.answer, ResourceNotFound) else self._fresh_for
        return known if self._clock.now() - known.learnt_at < holds else None

    def _ask(self, tracking_id: str) -> _Known:
        answer: Tracker | ResourceNotFound
        try:
            answer = self._trackers.resolve(tracking_id)
        except ResourceNotFound as error:
            answer = error
        except Unavailable:
            stale = self._known.get(tracking_id)
            if stale is None or isinstance(stale.answer, ResourceNotFound):
                raise
            if self._clock.now() - stale.learnt_at >= self._fresh_for + self._stale_for:
                raise
            return stale
        known = _Known(answer, self._clock.now())
        with self._lock:
            self._known[tracking_id] = known
            self._known.move_to_end(tracking_id)
            if len(self._known) > _MAX_KNOWN:
                self._known.popitem(last=False)
        return known

    @contextmanager
    def _alone(self, tracking_id: str) -> Iterator[None]:
        with self._lock:
            lock, users = self._asking.get(tracking_id, (threading.Lock(), 0))
            self._asking[tracking_id] = (lock, users + 1)
        try:
            with lock:
                yield
        finally:
            with self._lock:
                users = self._asking[tracking_id][1] - 1
                if users:
                    self._asking[tracking_id] = (lock, users)
                else:
                    del self._asking[tracking_id]
