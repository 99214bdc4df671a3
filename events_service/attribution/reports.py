"""The reports of metric attributions: CSV files as Personalize writes them."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Mapping
from typing import Final

from common.attribution import REPORT_COLUMNS, report_name
from common.clock import Clock
from common.errors import TailorbirdError
from common.files.outputs import Outputs
from common.logs import get_logger
from common.process.backoff import Backoff, BackoffPolicy
from events_service.attribution.state import AttributionState, Report
from events_service.log import EventLog
from events_service.trackers import Attribution

__all__ = ["AttributionReports", "csv_of"]

_log = get_logger(__name__)
_BACKOFF: Final = BackoffPolicy(first_seconds=5.0, longest_seconds=300.0)


def csv_of(report: Report) -> bytes:
    """Return the content of a report's file."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(REPORT_COLUMNS)
    for key, value in report.rows:
        name, event_type = key.metric.upper(), key.event_type.upper()
        writer.writerow((name, event_type, repr(value), key.function.value, key.source, key.window_seconds))
    return text.getvalue().encode()


class AttributionReports:
    """Writes what was counted, once for each attribution and period; used by one thread.

    Args:
        log: Tells which tables there are.
        state: Keeps what is to be written.
        attributions: Returns the attributions by dataset group as they are after the call has begun.
        outputs: Writes the files.
        clock: The time of day.
        period_seconds: Reports end at multiples of this time.
        monotonic: Returns seconds on a clock that never goes back.
        writer: Part of the files' names where several services write reports of the same attributions.
    """

    def __init__(
        self,
        log: EventLog,
        state: AttributionState,
        *,
        attributions: Callable[[], Mapping[str, Attribution]],
        outputs: Outputs,
        clock: Clock,
        period_seconds: int,
        monotonic: Callable[[], float],
        writer: str = "",
    ) -> None:
        self._log = log
        self._state = state
        self._attributions = attributions
        self._outputs = outputs
        self._clock = clock
        self._period_seconds = period_seconds
        self._monotonic = monotonic
        self._writer = writer
        self._tried_boundary = 0
        #: By key of the attribution: its failures in a row, and when it is tried again.
        self._failures: dict[str, tuple[Backoff, float]] = {}

    def run(self) -> int:
        """Write the reports of periods that are over, and forget deleted attributions; return how many were written.

        Raises:
            Unavailable: Which attributions there are is not known now.
        """
        boundary = int(self._clock.now().timestamp()) // self._period_seconds * self._period_seconds
        if boundary == self._tried_boundary and not self._failures:
            return 0
        keys = self._state.keys()
        present = {item.key: item for item in self._attributions().values()} if keys else {}
        self._state.forget(keys - set(present))
        self._state.forget_tables(kept=self._log.tables())
        self._failures = {key: value for key, value in self._failures.items() if key in present}
        written = sum(self._write(present[key], boundary) for key in sorted(keys & set(present)))
        self._tried_boundary = boundary
        return written

    def _write(self, attribution: Attribution, boundary: int) -> bool:
        """Write the report of one attribution if there is one; one that cannot be written is tried again later."""
        backoff, not_before = self._failures.get(attribution.key, (Backoff(_BACKOFF), 0.0))
        if self._monotonic() < not_before:
            return False
        report = self._state.begin_report(attribution.key, boundary=boundary)
        if report is None:
            return False
        name = report_name("PutEvents", report.sealed_at, writer=self._writer)
        try:
            # Without a path the figures are for Prometheus alone.
            if attribution.output_path:
                self._outputs.open(attribution.output_path, "").write(name, csv_of(report))
        except TailorbirdError as error:
            if not backoff.failures:
                _log.error("attribution_report_failed", attribution=attribution.arn, message=error.message)
            self._failures[attribution.key] = (backoff, self._monotonic() + backoff.failed())
            return False
        self._failures.pop(attribution.key, None)
        self._state.written(report)
        _log.info("attribution_report_written", attribution=attribution.arn, rows=len(report.rows))
        return True
