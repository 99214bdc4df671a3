"""What the trainer counts and measures."""

from __future__ import annotations

from typing import Final

from common.telemetry import Figure, Kind

__all__ = ["ENDED", "FIGURES", "JOB_SECONDS", "RUNNING"]

ENDED: Final = Figure(
    Kind.COUNTER, "tailorbird_trainer_jobs_ended_total", "Attempts at jobs by how they ended here.", ("kind", "outcome")
)
RUNNING: Final = Figure(Kind.GAUGE, "tailorbird_trainer_jobs_running", "Jobs that this trainer does now.", ("kind",))
JOB_SECONDS: Final = Figure(
    Kind.HISTOGRAM,
    "tailorbird_trainer_job_seconds",
    "Time that attempts at jobs took.",
    ("kind",),
    (0.1, 0.5, 1.0, 5.0, 15.0, 60.0, 300.0, 900.0, 3600.0, 14_400.0, 43_200.0),
)
FIGURES: Final = (ENDED, JOB_SECONDS, RUNNING)
