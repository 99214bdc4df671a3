"""The thread that does what no call triggers, every few seconds.

It ends expired leases, reconciles campaigns, continues deletions, runs schedules, lets the storage be maintained and
snapshots of features be made, and prunes old rows. Several control planes may run one each: every step is a unit of
work that finds nothing left to do when another was faster.
"""

from __future__ import annotations

from common.process.periodic import PeriodicThread
from control_plane.jobs.queue import JobQueue
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.pruning import Pruner
from control_plane.scheduler.features import FeatureScheduler
from control_plane.scheduler.scheduler import Scheduler
from control_plane.scheduler.storage import StorageScheduler
from control_plane.serving.reconciler import ServingReconciler
from control_plane.tracking.deletions import DeletionReconciler

__all__ = ["Maintenance"]


class Maintenance:
    """Repeats its round every few seconds.

    Args:
        metadata_store: The database of resources, jobs and reports.
        queue: Ends the leases of trainers that send no heartbeats.
        reconciler: Brings campaigns in line with what the runtimes report.
        deletions: Continues the deletions of datasets and event trackers.
        scheduler: Trains solutions by their schedules.
        storage: Lets the storage of dataset groups be maintained.
        features: Lets snapshots of features be made.
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
        scheduler: Scheduler,
        storage: StorageScheduler,
        features: FeatureScheduler,
        pruner: Pruner,
        every_seconds: float,
    ) -> None:
        self._metadata_store = metadata_store
        self._queue = queue
        self._reconciler = reconciler
        self._deletions = deletions
        self._scheduler = scheduler
        self._storage = storage
        self._features = features
        self._pruner = pruner
        self._thread = PeriodicThread(
            self.sweep, name="maintenance", every_seconds=every_seconds, failure_event="sweep_failed"
        )

    def sweep(self) -> None:
        """Do one round."""
        self._queue.expire()
        self._metadata_store.transact(self._reconcile)
        self._scheduler.run_due()
        self._storage.run_due()
        self._features.run_due()
        self._pruner.prune()

    def _reconcile(self, unit: Unit) -> None:
        self._reconciler.reconcile(unit)
        self._reconciler.remove_silent_workers(unit)
        self._deletions.reconcile(unit)
        self._deletions.remove_silent_services(unit)

    def start(self) -> None:
        """Begin the rounds."""
        self._thread.start()

    def stop(self) -> None:
        """Return when the last round is over."""
        self._thread.stop()
