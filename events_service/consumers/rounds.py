"""Offers a consumer what it has not consumed yet: table by table, with a pause and an alarm for tables that fail."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from common.errors import TailorbirdError
from common.logs import get_logger
from common.process.backoff import Backoff, BackoffPolicy
from common.telemetry import NO_FIGURES, Figures
from events_service.consumers import Consumer
from events_service.figures import CONSUMED, CONSUMER_FAILING
from events_service.log import EventLog, TableLag

__all__ = ["ConsumerRounds"]

_log = get_logger(__name__)
_BACKOFF: Final = BackoffPolicy(first_seconds=1.0, longest_seconds=60.0)
_ALARM_EVERY_SECONDS: Final = 3600.0


@dataclass(slots=True)
class _Failures:
    """The failures in a row of one table.

    Attributes:
        backoff: Counts them.
        since_seconds: When the first was.
        alarm_at_seconds: When the next ERROR is logged if failures go on.
        not_before_seconds: When the next attempt may be made.
    """

    since_seconds: float
    alarm_at_seconds: float
    backoff: Backoff = field(default_factory=lambda: Backoff(_BACKOFF))
    not_before_seconds: float = 0.0


class ConsumerRounds:
    """The rounds of one consumer; one thread at a time may call `run`.

    Args:
        log: The source of records.
        consumer: Gets the tables that it lags behind with.
        alarm_seconds: A table that fails for so long is logged as an ERROR, and again every hour.
        monotonic: Returns seconds on a clock that never goes back.
        figures: Count what is consumed, and the tables that fail.
    """

    def __init__(
        self,
        log: EventLog,
        consumer: Consumer,
        *,
        alarm_seconds: float = 600.0,
        monotonic: Callable[[], float] = time.monotonic,
        figures: Figures = NO_FIGURES,
    ) -> None:
        self.consumer = consumer
        self._consumed = figures.counter(CONSUMED, consumer.name)
        self._failing = figures.gauge(CONSUMER_FAILING, consumer.name)
        self._failing.set(0.0)
        self._log = log
        self._alarm_seconds = alarm_seconds
        self._monotonic = monotonic
        self._failures: dict[str, _Failures] = {}
        #: By location: up to where it was told last that records were missed.
        self._told_missed: dict[str, int] = {}

    def run(self, *, stopping: Callable[[], bool] = lambda: False) -> int:
        """Offer each table that is due once, if this process is to consume; failures of tables delay no others.

        Args:
            stopping: Called between tables, and by the consumer; true ends the round.

        Returns:
            How many records were consumed.
        """
        if not self._log.consumes():
            return 0
        consumed = 0
        lags = self._log.lags(self.consumer.name)
        # Failures of tables that were removed, or that somebody else has brought up to date, are no longer counted.
        behind = {lag.table.location for lag in lags}
        self._failures = {key: value for key, value in self._failures.items() if key in behind}
        self._told_missed = {key: value for key, value in self._told_missed.items() if key in behind}
        for lag in lags:
            if stopping():
                break
            failures = self._failures.get(lag.table.location)
            if failures is not None and self._monotonic() < failures.not_before_seconds:
                continue
            self._tell_missed(lag)
            try:
                if self.consumer.is_due(lag):
                    consumed += self.consumer.consume(lag, stopping=stopping)
            except Exception as error:  # noqa: BLE001 - the log keeps the records, and a later attempt may succeed
                self._failed(lag, error)
            else:
                self._succeeded(lag)
        self._consumed.add(consumed)
        self._failing.set(len(self._failures))
        return consumed

    def _tell_missed(self, lag: TableLag) -> None:
        """Log what a consumer misses of a table: once, and again when it is more."""
        location = lag.table.location
        if lag.missed_offset and lag.missed_offset != self._told_missed.get(location):
            _log.error(
                "records_missed",
                consumer=self.consumer.name,
                location=location,
                after_offset=lag.committed_offset,
                up_to_offset=lag.missed_offset,
            )
            self._told_missed[location] = lag.missed_offset

    def _failed(self, lag: TableLag, error: Exception) -> None:
        now, location = self._monotonic(), lag.table.location
        failures = self._failures.get(location)
        if failures is None:
            trace = None if isinstance(error, TailorbirdError) else error
            _log.warning(
                "consumer_failed", consumer=self.consumer.name, location=location, message=str(error), exc_info=trace
            )
            failures = self._failures[location] = _Failures(now, now + self._alarm_seconds)
        elif now >= failures.alarm_at_seconds:
            failures.alarm_at_seconds = now + _ALARM_EVERY_SECONDS
            _log.error(
                "consumer_stuck",
                consumer=self.consumer.name,
                location=location,
                seconds=round(now - failures.since_seconds),
                unconsumed_from=lag.committed_offset + 1,
                message=str(error),
            )
        failures.not_before_seconds = now + failures.backoff.failed()

    def _succeeded(self, lag: TableLag) -> None:
        failures = self._failures.pop(lag.table.location, None)
        if failures is not None:
            _log.info(
                "consumer_resumed",
                consumer=self.consumer.name,
                location=lag.table.location,
                failures=failures.backoff.failures,
            )
