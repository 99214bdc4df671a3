"""The consumer of the log that adds events up to the metrics of attributions.

Events count from the moment on at which their group has an attribution: what is in the log before a look at the control
plane that finds none counts for nothing. A look comes after the records that it is for, so no event that follows the
creation is left out; one that came in the few seconds before it may be counted.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Final

from common.attribution import bounded_source, followed_metrics
from common.clock import Clock
from common.logs import get_logger
from common.recommendation_ids import RecommendationIds
from common.storage import Store
from events_service.attribution.item_values import read_item_values
from events_service.attribution.state import AttributionState
from events_service.domain import Event
from events_service.domain.attribution import add_up
from events_service.log import EventLog, TableLag
from events_service.records import contents
from events_service.trackers import Attribution, Tables, read_schema

__all__ = ["MetricAttributionCounter"]

_log = get_logger(__name__)
_BATCH_RECORDS: Final = 5000


class MetricAttributionCounter:
    """Counts the events of tables, a `Consumer`; used by one thread.

    Args:
        log: The source of records.
        store: Holds the tables of items.
        state: Keeps the sums, and how far they go.
        attributions: Returns the attributions by dataset group as they are after the call has begun.
        tables: Tells the schema that a dataset has by now: a metric may name a column that it got a moment ago.
        ids: Resolve recommendations.
        clock: The time of day.
        every_seconds: Pause between two counts of a table, unless many of its records wait.
        monotonic: Returns seconds on a clock that never goes back.
    """

    name = "metric_attribution"

    def __init__(
        self,
        log: EventLog,
        store: Store,
        state: AttributionState,
        *,
        attributions: Callable[[], Mapping[str, Attribution]],
        tables: Tables,
        ids: RecommendationIds,
        clock: Clock,
        every_seconds: float,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._log = log
        self._store = store
        self._state = state
        self._attributions = attributions
        self._tables = tables
        self._ids = ids
        self._clock = clock
        self._every_seconds = every_seconds
        self._monotonic = monotonic
        self._counted_at: dict[str, float] = {}

    def is_due(self, lag: TableLag) -> bool:
        """Return whether a table was not counted for a while, or many records wait; see `Consumer`."""
        if lag.last_offset - lag.committed_offset >= _BATCH_RECORDS:
            return True
        counted_at = self._counted_at.get(lag.table.location)
        return counted_at is None or self._monotonic() - counted_at >= self._every_seconds

    def consume(self, lag: TableLag, *, stopping: Callable[[], bool]) -> int:
        """Count a table's records, or pass over those that no attribution is for; see `Consumer`."""
        location, group = lag.table.location, lag.table.dataset_group_arn
        now = self._monotonic()
        kept = {key: at for key, at in self._counted_at.items() if now - at < self._every_seconds}
        self._counted_at = {**kept, location: now}
        if lag.table.dataset_type != "INTERACTIONS":
            self._log.mark_consumed(self.name, location, lag.last_offset)
            return 0
        committed = self._committed(lag)
        attribution = self._attributions().get(group)
        if attribution is None:
            self._state.skip(location, self._log.lineage().at(lag.last_offset))
            self._log.mark_consumed(self.name, location, lag.last_offset)
            return 0
        if schema := self._tables.active([location], with_schemas=True).get(location):
            lag = replace(lag, table=lag.table.widened(schema))
        counted = 0
        while committed < lag.last_offset and not stopping():
            records = self._log.table_records(location, after=committed, max_records=_BATCH_RECORDS)
            # Later ones may have columns that the dataset did not have a moment ago.
            records = [record for record in records if record.offset <= lag.last_offset]
            if not records:
                break  # the table was removed meanwhile
            committed = records[-1].offset
            self._count([event for _, event in contents(records)], lag, attribution, committed)
            self._log.mark_consumed(self.name, location, committed)
            counted += len(records)
        if not counted:
            self._log.mark_consumed(self.name, location, min(committed, lag.last_offset))
        return counted

    def _committed(self, lag: TableLag) -> int:
        """Return the offset up to which a table is counted; what is not of this log any more is not."""
        position = self._state.position(lag.table.location)
        lineage = self._log.lineage()
        if position is None:
            baseline = 0 if lag.committed_offset else lineage.shared(self._state.baseline)
            return max(lag.committed_offset, baseline)
        if not lineage.has(position):
            _log.warning("event_log_replaced", consumer=self.name, location=lag.table.location)
        # Another process may have counted since; its sums are in its own state.
        return max(lineage.shared(position), lag.committed_offset)

    def _count(self, events: list[Event], lag: TableLag, attribution: Attribution, offset: int) -> None:
        """Add events, the last of them at an offset, to the sums of an attribution."""
        schema = read_schema(lag.table.schema)
        metrics = followed_metrics((item.name, item.event_type, item.expression) for item in attribution.metrics)
        types = {metric.event_type for metric in metrics}
        names = {item.expression.column for item in metrics if item.expression.dataset_type == "ITEMS"}
        now = self._clock.now().timestamp()
        events = [event for event in events if event.event_type in types]
        targets = self._state.targets(attribution, now=now, kept_seconds=self._ids.valid.total_seconds())
        sources = self._state.sources(attribution)

        def source_of(event: Event) -> str:
            source = event.attribution_source
            if not source and event.recommendation_id:
                source = self._ids.resolve(event.recommendation_id, targets, at=event.sent_at_millis / 1000)
            return bounded_source(source, sources)

        item_ids = {event.item_id for event in events if event.item_id}
        values = read_item_values(self._store, attribution.items, names=names, item_ids=item_ids)
        sums = {}
        if schema is not None:
            sums = add_up(events, metrics, schema, now=now, source_of=source_of, item_values=values)
        location = lag.table.location
        self._state.add(location, self._log.lineage().at(offset), attribution, sums, now=now)
        _log.debug("events_attributed", location=location, sums=len(sums), offset=offset)
