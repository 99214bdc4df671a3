"""What the events service counts and measures."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Final

from common.telemetry import SECONDS, Figure, Kind, Reading
from events_service.log import EventLog

__all__ = [
    "ATTRIBUTED_SAMPLES",
    "ATTRIBUTED_SUM",
    "COMMITS",
    "COMMIT_SECONDS",
    "CONSUMED",
    "CONSUMER_FAILING",
    "FIGURES",
    "WAITING_BYTES",
    "WRITES",
    "LogFigures",
]

_ATTRIBUTION: Final = ("dataset_group_arn", "metric_name", "event_type", "event_attribution_source")
ATTRIBUTED_SAMPLES: Final = Figure(
    Kind.COUNTER, "tailorbird_attributed_samples_total", "Events by SAMPLECOUNT().", _ATTRIBUTION
)
ATTRIBUTED_SUM: Final = Figure(Kind.GAUGE, "tailorbird_attributed_sum", "Values by SUM().", _ATTRIBUTION)
COMMITS: Final = Figure(
    Kind.COUNTER, "tailorbird_log_commits_total", "Groups of writes to the event log that were synced together."
)
WRITES: Final = Figure(
    Kind.COUNTER, "tailorbird_log_writes_total", "Writes to the event log by how they ended.", ("outcome",)
)
COMMIT_SECONDS: Final = Figure(
    Kind.HISTOGRAM, "tailorbird_log_commit_seconds", "Time that one group took, its sync included.", bounds=SECONDS
)
WAITING_BYTES: Final = Figure(
    Kind.GAUGE, "tailorbird_log_waiting_bytes", "Size of the records that wait for the disk at the moment."
)
CONSUMED: Final = Figure(
    Kind.COUNTER, "tailorbird_consumer_records_total", "Records that a consumer of the log has had.", ("consumer",)
)
CONSUMER_FAILING: Final = Figure(
    Kind.GAUGE,
    "tailorbird_consumer_failing_tables",
    "Tables whose records a consumer has failed to take since its last success; above 0 for long: it is stuck.",
    ("consumer",),
)
_END_OFFSET: Final = Figure(
    Kind.GAUGE, "tailorbird_log_end_offset", "Offset that the next record gets; readers lag by what they have less."
)
_BYTES: Final = Figure(Kind.GAUGE, "tailorbird_log_bytes", "Size of the log on this machine.")
_RECORDS: Final = Figure(Kind.GAUGE, "tailorbird_log_records", "Records that the log keeps, at most.")
_LAG: Final = Figure(
    Kind.GAUGE,
    "tailorbird_consumer_lag_offsets",
    "Largest distance, over all tables, from what a consumer has had of a table to its last record.",
    ("consumer",),
)
_LAGGING: Final = Figure(
    Kind.GAUGE, "tailorbird_consumer_lagging_tables", "Tables with records that a consumer has not had.", ("consumer",)
)
FIGURES: Final = (
    ATTRIBUTED_SAMPLES,
    ATTRIBUTED_SUM,
    COMMITS,
    COMMIT_SECONDS,
    CONSUMED,
    CONSUMER_FAILING,
    WAITING_BYTES,
    WRITES,
    _BYTES,
    _END_OFFSET,
    _LAG,
    _LAGGING,
    _RECORDS,
)


class LogFigures:
    """Reads how long the log is, and how far its consumers are.

    Args:
        log: The log.
        consumers: Names of its consumers.
    """

    def __init__(self, log: EventLog, consumers: Sequence[str]) -> None:
        self._log = log
        self._consumers = consumers

    def read(self) -> Iterator[Reading]:
        """Yield the state of the log and of each consumer."""
        usage = self._log.usage()
        yield Reading(_END_OFFSET, self._log.bounds().end)
        yield Reading(_BYTES, usage.bytes)
        yield Reading(_RECORDS, usage.records)
        for consumer in self._consumers:
            lags = self._log.lags(consumer)
            yield Reading(_LAGGING, len(lags), (consumer,))
            furthest = max((lag.last_offset - lag.committed_offset for lag in lags), default=0)
            yield Reading(_LAG, furthest, (consumer,))
