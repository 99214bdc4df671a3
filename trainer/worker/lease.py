"""A lease that is held by a thread of its own: it renews, carries progress, and hears of the end.

The job's own thread may be deep inside of a library for minutes; the lease must not depend on it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from common.errors import LeaseLost, TailorbirdError
from common.logs import get_logger
from common.process.periodic import PeriodicThread
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.worker import CancelReason, JobCancelled
from trainer.worker.queue import JobQueue, is_retryable

__all__ = ["Lease"]

_log = get_logger(__name__)


class Lease:
    """See `trainer.worker.JobContext`.

    Args:
        queue: Where it is renewed.
        job: What is leased.
        every_seconds: Pause between two signs of life.
    """

    def __init__(self, queue: JobQueue, job: jobs_pb2.Job, *, every_seconds: float) -> None:
        self._queue = queue
        self._job = job
        self._every = every_seconds
        self._fraction, self._activity = 0.0, ""
        self._ending: CancelReason | None = None
        self._reactions: list[Callable[[], object]] = []
        self._lock = threading.Lock()
        self._over = threading.Event()  # must end, or has ended

    @property
    def ending(self) -> CancelReason | None:
        """Why the job must end, None while it may go on."""
        with self._lock:
            return self._ending

    @contextmanager
    def held(self) -> Iterator[None]:
        """Renew the lease for as long as the block runs."""
        heartbeat = PeriodicThread(self._beat, name="heartbeat", every_seconds=self._every)
        heartbeat.start()
        try:
            yield
        finally:
            heartbeat.stop()

    def end(self, ending: CancelReason) -> None:
        """Make the job end; a lost lease outweighs every other reason, otherwise the first one stays."""
        with self._lock:
            if self._ending is None or ending is CancelReason.LOST:
                self._ending = ending
            reactions, self._reactions = self._reactions, []
        self._over.set()
        for react in reactions:
            react()

    def report(self, *, fraction: float, activity: str) -> None:
        """Say how far the job is."""
        with self._lock:
            self._fraction, self._activity = fraction, activity

    def check(self) -> None:
        """Return if the job may go on."""
        if (ending := self.ending) is not None:
            raise JobCancelled(ending)

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
    def ending_calls(self, react: Callable[[], object]) -> Iterator[None]:
        """Call `react` from another thread as soon as the job must end while the block runs."""
        with self._lock:
            known = self._ending
            if known is None:
                self._reactions.append(react)
        if known is not None:
            react()
        try:
            yield
        finally:
            with self._lock:
                self._reactions = [item for item in self._reactions if item is not react]

    def _beat(self) -> None:
        if self.ending is CancelReason.LOST:
            return
        try:
            self._renew()
        except TailorbirdError as error:
            # The control plane may be restarting; it alone decides when the lease is over.
            _log.warning("heartbeat_failed", reason=error.reason, message=error.message)

    def _renew(self) -> None:
        with self._lock:
            fraction, activity = self._fraction, self._activity
        try:
            stop = self._queue.heartbeat(self._job, progress=fraction, activity=activity)
        except LeaseLost as error:
            _log.warning("lease_lost", message=error.message)
            self.end(CancelReason.LOST)
            return
        if stop:
            self.end(CancelReason.STOP)
