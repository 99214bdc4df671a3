"""A lease that is held by a thread of its own, which renews it, reports progress and learns of a cancellation.

The job's own thread may be deep inside of a library for minutes; the lease must not depend on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

from common.errors import LeaseLost, TailorbirdError
from common.logs import get_logger
from common.process.periodic import PeriodicThread
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.worker import NO_DETAILS, CancelReason, JobCancelled, is_retryable
from trainer.worker.queue import JobQueue

__all__ = ["Lease"]

_log = get_logger(__name__)


class Lease:
    """Progress and cancellation of a leased job; a `trainer.worker.JobContext`.

    Args:
        queue: Where it is renewed.
        job: What is leased.
        every_seconds: Pause between two heartbeats.
    """

    def __init__(self, queue: JobQueue, job: jobs_pb2.Job, *, every_seconds: float) -> None:
        self._queue = queue
        self._job = job
        self._every = every_seconds
        self._fraction, self._activity, self._details = 0.0, "", NO_DETAILS
        self._cancel_reason: CancelReason | None = None
        self._callbacks: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()  # must end, or has ended

    @property
    def cancel_reason(self) -> CancelReason | None:
        """Why the job must end, None while it may go on."""
        with self._lock:
            return self._cancel_reason

    @contextmanager
    def held(self) -> Iterator[None]:
        """Renew the lease for as long as the block runs."""
        heartbeat = PeriodicThread(self._beat, name="heartbeat", every_seconds=self._every)
        heartbeat.start()
        try:
            yield
        finally:
            heartbeat.stop()

    def cancel(self, reason: CancelReason) -> None:
        """Make the job end; a lost lease outweighs every other reason, otherwise the first one stays."""
        with self._lock:
            if self._cancel_reason is None or reason is CancelReason.LOST:
                self._cancel_reason = reason
            callbacks, self._callbacks = self._callbacks, []
        self._over.set()
        for callback in callbacks:
            callback()

    def report(self, *, fraction: float, activity: str, details: Mapping[str, float] = NO_DETAILS) -> None:
        """Say how far the job is."""
        with self._lock:
            self._fraction, self._activity, self._details = fraction, activity, details

    def check(self) -> None:
        """Return if the job may go on."""
        if (reason := self.cancel_reason) is not None:
            raise JobCancelled(reason)

    def confirm(self) -> None:
        """Ask the control plane whether the job may go on."""
        while True:
            self.check()
            try:
                self._renew()
            except TailorbirdError as error:
                _log.warning("heartbeat_failed", reason=error.reason, message=error.message)
                if not is_retryable(error):
                    raise
                self._over.wait(self._every)
            else:
                self.check()
                return

    @contextmanager
    def on_cancel(self, callback: Callable[[], object]) -> Iterator[None]:
        """Call `callback` from another thread as soon as the job must end while the block runs."""
        with self._lock:
            cancelled = self._cancel_reason is not None
            if not cancelled:
                self._callbacks.append(callback)
        if cancelled:
            callback()
        try:
            yield
        finally:
            with self._lock:
                self._callbacks = [item for item in self._callbacks if item is not callback]

    def _beat(self) -> None:
        if self.cancel_reason is CancelReason.LOST:
            return
        try:
            self._renew()
        except TailorbirdError as error:
            # The control plane may be restarting; it alone decides when the lease is over.
            _log.warning("heartbeat_failed", reason=error.reason, message=error.message)

    def _renew(self) -> None:
        with self._lock:
            fraction, activity, details = self._fraction, self._activity, self._details
        try:
            stop = self._queue.heartbeat(self._job, progress=fraction, activity=activity, details=details)
        except LeaseLost as error:
            _log.warning("lease_lost", message=error.message)
            self.cancel(CancelReason.LOST)
            return
        if stop:
            self.cancel(CancelReason.STOP)
