"""Follows the set of all trackers, so that PutEvents asks nobody, and what it acknowledges is what Describe shows.

One thread asks control_plane, one question after another; each waits there for a change, so that a change is known
within milliseconds. Three rules make acknowledgements agree with Describe (docs/adr/0014-trackers-are-followed.md):

- Every call says, for as long as it runs, which set it uses, and each question tells control_plane the oldest of them.
  Nothing that was deleted is gone before all calls use a set without it.
- What is not in the set, or has no dataset there, is asked for anew before it is refused.
- The set is relied on for as long as control_plane promised to wait for us (a lease). Beyond that it is asked anew
  first, unless control_plane is known to be away: then what was known last is used at once, and nobody waits.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from common.errors import ResourceNotFound, TailorbirdError, Unavailable
from common.process.backoff import BackoffPolicy
from common.process.contact import PeerContact
from events_service.trackers import KnownTrackers, Question, Tracker, TrackerAnswer, TrackerSource
from events_service.trackers.kept import TrackerFile

__all__ = ["FollowedTrackers"]

_BACKOFF: Final = BackoffPolicy(first_seconds=0.1, longest_seconds=1.0, jitter=0.5)
#: A control plane where too many wait answers at once that nothing changed; such questions are so many seconds apart.
_UNCHANGED_SECONDS = 0.5
#: Questions that end within a lease, so that one may fail without ending it; control_plane lets none wait for longer.
_QUESTIONS_PER_LEASE = 3
_LONGEST_WAIT_SECONDS = 20.0


@dataclass(slots=True, eq=False)
class _Set:
    """One revision of the set, and how many running calls use it."""

    revision: int
    trackers: Mapping[str, Tracker]
    users: int = 0


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why the last question had no answer, and when it was asked."""

    asked_seconds: float
    message: str


