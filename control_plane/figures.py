"""What the control plane counts and measures."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from common.clock import Clock
from common.telemetry import Figure, Kind, Reading
from control_plane.domain.jobs import UNFINISHED, JobKind, JobState
from control_plane.metadata_store import MetadataStore, Unit
from control_plane.metadata_store.tables import Job

__all__ = ["FIGURES", "JOB_ENDS", "LEASES_LOST", "JobFigures"]

LEASES_LOST: Final = Figure(
    Kind.COUNTER,
    "tailorbird_job_leases_lost_total",
    "Attempts at jobs that ended because their trainer sent no heartbeat.",
    ("kind",),
)
JOB_ENDS: Final = Figure(Kind.COUNTER, "tailorbird_jobs_ended_total", "Jobs by how they ended.", ("kind", "state"))
_JOBS: Final = Figure(
    Kind.GAUGE,
    "tailorbird_jobs",
    "Jobs that wait, or are leased to a trainer; 1,000 stand for more.",
    ("kind", "state"),
)
_OLDEST: Final = Figure(
    Kind.GAUGE,
    "tailorbird_job_oldest_waiting_seconds",
    "How long the job that is due for longest has been due; 0 when none waits.",
)
FIGURES: Final = (JOB_ENDS, LEASES_LOST, _JOBS, _OLDEST)
_MOST: Final = 1000


class JobFigures:
    """Reads what is in the job queue.

    Args:
        metadata_store: Keeps the jobs.
        clock: The time of day.
    """

    def __init__(self, metadata_store: MetadataStore, clock: Clock) -> None:
        self._metadata_store = metadata_store
        self._clock = clock

    def read(self) -> Iterator[Reading]:
        """Yield the jobs that have not ended, by kind and state, and how long the oldest has waited."""
        counts, oldest = self._metadata_store.view(_counts)
        for (kind, state), count in counts.items():
            yield Reading(_JOBS, count, (kind.lower(), state.lower()))
        waited = 0.0 if oldest is None else (self._clock.now() - oldest.available_at).total_seconds()
        yield Reading(_OLDEST, max(waited, 0.0))


def _counts(unit: Unit) -> tuple[dict[tuple[JobKind, JobState], int], Job | None]:
    counts = {
        (kind, state): unit.count(Job, limit=_MOST, state=state, kind=kind) for kind in JobKind for state in UNFINISHED
    }
    return counts, unit.first(Job, order=["available_at"], state=JobState.WAITING)
