"""The tables of `tailorbird top` in a terminal."""

from __future__ import annotations

from collections.abc import Mapping

from rich.console import Group
from rich.table import Table
from rich.text import Text

from cli.terminal import escape_controls
from cli.top.summary import CallRates, Jobs, RuntimeState, Summary

__all__ = ["as_tables"]

_UNKNOWN = "-"


def as_tables(summary: Summary) -> Group:
    """Return what is shown: the processes, what the runtime answers from, the jobs."""
    return Group(_processes(summary.processes), _facts(summary.runtime), _queue(summary.jobs))


def _processes(rows: list[CallRates]) -> Table:
    table = Table(title="Calls", title_justify="left")
    table.add_column("process")
    for name in ("calls/s", "p50 ms", "p99 ms", "errors/s", "throttled/s"):
        table.add_column(name, justify="right")
    table.add_column("state")
    for row in rows:
        is_up = row.state == "up"
        table.add_row(
            Text(escape_controls(row.process)),
            f"{row.calls_per_second:.1f}" if is_up else _UNKNOWN,
            _number(row.p50_millis),
            _number(row.p99_millis),
            Text(f"{row.errors_per_second:.1f}" if is_up else _UNKNOWN, style="red" if row.errors_per_second else ""),
            f"{row.throttled_per_second:.1f}" if is_up else _UNKNOWN,
            Text("up" if is_up else escape_controls(row.state), style="green" if is_up else "red"),
        )
    return table


def _facts(state: RuntimeState) -> Table:
    table = Table(title="Runtime", title_justify="left")
    for name in ("deployments", "proven exact", "fallback", "events behind", "log answered"):
        table.add_column(name, justify="right")
    proven = state.proven_share
    table.add_row(
        _UNKNOWN if state.deployments is None else str(state.deployments),
        _share(proven),
        _share(None if proven is None else 1.0 - proven),
        _UNKNOWN if state.event_lag is None else str(state.event_lag),
        _UNKNOWN if state.silent_seconds is None else f"{state.silent_seconds:.0f} s ago",
    )
    return table


def _queue(jobs: Jobs) -> Table:
    table = Table(title="Jobs", title_justify="left")
    table.add_column("kind")
    table.add_column("running", justify="right")
    table.add_column("waiting", justify="right")
    for kind in sorted({*jobs.running, *jobs.queued}):
        table.add_row(Text(escape_controls(kind)), *(str(_count(part, kind)) for part in (jobs.running, jobs.queued)))
    if jobs.oldest_waiting_seconds:
        table.caption = f"the oldest has waited {jobs.oldest_waiting_seconds:.0f} s"
    return table


def _count(jobs: Mapping[str, int], kind: str) -> int:
    return jobs.get(kind, 0)


def _number(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{value:.2f}"


def _share(value: float | None) -> str:
    return _UNKNOWN if value is None else f"{100 * value:.1f} %"