class FollowedTrackers:
    """What tracking ids stand for, at the moment of a call and until its end.

    Args:
        source: Who is asked.
        patience_seconds: How long a call waits for an answer at most.
        stale_seconds: How long a set is used beyond its lease while nobody can be asked.
        file: Keeps the set for the next start; None keeps nothing.
        monotonic: Returns seconds on a clock that never goes back.
    """

    def __init__(
        self,
        source: TrackerSource,
        *,
        patience_seconds: float,
        stale_seconds: float,
        file: TrackerFile | None = None,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._source = source
        self._patience_seconds = patience_seconds
        self._stale_seconds = stale_seconds
        self._file = file
        self._monotonic = monotonic
        # Guards all that follows; rung at the end of every question.
        self._changed = threading.Condition()
        self._set: _Set | None = None
        self._older: list[_Set] = []
        self._confirmed_seconds = 0.0
        self._lease_seconds = 0.0
        self._failure: _Failure | None = None
        self._contact = PeerContact(backoff=_BACKOFF)
        # Questions are counted: the last that began, the last that ended, the first that somebody waits for.
        self._begun = self._ended = self._wanted = 0
        # The question on its way, and whether it waits for a change.
        self._question: Question | None = None
        self._waits = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="trackers", daemon=True)

    def start(self) -> None:
        """Begin to follow, from what was kept at the last time."""
        if self._file is not None and (kept := self._file.read()) is not None:
            self._set = _Set(kept.revision, kept.trackers)
            self._confirmed_seconds = self._monotonic() - kept.age_seconds
        self._thread.start()

    def stop(self) -> None:
        """Return when no question is on its way any more."""
        with self._changed:
            self._stopping = True
            if self._question is not None:
                self._question.cancel()
            self._changed.notify_all()
        self._thread.join()

    @contextmanager
    def use(self, tracking_id: str, *, seconds: float) -> Iterator[Tracker]:
        """Give what the id stands for; it does not cease to before the block is left.

        Args:
            tracking_id: From a caller.
            seconds: How long the caller waits.

        Raises:
            ResourceNotFound: No ACTIVE tracker carries the id now.
            Unavailable: That cannot be known now.
        """
        with self._changed:
            tracker, used = self._find(tracking_id, self._monotonic() + min(seconds, self._patience_seconds))
            used.users += 1
        try:
            yield tracker
        finally:
            with self._changed:
                used.users -= 1
                if not used.users and used in self._older:
                    self._older.remove(used)
                    # A deletion may wait for this.
                    self._interrupt()

    def _find(self, tracking_id: str, deadline: float) -> tuple[Tracker, _Set]:
        """Return what an id stands for, and the set that says so."""
        asked = self._set is None or not self._is_confirmed()
        if asked and not self._is_away():
            self._ask_anew(deadline)
        known, away = self._present(), self._is_away()
        tracker = known.trackers.get(tracking_id)
        if tracker is not None and tracker.table is not None:
            return tracker, known
        if not asked and not away:
            self._ask_anew(deadline)
            known, away = self._present(), self._is_away()
            tracker = known.trackers.get(tracking_id)
        if tracker is not None and tracker.table is not None:
            return tracker, known
        if away or not self._is_confirmed():
            # It may have been made a moment ago: that there is none must not be said without asking.
            raise self._unavailable()
        if tracker is None:
            raise ResourceNotFound(f"`trackingId`: got {tracking_id[:64]!r}, want that of an ACTIVE event tracker")
        return tracker, known

    def _present(self) -> _Set:
        """Return the set, which may be used now."""
        if self._set is None:
            raise self._unavailable()
        age = self._monotonic() - self._confirmed_seconds
        if age >= self._lease_seconds and (not self._is_away() or age >= self._lease_seconds + self._stale_seconds):
            raise self._unavailable()
        return self._set

    def _is_confirmed(self) -> bool:
        return self._monotonic() - self._confirmed_seconds < self._lease_seconds

    def _is_away(self) -> bool:
        """Tell whether control_plane is known not to answer.

        A question that was asked longer ago than a lease says nothing: this process may have been stopped since.
        """
        recent = self._lease_seconds or 3 * self._patience_seconds
        return self._failure is not None and self._monotonic() - self._failure.asked_seconds < recent

    def _unavailable(self) -> Unavailable:
        # A new one: an exception that is raised twice gathers the traces of both.
        reason = "got no answer yet" if self._failure is None else self._failure.message
        return Unavailable(f"`trackingId`: cannot be looked up now, try again: {reason}")

    def _ask_anew(self, deadline: float) -> None:
        """Wait for the end of a question that begins from now on."""
        number = self._begun + 1
        if self._wanted < number:
            self._wanted = number
            self._interrupt()
            self._changed.notify_all()
        self._changed.wait_for(
            lambda: self._ended >= number or self._stopping, timeout=max(deadline - self._monotonic(), 0.0)
        )
        if self._ended < number:
            raise self._unavailable()

    def _interrupt(self) -> None:
        """Let the next question begin at once; one that does not wait for a change ends soon anyway."""
        if self._question is not None and self._waits:
            self._question.cancel()

    def _run(self) -> None:
        while True:
            asked = self._monotonic()
            try:
                question = self._begin()
                if question is None:
                    return
                answer = question.answer()
            except Exception as error:  # noqa: BLE001 - without the thread no change is ever learnt again
                self._failed(error, asked)
                continue
            if answer is not None and self._file is not None:
                # Before control_plane is told that the set is there: a later start must not fall back behind it.
                if answer.trackers is not None:
                    self._file.keep(answer.revision, answer.trackers)
                self._file.confirm()
            with self._changed:
                self._question = None
                if answer is not None:
                    self._succeeded(answer, asked)
                    if answer.trackers is None and self._waits:
                        self._pause(asked + _UNCHANGED_SECONDS - self._monotonic())

    def _begin(self) -> Question | None:
        """Ask the next question; None when there is to be none."""
        with self._changed:
            if self._stopping:
                return None
            self._begun += 1
            # Nobody waits for a question that waits for a change, so it may be cancelled.
            self._waits = self._wanted < self._begun and self._failure is None and self._set is not None
            oldest = self._older[0] if self._older else self._set
            # A set from the disk is not named before it was confirmed: the number may be of another control plane.
            revision = self._set.revision if self._set is not None and self._lease_seconds else None
            known = KnownTrackers(revision, None if oldest is None else oldest.revision)
            seconds = min(self._lease_seconds / _QUESTIONS_PER_LEASE, _LONGEST_WAIT_SECONDS)
            self._question = self._source.ask(known, wait_seconds=seconds if self._waits else 0.0)
            return self._question

    def _succeeded(self, answer: TrackerAnswer, asked: float) -> None:
        self._contact.succeeded("control_plane_reached")
        self._failure = None
        self._confirmed_seconds, self._lease_seconds = asked, answer.lease_seconds
        if answer.trackers is not None:
            if self._set is not None and self._set.users:
                self._older.append(self._set)
            self._set = _Set(answer.revision, answer.trackers)
        self._ended = self._begun
        self._changed.notify_all()

    def _failed(self, error: Exception, asked: float) -> None:
        away = isinstance(error, TailorbirdError)
        pause = self._contact.failed("control_plane_unreachable" if away else "trackers_not_followed", error)
        with self._changed:
            self._failure = _Failure(asked, error.message if isinstance(error, TailorbirdError) else "internal error")
            self._question = None
            self._ended = self._begun
            self._changed.notify_all()
            self._pause(pause)

    def _pause(self, seconds: float) -> None:
        """Wait before the next question, unless somebody wants its answer."""
        if seconds > 0:
            self._changed.wait_for(lambda: self._stopping or self._wanted > self._begun, timeout=seconds)
