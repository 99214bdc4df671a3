"""What runtimes call: watching the set of assignments, reporting what they serve."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from common.process.long_poll import LongPolls
from control_plane.app_context import AppContext
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import RuntimeWorker, ServingReport
from control_plane.serving.assignments import AssignmentSet, assignments
from control_plane.serving.reconciler import Phase, ServingReconciler
from control_plane.serving.revisions import current_revision

__all__ = ["AssignmentService", "ReportedState"]


@dataclass(frozen=True, slots=True)
class ReportedState:
    """How far a worker is with one deployment."""

    deployment_id: str
    phase: Phase
    failure_reason: str | None


class AssignmentService:
    """Shows assignments to workers and takes their reports.

    Args:
        catalogue: Keeps both.
        environment: The clock.
        settlement: Draws the consequences.
        polls: Where watchers wait.
        sign_seconds: How often a waiting watcher is noted as alive.
    """

    def __init__(
        self,
        catalogue: MetadataStore,
        environment: AppContext,
        *,
        settlement: ServingReconciler,
        polls: LongPolls,
        sign_seconds: float,
    ) -> None:
        self._catalogue = catalogue
        self._clock = environment.clock
        self._settlement = settlement
        self._polls = polls
        self._sign_seconds = sign_seconds

    async def watch(self, runtime_id: str, known_revision: int | None, *, wait_seconds: float) -> AssignmentSet:
        """Return the set of assignments, when it differs from the known one or the time is over.

        Args:
            runtime_id: The worker.
            known_revision: The set that it has; None for none.
            wait_seconds: How long to wait for a change at most.
        """
        signed = await asyncio.to_thread(self._sign, runtime_id, known_revision)

        def look() -> AssignmentSet | None:
            nonlocal signed
            if (self._clock.now() - signed).total_seconds() >= self._sign_seconds:
                signed = self._sign(runtime_id, known_revision)
            with self._catalogue.read() as unit:
                if current_revision(unit) == known_revision:
                    return None
                return assignments(unit)

        changed = await self._polls.until(look, seconds=wait_seconds)
        return changed if changed is not None else await asyncio.to_thread(self._present)

    def _present(self) -> AssignmentSet:
        with self._catalogue.read() as unit:
            return assignments(unit)

    def report(self, runtime_id: str, states: Iterable[ReportedState]) -> None:
        """Take what a worker serves; it replaces what it said before."""
        now = self._clock.now()
        with self._catalogue.write() as unit:
            self._worker(unit, runtime_id, now)
            reported = {state.deployment_id: state for state in states}
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
            self._settlement.settle(unit)

    def _sign(self, runtime_id: str, known_revision: int | None) -> datetime:
        now = self._clock.now()
        with self._catalogue.read() as unit:
            known = unit.get(RuntimeWorker, runtime_id)
        # A worker that asks often is not written down each time: every commit waits for the disk.
        fresh = known is not None and (now - known.last_seen_at).total_seconds() < self._sign_seconds / 2
        if known is not None and fresh and known.known_revision == known_revision:
            return known.last_seen_at
        with self._catalogue.write() as unit:
            worker = self._worker(unit, runtime_id, now)
            if worker.known_revision != known_revision:
                worker.known_revision = known_revision
                self._settlement.settle(unit)
        return now

    @staticmethod
    def _worker(unit: Unit, runtime_id: str, now: datetime) -> RuntimeWorker:
        worker = unit.get(RuntimeWorker, runtime_id)
        if worker is None:
            worker = RuntimeWorker(runtime_id=runtime_id, last_seen_at=now)
            unit.add(worker)
        worker.last_seen_at = now
        return worker
