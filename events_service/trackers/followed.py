"""Watches the set of all trackers, so that PutEvents calls no other service, yet agrees with what Describe shows.

One thread sends requests to control_plane, one after another; each is a long poll, so that a change arrives within
milliseconds. Three rules make acknowledgements agree with Describe (docs/adr/0014-trackers-are-followed.md):

- Every call registers, while it runs, which set it uses, and each request names the oldest set in use. A deletion
  completes only when all calls use a set without the deleted tracker.
- A tracker that is not in the set, or has no dataset there, is fetched again before the call is rejected; so is one
  whose dataset lacks a column there that the call sends.
- The set is used for as long as control_plane promised to wait for this service (a lease). Beyond that it is fetched
  first, unless control_plane is known to be unreachable: then the last set is used at once, without waiting.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Final

from common.arn import account_of
from common.errors import ResourceNotFound, TailorbirdError, Unavailable
from common.process.backoff import BackoffPolicy
from common.process.contact import PeerContact
from events_service.trackers import Attribution, KnownRevisions, Tracker, TrackerFetch, TrackerSource, TrackerUpdate
from events_service.trackers.kept import TrackerFile

__all__ = ["FollowedTrackers", "TrackerInUse"]

_BACKOFF: Final = BackoffPolicy(first_seconds=0.1, longest_seconds=1.0, jitter=0.5)
#: A control plane with too many long polls responds at once that nothing changed; then requests are this far apart.
_UNCHANGED_SECONDS = 0.5
#: Requests within a lease, so that one may fail without ending it.
_REQUESTS_PER_LEASE = 3
#: The longest poll that control_plane permits.
_LONGEST_WAIT_SECONDS = 20.0


@dataclass(slots=True, eq=False)
class _Set:
    """One revision of the set, and how many running calls use it."""

    revision: int
    trackers: Mapping[str, Tracker]
    attributions: Mapping[str, Attribution] = field(default_factory=dict)
    users: int = 0

    def find(self, tracking_id: str, account: str | None) -> Tracker | None:
        """Return the tracker of an id; None when there is none in the account."""
        tracker = self.trackers.get(tracking_id)
        return None if tracker is None or account_of(tracker.dataset_group_arn) != account else tracker


@dataclass(frozen=True, slots=True)
class _Failure:
    """Why the last request failed, and when it was sent."""

    sent_seconds: float
    message: str


@dataclass(frozen=True, slots=True)
class TrackerInUse:
    """A tracker that a call uses.

    Attributes:
        tracker: The tracker.
        end_use: To be called once, when the call does not use it any more; from any thread.
    """

    tracker: Tracker
    end_use: Callable[[], None]


class FollowedTrackers:
    """Resolves tracking ids, validly from the start of a call until its end.

    Args:
        source: Fetches the set of trackers.
        patience_seconds: How long a call waits for a fetch at most.
        stale_seconds: How long a set is used beyond its lease while control_plane is unreachable.
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
        # Guards all that follows; notified at the end of every fetch.
        self._changed = threading.Condition()
        self._set: _Set | None = None
        self._older: list[_Set] = []
        self._confirmed_seconds = 0.0
        self._lease_seconds = 0.0
        self._failure: _Failure | None = None
        self._contact = PeerContact(backoff=_BACKOFF)
        # Fetches are numbered: the last that began, the last that ended, the first that a call waits for.
        self._begun = self._ended = self._requested = 0
        # The fetch on its way, and whether it is a long poll.
        self._fetch: TrackerFetch | None = None
        self._is_long_poll = False
        self._stopping = False
        self._thread = threading.Thread(target=self._run, name="trackers", daemon=True)

    def start(self) -> None:
        """Start the thread, with the set from the file."""
        if self._file is not None and (kept := self._file.read()) is not None:
            self._set = _Set(kept.revision, kept.trackers)
            self._confirmed_seconds = self._monotonic() - kept.age_seconds
        self._thread.start()

    def stop(self) -> None:
        """Cancel the fetch on its way, and return when the thread has ended."""
        with self._changed:
            self._stopping = True
            if self._fetch is not None:
                self._fetch.cancel()
            self._changed.notify_all()
        self._thread.join()

    @contextmanager
    def use(
        self,
        key: str,
        *,
        field: str = "trackingId",
        account: str | None,
        seconds: float,
        is_new_set: bool = False,
    ) -> Iterator[Tracker]:
        """Yield the tracker of an id or the dataset of an ARN; its deletion does not complete before the block is left.

        Args:
            key: As sent by a caller.
            field: The request's member that the key was sent in.
            account: The caller's; trackers of other accounts do not exist for it.
            seconds: How long the caller waits.
            is_new_set: Whether it is to be that of a moment after the call has begun, as the call does not fit what the
                set had.

        Raises:
            ResourceNotFound: No ACTIVE tracker or dataset has the key.
            Unavailable: Whether one has it is not known now.
        """
        with self._changed:
            deadline = self._monotonic() + min(seconds, self._patience_seconds)
            tracker, used = self._find(key, field, account, deadline, is_new_set=is_new_set)
            used.users += 1
        try:
            yield tracker
        finally:
            self._end_use(used)

    def use_now(self, key: str, *, account: str | None) -> TrackerInUse | None:
        """Begin to use the tracker of an id or the dataset of an ARN; its deletion does not complete before `end_use`.

        For callers who must not wait, as event loops: None where `use` would wait, or fail.
        """
        with self._changed:
            current = self._set
            if current is None or not self._is_confirmed():
                return None
            tracker = current.find(key, account)
            if tracker is None or tracker.table is None:
                return None
            current.users += 1
        return TrackerInUse(tracker, partial(self._end_use, current))

    def attributions(self) -> Mapping[str, Attribution]:
        """Return the metric attributions by dataset group, as they are at a moment after the call has begun.

        So a record that was in the log before the call, of a group without one, came before any was created.

        Raises:
            Unavailable: They are not known now.
        """
        with self._changed:
            self._fetch_again(self._monotonic() + self._patience_seconds)
            if self._failure is not None:
                raise self._unavailable()
            return self._present().attributions

    def _end_use(self, used: _Set) -> None:
        with self._changed:
            used.users -= 1
            if not used.users and used in self._older:
                self._older.remove(used)
                # A deletion may wait for this.
                self._interrupt()

    def _find(
        self, key: str, field: str, account: str | None, deadline: float, *, is_new_set: bool
    ) -> tuple[Tracker, _Set]:
        """Return the tracker of a key, and the set that it is from."""
        was_expired = is_new_set or self._set is None or not self._is_confirmed()
        if was_expired and not self._is_unreachable():
            self._fetch_again(deadline)
        if is_new_set and self._is_unreachable():
            raise self._unavailable()
        current, unreachable = self._present(), self._is_unreachable()
        tracker = current.find(key, account)
        if tracker is not None and tracker.table is not None:
            return tracker, current
        if not was_expired and not unreachable:
            self._fetch_again(deadline)
            current, unreachable = self._present(), self._is_unreachable()
            tracker = current.find(key, account)
        if tracker is not None and tracker.table is not None:
            return tracker, current
        if unreachable or not self._is_confirmed():
            # It may have been created a moment ago: NotFound needs a confirmed set.
            raise self._unavailable()
        if tracker is None:
            want = "an ACTIVE event tracker" if field == "trackingId" else "an ACTIVE dataset"
            raise ResourceNotFound(f"`{field}`: got {key[:256]!r}, want that of {want}")
        return tracker, current

    def _present(self) -> _Set:
        """Return the set.

        Raises:
            Unavailable: There is none that may be used now.
        """
        if self._set is None:
            raise self._unavailable()
        age = self._monotonic() - self._confirmed_seconds
        if age >= self._lease_seconds and (
            not self._is_unreachable() or age >= self._lease_seconds + self._stale_seconds
        ):
            raise self._unavailable()
        return self._set

    def _is_confirmed(self) -> bool:
        return self._monotonic() - self._confirmed_seconds < self._lease_seconds

    def _is_unreachable(self) -> bool:
        """Return whether control_plane is known not to respond.

        A failure that is older than a lease does not count: this process may have been suspended since.
        """
        max_age = self._lease_seconds or 3 * self._patience_seconds
        return self._failure is not None and self._monotonic() - self._failure.sent_seconds < max_age

    def _unavailable(self) -> Unavailable:
        # A new one: an exception that is raised twice collects the tracebacks of both.
        reason = "got no answer yet" if self._failure is None else self._failure.message
        return Unavailable(f"trackers and datasets cannot be looked up now, try again: {reason}")

    def _fetch_again(self, deadline: float) -> None:
        """Wait for the end of a fetch that begins from now on."""
        number = self._begun + 1
        if self._requested < number:
            self._requested = number
            self._interrupt()
            self._changed.notify_all()
        self._changed.wait_for(
            lambda: self._ended >= number or self._stopping, timeout=max(deadline - self._monotonic(), 0.0)
        )
        if self._ended < number:
            raise self._unavailable()

    def _interrupt(self) -> None:
        """Let the next fetch begin at once; one that is not a long poll ends soon anyway."""
        if self._fetch is not None and self._is_long_poll:
            self._fetch.cancel()

    def _run(self) -> None:
        while True:
            sent = self._monotonic()
            try:
                fetch = self._begin()
                if fetch is None:
                    return
                update = fetch.result()
            except Exception as error:  # noqa: BLE001 - without the thread no change would arrive any more
                self._failed(error, sent)
                continue
            if update is not None and self._file is not None:
                # Before control_plane learns that the set has arrived: a later start must not use an older one.
                if update.trackers is not None:
                    self._file.keep(update.revision, update.trackers)
                self._file.confirm()
            with self._changed:
                self._fetch = None
                if update is not None:
                    self._succeeded(update, sent)
                    if update.trackers is None and self._is_long_poll:
                        self._pause(sent + _UNCHANGED_SECONDS - self._monotonic())

    def _begin(self) -> TrackerFetch | None:
        """Send the next request; None when the thread has to end."""
        with self._changed:
            if self._stopping:
                return None
            self._begun += 1
            # No call waits for a long poll, so it may be cancelled.
            self._is_long_poll = self._requested < self._begun and self._failure is None and self._set is not None
            oldest = self._older[0] if self._older else self._set
            # A set from the file is not named before it is confirmed: its revision may be of another control plane.
            revision = self._set.revision if self._set is not None and self._lease_seconds else None
            revisions = KnownRevisions(revision, None if oldest is None else oldest.revision)
            seconds = min(self._lease_seconds / _REQUESTS_PER_LEASE, _LONGEST_WAIT_SECONDS)
            self._fetch = self._source.fetch(revisions, wait_seconds=seconds if self._is_long_poll else 0.0)
            return self._fetch

    def _succeeded(self, update: TrackerUpdate, sent: float) -> None:
        self._contact.succeeded("control_plane_reached")
        self._failure = None
        self._confirmed_seconds, self._lease_seconds = sent, update.lease_seconds
        if update.trackers is not None:
            if self._set is not None and self._set.users:
                self._older.append(self._set)
            self._set = _Set(update.revision, update.trackers, update.attributions)
        self._ended = self._begun
        self._changed.notify_all()

    def _failed(self, error: Exception, sent: float) -> None:
        is_unreachable = isinstance(error, TailorbirdError)
        pause = self._contact.failed("control_plane_unreachable" if is_unreachable else "trackers_not_followed", error)
        with self._changed:
            self._failure = _Failure(sent, error.message if isinstance(error, TailorbirdError) else "internal error")
            self._fetch = None
            self._ended = self._begun
            self._changed.notify_all()
            self._pause(pause)

    def _pause(self, seconds: float) -> None:
        """Wait before the next fetch, unless a call waits for its result."""
        if seconds > 0:
            self._changed.wait_for(lambda: self._stopping or self._requested > self._begun, timeout=seconds)
