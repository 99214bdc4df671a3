"""Lets snapshots of features be made that are due: of a dataset never two at once, and of all a bounded number."""

from __future__ import annotations

from functools import partial

from control_plane.app_context import AppContext
from control_plane.domain.jobs import UNFINISHED, JobKind
from control_plane.domain.states import Status
from control_plane.jobs.submit import enqueue
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import Dataset, Job
from control_plane.resources.features import snapshot_payload

__all__ = ["FeatureScheduler"]


class FeatureScheduler:
    """Submits the jobs that are due.

    Several control planes may have one each: a job is submitted by the unit of work that takes its dataset's time away.

    Args:
        metadata_store: The database.
        app_context: Clock and ids.
        max_pending: Jobs that wait or run at a time; what is due beyond follows when they have ended.
    """

    def __init__(self, metadata_store: MetadataStore, app_context: AppContext, *, max_pending: int) -> None:
        self._metadata_store = metadata_store
        self._app_context = app_context
        self._max_pending = max_pending

    def run_due(self) -> None:
        """Submit what is due; when nothing is, nothing is written."""
        for arn in self._metadata_store.view(self._due):
            self._metadata_store.transact(partial(self._submit, arn=arn))

    def _due(self, unit: Unit) -> list[str]:
        """Return the ARNs of the datasets whose jobs may be submitted now."""
        free = self._free(unit)
        if free <= 0:
            return []
        return [dataset.arn for dataset in unit.due_features(now=self._app_context.clock.now(), limit=free)]

    def _free(self, unit: Unit) -> int:
        pending = unit.count(Job, limit=self._max_pending, kind=JobKind.FEATURE_SNAPSHOT, state=UNFINISHED)
        return self._max_pending - pending

    def _submit(self, unit: Unit, *, arn: str) -> None:
        """Submit the job of one dataset, unless another control plane was faster or the dataset is being deleted."""
        dataset = unit.get(Dataset, arn)
        if dataset is None or dataset.status != Status.ACTIVE or dataset.features_due_at is None:
            return
        if self._free(unit) <= 0 or unit.first(Job, subject=arn, state=UNFINISHED) is not None:
            return
        dataset.features_due_at = None
        payload = snapshot_payload(unit, dataset)
        enqueue(unit, self._app_context, payload, subject=arn, group_arn=dataset.dataset_group_arn)
