"""The one thread that does what no call triggers: silence is an event too.

It takes back leases of trainers that fell silent, settles campaigns whose runtimes did, and lets deletions go on that
waited for events services which did. Several control planes may each run one: every step is a unit of work that finds
nothing left to do when another was faster.
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
    """Sweeps every few seconds.

    Args:
        catalogue: Keeps everything.
        queue: Whose leases expire.
        settlement: Of campaigns.
        deletions: Of datasets and event trackers.
        pruner: Forgets what is long over.
        every_seconds: Pause between two sweeps.
    """

    def __init__(
        self,
        catalogue: MetadataStore,
        *,
        queue: JobQueue,
        settlement: ServingReconciler,
        deletions: DeletionReconciler,
        pruner: Pruner,
        every_seconds: float,
    ) -> None:
        self._catalogue = catalogue
        self._queue = queue
        self._settlement = settlement
        self._deletions = deletions
        self._pruner = pruner
        self._thread = PeriodicThread(
            self.sweep, name="maintenance", every_seconds=every_seconds, failure_event="sweep_failed"
        )

    def sweep(self) -> None:
        """Look once."""
        self._queue.expire()
        with self._catalogue.write() as unit:
            self._settlement.reconcile(unit)
            self._settlement.forget_silent_workers(unit)
            self._deletions.reconcile(unit)
            self._deletions.forget_silent_services(unit)
        self._pruner.prune()

    def start(self) -> None:
        """Begin to sweep."""
        self._thread.start()

    def stop(self) -> None:
        """Return when the last sweep is over."""
        self._thread.stop()
