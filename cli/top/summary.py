"""What two looks at the figures say: rates and times of the calls in between, and the present state of the rest."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from cli.top.scraping import Scrape

__all__ = ["CallRates", "Jobs", "RuntimeState", "Summary", "quantile", "summarize"]

#: What callers from outside call; probes and the long polls between the processes are left out.
_PUBLIC: Final = ("tailorbird.control.v1.", "tailorbird.events.v1.", "tailorbird.runtime.v1.")
_FAULTS: Final = frozenset({"UNKNOWN", "INTERNAL", "UNAVAILABLE", "DATA_LOSS", "DEADLINE_EXCEEDED"})
_THROTTLED: Final = "RESOURCE_EXHAUSTED"
_HTTP_THROTTLED: Final = "429"
_HTTP_FAULTS: Final = "5"


@dataclass(frozen=True, slots=True)
class CallRates:
    """The calls of one process between two looks.

    Attributes:
        process: Its name.
        state: `up`, or why it gave no figures.
        calls_per_second: Calls that ended.
        errors_per_second: Those that failed for a reason inside of the service.
        throttled_per_second: Those that were refused because there were too many.
        p50_millis: Half of the calls took no longer; None without calls.
        p99_millis: 99 of 100 took no longer.
    """

    process: str
    state: str
    calls_per_second: float = 0.0
    errors_per_second: float = 0.0
    throttled_per_second: float = 0.0
    p50_millis: float | None = None
    p99_millis: float | None = None


@dataclass(frozen=True, slots=True)
class RuntimeState:
    """What the runtime answers from.

    Attributes:
        proven_share: Share of the answers between the looks that have the best items for certain; None without any.
        deployments: Campaigns and recommenders that answer, at the worker with fewest of them; None if unknown.
        event_lag: Records of the event log that the runtime has not read; None if unknown.
        silent_seconds: How long ago the events service last answered it; None if unknown.
    """

    proven_share: float | None = None
    deployments: int | None = None
    event_lag: int | None = None
    silent_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Jobs:
    """The job queue.

    Attributes:
        queued: Jobs that wait, by kind.
        running: Jobs that a trainer has, by kind.
        oldest_waiting_seconds: How long the oldest has waited; None if unknown.
    """

    queued: Mapping[str, int] = field(default_factory=dict)
    running: Mapping[str, int] = field(default_factory=dict)
    oldest_waiting_seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Summary:
    """What is shown."""

    processes: list[CallRates]
    runtime: RuntimeState
    jobs: Jobs


def summarize(before: Sequence[Scrape], after: Sequence[Scrape], *, now: float | None = None) -> Summary:
    """Return what happened between two looks at the same processes, and how things stand.

    Args:
        before: The earlier look.
        after: The later one.
        now: Seconds since 1970; None for the present.
    """
    earlier = {scrape.process: scrape for scrape in before}
    processes = [_call_rates(earlier[scrape.process], scrape) for scrape in after]
    shown = [scrape for scrape in after if not scrape.error]
    return Summary(
        processes,
        _runtime_state(earlier, shown, time.time() if now is None else now),
        _jobs(shown),
    )


def quantile(buckets: Mapping[float, float], share: float) -> float | None:
    """Return the value that a share of the observations does not exceed, by interpolation within its bucket.

    Args:
        buckets: Observations by the upper bound that they do not exceed, cumulative.
        share: Above 0, at most 1.

    Returns:
        None without observations; the largest finite bound for what lies beyond it.
    """
    bounds = sorted(buckets)
    total = buckets[bounds[-1]] if bounds else 0.0
    if total <= 0.0:
        return None
    low = count = 0.0
    for bound in bounds:
        if buckets[bound] >= share * total:
            if math.isinf(bound):
                return low
            return low + (bound - low) * (share * total - count) / (buckets[bound] - count)
        low, count = bound, buckets[bound]
    return low


def _call_rates(before: Scrape, after: Scrape) -> CallRates:
    if after.error:
        return CallRates(after.process, after.error)
    seconds = after.at_seconds - before.at_seconds
    if before.error or seconds <= 0.0:
        return CallRates(after.process, "up")
    calls = errors = throttled = 0.0
    buckets: dict[float, float] = {}
    for (name, has), value in after.samples.items():
        labels = dict(has)
        if not _is_public(labels):
            continue
        # A counter that has fallen is one of a process that was started anew in between.
        previous = before.samples.get((name, has), 0.0)
        change = value - previous if value >= previous else value
        if name in ("grpc_server_handled_total", "tailorbird_gateway_requests_total"):
            calls += change
            errors += change if _is_fault(labels) else 0.0
            throttled += change if _THROTTLED in labels.values() or labels.get("status") == _HTTP_THROTTLED else 0.0
        elif name in ("grpc_server_handling_seconds_bucket", "tailorbird_gateway_request_seconds_bucket"):
            bound = float(labels["le"])
            buckets[bound] = buckets.get(bound, 0.0) + change
    return CallRates(
        after.process,
        "up",
        calls / seconds,
        errors / seconds,
        throttled / seconds,
        _millis(quantile(buckets, 0.5)),
        _millis(quantile(buckets, 0.99)),
    )


def _is_public(labels: Mapping[str, str]) -> bool:
    return "operation" in labels or labels.get("grpc_service", "").startswith(_PUBLIC)


def _is_fault(labels: Mapping[str, str]) -> bool:
    return labels.get("grpc_code") in _FAULTS or labels.get("status", "").startswith(_HTTP_FAULTS)


def _millis(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


def _runtime_state(before: Mapping[str, Scrape], shown: Sequence[Scrape], now: float) -> RuntimeState:
    counts = {
        proven: sum(
            max(0.0, scrape.total("tailorbird_answers_total", proven=proven)
                - before[scrape.process].total("tailorbird_answers_total", proven=proven))
            for scrape in shown
        )
        for proven in ("true", "false")
    }  # fmt: skip
    total = counts["true"] + counts["false"]
    deployments = _values(shown, "tailorbird_deployments_serving")
    ends, reads = _values(shown, "tailorbird_log_end_offset"), _values(shown, "tailorbird_tail_next_offset")
    read_at = _values(shown, "tailorbird_tail_read_timestamp_seconds")
    return RuntimeState(
        counts["true"] / total if total else None,
        int(min(deployments)) if deployments else None,
        int(max(0.0, max(ends) - min(reads))) if ends and reads else None,
        max(0.0, now - min(read_at)) if read_at else None,
    )


def _jobs(shown: Sequence[Scrape]) -> Jobs:
    by_state: dict[str, dict[str, int]] = {"waiting": {}, "leased": {}}
    for scrape in shown:
        for (name, has), value in scrape.samples.items():
            labels = dict(has)
            if name == "tailorbird_jobs" and value and labels["state"] in by_state:
                by_state[labels["state"]][labels["kind"]] = int(value)
    oldest = _values(shown, "tailorbird_job_oldest_waiting_seconds")
    return Jobs(by_state["waiting"], by_state["leased"], max(oldest) if oldest else None)


def _values(shown: Sequence[Scrape], name: str) -> list[float]:
    return [value for scrape in shown for (sample, _), value in scrape.samples.items() if sample == name]
