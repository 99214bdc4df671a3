"""The tables of `tailorbird jobs`: what waits, runs and has ended, and how far a training is."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Final

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from cli.terminal import escape_controls
from protos.tailorbird.control.v1.job_status_service_pb2 import JobStatus
from protos.tailorbird.control.v1.training_progress_pb2 import TrainingProgress

__all__ = ["job_line", "job_view", "jobs_table"]

_STYLES: Final = {"RUNNING": "cyan", "SUCCEEDED": "green", "FAILED": "bold red", "STOPPED": "yellow"}
_BAR_WIDTH: Final = 24


def jobs_table(jobs: Sequence[JobStatus]) -> Table:
    """Return a table with a row for each job."""
    table = Table("resource", "work", "state", "done", "activity", "time left", title="Jobs", title_justify="left")
    for job in jobs:
        is_over = job.HasField("ended_date_time")
        table.add_row(
            Text(_short(job.resource_arn), overflow="fold"),
            Text(escape_controls(job.kind.lower().replace("_", " "))),
            Text(job.state, style=_STYLES.get(job.state, "")),
            "" if is_over else f"{100 * job.progress.fraction:.0f} %",
            Text("" if is_over else escape_controls(job.progress.activity)),
            "" if is_over else _seconds_left(job.progress),
        )
    if not jobs:
        table.caption = "nothing waits, and nothing runs"
    return table


def job_view(job: JobStatus) -> RenderableType:
    """Return everything that is known of one job."""
    table = Table(title=escape_controls(job.resource_arn), title_justify="left", show_header=False)
    table.add_column(style="bold")
    table.add_column(overflow="fold")
    for name, value in _facts(job):
        table.add_row(name, value)
    bar = ProgressBar(total=1.0, completed=1.0 if job.state == "SUCCEEDED" else job.progress.fraction, width=_BAR_WIDTH)
    return Group(table, bar)


def job_line(job: JobStatus) -> str:
    """Return the same in one line, for an output that is no terminal."""
    texts = [job.state.lower(), f"{100 * job.progress.fraction:.1f} %", escape_controls(job.progress.activity)]
    return ", ".join([*texts, *(f"{name} {value}" for name, value in _epochs(job.progress) if name != "epoch")])


def _facts(job: JobStatus) -> Iterator[tuple[str, RenderableType]]:
    yield "work", Text(escape_controls(job.kind.lower().replace("_", " ")))
    state = "stopping" if job.stop_requested and not job.HasField("ended_date_time") else job.state
    yield "state", Text(state, style=_STYLES.get(job.state, ""))
    progress = job.progress
    if progress.HasField("attempt"):
        yield "attempt", str(progress.attempt)
    if job.state != "SUCCEEDED":
        yield "activity", Text(escape_controls(progress.activity))
        yield "done", f"{100 * progress.fraction:.1f} %"
        yield from _epochs(progress)
    if job.failure_reason:
        yield "last failure", Text(escape_controls(job.failure_reason), style="yellow")


def _epochs(progress: TrainingProgress) -> Iterator[tuple[str, str]]:
    if progress.HasField("epoch"):
        yield "epoch", f"{progress.epoch} of at most {progress.epochs}"
    if progress.HasField("step"):
        yield "step", f"{progress.step} of {progress.steps}"
    if progress.HasField("training_loss"):
        yield "training loss", f"{progress.training_loss:.4f}"
    if progress.HasField("validation_ndcg_at_10"):
        yield "validation NDCG@10", f"{progress.validation_ndcg_at_10:.4f}"
    if progress.HasField("seconds_left"):
        yield "time left", _seconds_left(progress)


def _seconds_left(progress: TrainingProgress) -> str:
    """Return the time that is left at most, to the second; empty where it is not known."""
    if not progress.HasField("seconds_left"):
        return ""
    return str(timedelta(seconds=max(0, round(progress.seconds_left))))


def _short(arn: str) -> str:
    """Return the part of an ARN that tells the resources of an account apart."""
    return escape_controls(arn.split(":", 5)[-1])
