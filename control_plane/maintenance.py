"""The one thread that does what no call triggers: silence is an event too.

It takes back leases of trainers that fell silent, reconciles campaigns whose runtimes did, and goes on with deletions
that waited for events services which did. Several control planes may each run one: every step is a unit of work that
finds nothing left to do when another was faster.
"""

from __future__ import annotations

from common.process.periodic import PeriodicThread
from control_plane.jobs.queue import JobQueue
from control_plane.metadata_store import MetadataStore
from control_plane.pruning import Pruner
from control_plane.serving.reconciler import ServingReconciler
from control_plane.tracking.deletions import DeletionReconciler

__all__ = ["Maintenance"]


class Maintenance:
    """Repeats its round every few seconds.

    Args:
        metadata_store: Where resources, leases and signs of life are kept.
        queue: Takes back the leases of trainers that fell silent.
        reconciler: Brings campaigns in line with what the runtimes report.
        deletions: Goes on with deletions of datasets and event trackers.
        pruner: Removes finished jobs and old deployments.
        every_seconds: Pause between two rounds.
    """

    def __init__(
        self,
        metadata_store: MetadataStore,
        *,
        queue: JobQueue,
        reconciler: ServingReconciler,
        deletions: DeletionReconciler,
        pruner: Pruner,
        every_seconds: float,
    ) -> None:
        self._metadata_store = metadata_store
        self._queue = queue
        self._reconciler = reconciler
        self._deletions = deletions
        self._pruner = pruner
        self._thread = PeriodicThread(
            self.sweep, name="maintenance", every_seconds=every_seconds, failure_event="sweep_failed"
        )

    def sweep(self) -> None:
        """Do one round."""
        self._queue.expire()
        with self._metadata_store.write() as unit:
            self._reconciler.reconcile(unit)
            self._reconciler.forget_silent_workers(unit)
            self._deletions.reconcile(unit)
            self._deletions.forget_silent_services(unit)
        self._pruner.prune()

    def start(self) -> None:
        """Begin the rounds."""
        self._thread.start()

    def stop(self) -> None:
        """Return when the last round is over."""
        self._thread.stop()
