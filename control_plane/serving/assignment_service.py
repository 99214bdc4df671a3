"""What runtime workers call: they watch the assignments and report how far they are with each."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from common.process.long_poll import LongPolls
from control_plane.app_context import AppContext
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import RuntimeWorker, ServingReport
from control_plane.serving.assignments import AssignmentSet, assignment_set
from control_plane.serving.reconciler import Phase, ServingReconciler
from control_plane.serving.revisions import current_revision

__all__ = ["AssignmentService", "ReportedState"]


@dataclass(frozen=True, slots=True)
class ReportedState:
    """How far a worker is with one deployment.

    Attributes:
        deployment_id: The deployment.
        phase: LOADING, READY or FAILED.
        failure_reason: Why it failed; None otherwise, and when the worker gives no reason.
    """

    deployment_id: str
    phase: Phase
    failure_reason: str | None


class AssignmentService:
    """Returns assignments to runtime workers and records their reports.

    Args:
        metadata_store: Keeps assignments and reports.
        app_context: The clock.
        reconciler: Moves what is served on after each report.
        long_polls: Hold the calls of watching workers.
        heartbeat_seconds: How often a waiting worker is recorded as alive.
    """

    def __init__(
        self,
        metadata_store: MetadataStore,
        app_context: AppContext,
        *,
        reconciler: ServingReconciler,
        long_polls: LongPolls,
        heartbeat_seconds: float,
    ) -> None:
        self._metadata_store = metadata_store
        self._clock = app_context.clock
        self._reconciler = reconciler
        self._long_polls = long_polls
        self._heartbeat_seconds = heartbeat_seconds

    async def watch(self, runtime_id: str, known_revision: int | None, *, wait_seconds: float) -> AssignmentSet:
        """Return the set of assignments as soon as it differs from the known one, or when the time is over.

        Args:
            runtime_id: The worker.
            known_revision: Revision of the set that it has; None for none.
            wait_seconds: How long to wait for a change at most.
        """
        recorded_at = await asyncio.to_thread(self._record_heartbeat, runtime_id, known_revision)

        def read_if_changed() -> AssignmentSet | None:
            nonlocal recorded_at
            if (self._clock.now() - recorded_at).total_seconds() >= self._heartbeat_seconds:
                recorded_at = self._record_heartbeat(runtime_id, known_revision)
            return self._metadata_store.view(
                lambda unit: None if current_revision(unit) == known_revision else assignment_set(unit)
            )

        changed = await self._long_polls.until(read_if_changed, seconds=wait_seconds)
        return changed if changed is not None else await asyncio.to_thread(self._metadata_store.view, assignment_set)

    def revision(self) -> int:
        """Return the revision that the set of assignments has now."""
        return self._metadata_store.view(current_revision)

    def report(self, runtime_id: str, states: Iterable[ReportedState]) -> None:
        """Record how far a worker is with all of its deployments; this replaces its previous report."""
        now = self._clock.now()
        by_deployment = {state.deployment_id: state for state in states}

        def record(unit: Unit) -> None:
            self._worker(unit, runtime_id, now)
            reported = dict(by_deployment)
            for row in unit.find(ServingReport, runtime_id=runtime_id):
                state = reported.pop(row.deployment_id, None)
                if state is None:
                    unit.remove(row)
                else:
                    row.phase, row.failure_reason = state.phase, state.failure_reason
            for state in reported.values():
                unit.add(
                    ServingReport(
                        runtime_id=runtime_id,
                        deployment_id=state.deployment_id,
                        phase=state.phase,
                        failure_reason=state.failure_reason,
                    )
                )
            self._reconciler.reconcile(unit)

        self._metadata_store.transact(record)

    def _record_heartbeat(self, runtime_id: str, known_revision: int | None) -> datetime:
        """Record that a worker is alive and which revision it has; return when it was last recorded as alive."""
        now = self._clock.now()
        stored = self._metadata_store.view(lambda unit: unit.get(RuntimeWorker, runtime_id))
        # Workers that call often are not written each time: every commit waits for the disk.
        is_recent = stored is not None and (now - stored.last_seen_at).total_seconds() < self._heartbeat_seconds / 2
        if stored is not None and is_recent and stored.known_revision == known_revision:
            return stored.last_seen_at

        def record(unit: Unit) -> None:
            worker = self._worker(unit, runtime_id, now)
            if worker.known_revision != known_revision:
                worker.known_revision = known_revision
                self._reconciler.reconcile(unit)

        self._metadata_store.transact(record)
        return now

    @staticmethod
    def _worker(unit: Unit, runtime_id: str, now: datetime) -> RuntimeWorker:
        worker = unit.get(RuntimeWorker, runtime_id)
        if worker is None:
            worker = RuntimeWorker(runtime_id=runtime_id, last_seen_at=now)
            unit.add(worker)
        worker.last_seen_at = now
        return worker
