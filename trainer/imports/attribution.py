"""What imported interactions add to the metrics of an attribution, in the report that the owner of an import asks for.

Events are added up file by file, and sums that are too many for memory go to files by their windows. Where a value is
missing, or no finite number, it adds nothing, as with events that are sent; but windows may be of any time.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from glob import escape
from pathlib import Path
from typing import Final

import polars as pl

from common import columns
from common.attribution import (
    REPORT_COLUMNS,
    UNDEFINED_SOURCE,
    WINDOW_SECONDS,
    FollowedMetric,
    bounded_source,
    followed_metrics,
)
from common.avro import AvroSchema
from common.metric_expressions import MathFunction
from common.newest import newest
from common.recommendation_ids import RecommendationIds
from common.storage import Store
from common.table_files import TableFile
from common.tables import Table
from protos.tailorbird.internal.v1.jobs_pb2 import TrackedAttribution

__all__ = ["AttributedRows"]

#: Sums that are kept in memory; a line has those of all metrics.
_IN_MEMORY: Final = 1_000_000
_BUCKETS: Final = 64
_WINDOW: Final = "WINDOW\n"
_SOURCE: Final = "SOURCE\n"
_COUNT: Final = "COUNT\n"
_KEYS: Final = (_WINDOW, columns.EVENT_TYPE, _SOURCE)


class AttributedRows:
    """Adds up the rows of one import.

    Args:
        attribution: Says what is counted.
        schema: That of the interactions.
        store: Holds the table of items.
        ids: Resolve recommendations.
        folder: Existing and empty, for files.
        in_memory: Sums that are kept in memory.
    """

    def __init__(
        self,
        attribution: TrackedAttribution,
        schema: AvroSchema,
        *,
        store: Store,
        ids: RecommendationIds,
        folder: Path,
        in_memory: int = _IN_MEMORY,
    ) -> None:
        self._metrics = followed_metrics(
            (item.metric_name, item.event_type, item.expression) for item in attribution.metrics
        )
        self._types = sorted({metric.event_type for metric in self._metrics})
        self._attribution = attribution
        self._store = store
        self._ids = ids
        self._folder = folder
        self._in_memory = in_memory
        self._sources: set[str] = set()
        names = {item.name.upper(): item.name for item in schema.fields}
        #: The columns that are summed, of rows and of items, as the tables have them, by name in upper case.
        self._row_columns = {name: names[name] for name in self._summed("INTERACTIONS") if name in names}
        self._item_columns = self._columns_of_items()
        present = {item.name for item in schema.fields}
        optional = {columns.RECOMMENDATION_ID, columns.EVENT_ATTRIBUTION_SOURCE} & present
        always = {columns.ITEM_ID, columns.TIMESTAMP, columns.EVENT_TYPE}
        self._read = sorted(always | optional | set(self._row_columns.values()))

    def write_report(self, files: Iterable[TableFile]) -> Path:
        """Add the rows of files up, and return the file of the report; without rows that count it has a header alone.

        Raises:
            CorruptArtifact: A file of the table of items is damaged.
            Unavailable: The store cannot be reached.
        """
        items = self._item_values()
        path = self._folder / "report.csv"
        sums = _Sums(self._folder, self._in_memory)
        for file in files:
            rows = pl.scan_parquet(file.path, glob=False).select(self._read)
            rows = rows.filter(pl.col(columns.EVENT_TYPE).is_in(pl.Series(self._types, dtype=pl.String).implode()))
            sums.add(self._added_up(rows.collect(), items))
        with path.open("wb") as target:
            target.write((",".join(REPORT_COLUMNS) + "\n").encode())
            for part in sums.parts() if self._metrics else ():
                self._lines(part).write_csv(target, include_header=False)
        return path

    def _summed(self, dataset_type: str) -> list[str]:
        """Return which columns of a dataset are summed, in upper case."""
        expressions = [metric.expression for metric in self._metrics]
        return sorted({item.column for item in expressions if item.dataset_type == dataset_type})

    def _columns_of_items(self) -> dict[str, str]:
        if not self._attribution.HasField("items"):
            return {}
        names = {item.name.upper(): item.name for item in AvroSchema.parse(self._attribution.items.schema).fields}
        return {name: names[name] for name in self._summed("ITEMS") if name in names}

    def _item_values(self) -> pl.DataFrame | None:
        """Return the summed columns of all items, as the table has them now; None where none are."""
        if not self._item_columns:
            return None
        table = Table(self._store, self._attribution.items.location)
        if not table.exists():
            return None
        names = [columns.ITEM_ID, columns.SOURCE, columns.LOG_OFFSET, *self._item_columns.values()]
        batches = list(table.batches(names, version=table.version()))
        if not batches:
            return None
        rows = newest(pl.concat(batches, how="diagonal"), [columns.ITEM_ID])
        present = {name: column for name, column in self._item_columns.items() if column in rows.columns}
        return rows.select(
            columns.ITEM_ID, *(pl.col(column).alias(_of_items(name)) for name, column in present.items())
        )

    def _added_up(self, rows: pl.DataFrame, items: pl.DataFrame | None) -> pl.DataFrame:
        """Return the sums of some rows by window, event type and source."""
        rows = rows.with_columns(
            (pl.col(columns.TIMESTAMP) // WINDOW_SECONDS * WINDOW_SECONDS).alias(_WINDOW),
            self._sources_of(rows).alias(_SOURCE),
        )
        if items is not None:
            rows = rows.join(items, on=columns.ITEM_ID, how="left", maintain_order="left")
        values = {_of_rows(name): column for name, column in self._row_columns.items()}
        values |= {} if items is None else {name: name for name in items.columns[1:]}
        numbers = {name: pl.col(column).cast(pl.Float64) for name, column in values.items()}
        rows = rows.select(
            *_KEYS, *(pl.when(value.is_finite()).then(value).alias(name) for name, value in numbers.items())
        )
        return rows.group_by(_KEYS).agg(
            pl.len().cast(pl.Int64).alias(_COUNT),
            *(pl.col(name).sum() for name in values),
            *(pl.col(name).count().cast(pl.Int64).alias(_counted(name)) for name in values),
        )

    def _sources_of(self, rows: pl.DataFrame) -> pl.Series:
        """Return what led to each event, as it is counted: the first hundred sources that are met."""
        named = pl.repeat(None, len(rows), eager=True, dtype=pl.String)
        if columns.EVENT_ATTRIBUTION_SOURCE in rows.columns:
            named = rows[columns.EVENT_ATTRIBUTION_SOURCE]
        if columns.RECOMMENDATION_ID in rows.columns:
            named = named.zip_with(named.is_not_null(), self._resolved(rows, named.is_null()))
        distinct = named.drop_nulls().unique(maintain_order=True).to_list()
        counted = {source: bounded_source(source, self._sources) for source in distinct}
        return named.replace_strict(counted, default=UNDEFINED_SOURCE, return_dtype=pl.String)

    def _resolved(self, rows: pl.DataFrame, is_asked: pl.Series) -> pl.Series:
        """Return which campaign or recommender each event's recommendation is of, where that is asked."""
        names = [columns.RECOMMENDATION_ID, columns.TIMESTAMP]
        named_ids = rows.select(names).filter(is_asked & rows[columns.RECOMMENDATION_ID].is_not_null()).unique()
        arns = list(self._attribution.serving_arns)
        answered_by = [
            self._ids.resolve(recommendation_id, arns, at=seconds) for recommendation_id, seconds in named_ids.rows()
        ]
        resolved = named_ids.with_columns(pl.Series(_SOURCE, answered_by, dtype=pl.String))
        return rows.select(names).join(resolved, on=names, how="left", maintain_order="left")[_SOURCE]

    def _lines(self, sums: pl.DataFrame) -> pl.DataFrame:
        """Return the lines of a report, in order."""
        name, event_type, _, function, source, window = REPORT_COLUMNS
        lines = pl.concat(self._lines_of(metric, sums) for metric in self._metrics)
        ordered = lines.sort(window, name, event_type, function, source)
        return ordered.with_columns(pl.col(name).str.to_uppercase(), pl.col(event_type).str.to_uppercase())

    def _lines_of(self, metric: FollowedMetric, sums: pl.DataFrame) -> pl.DataFrame:
        """Return the lines of one metric."""
        value, counted = _COUNT, _COUNT
        if metric.expression.function is MathFunction.SUM:
            of = _of_items if metric.expression.dataset_type == "ITEMS" else _of_rows
            value = of(metric.expression.column)
            counted = _counted(value)
        # A column that no row and no item has adds nothing.
        is_there = pl.col(counted) > 0 if counted in sums.columns else pl.lit(value=False)
        lines = sums.filter(pl.col(columns.EVENT_TYPE) == metric.event_type, is_there)
        expressions = (
            pl.lit(metric.name), pl.col(columns.EVENT_TYPE),
            pl.col(value).cast(pl.Float64) if value in sums.columns else pl.lit(0.0),
            pl.lit(metric.expression.function.value), pl.col(_SOURCE), pl.col(_WINDOW),
        )  # fmt: skip
        return lines.select(
            expression.alias(name) for name, expression in zip(REPORT_COLUMNS, expressions, strict=True)
        )


@dataclass(slots=True)
class _Sums:
    """Sums by window, event type and source; those of a window come into the same bucket."""

    folder: Path
    in_memory: int
    _recent: list[pl.DataFrame] = field(default_factory=list)
    _n_recent: int = 0
    _buckets: dict[int, list[Path]] = field(default_factory=dict)

    def add(self, sums: pl.DataFrame) -> None:
        """Take some sums."""
        self._recent.append(sums)
        self._n_recent += len(sums)
        if self._n_recent > self.in_memory:
            self._recent = [_joined(self._recent)]
            self._n_recent = len(self._recent[0])
            if self._n_recent > self.in_memory // 2:
                self._spill()

    def parts(self) -> Iterator[pl.DataFrame]:
        """Yield all sums, those of a window together, at most a bucket at a time."""
        if not self._buckets:
            yield _joined(self._recent)
            return
        self._spill()
        for _, paths in sorted(self._buckets.items()):
            yield _joined([pl.read_ipc(escape(str(path))) for path in paths])
            for path in paths:
                path.unlink()

    def _spill(self) -> None:
        """Move the sums in memory to the files of their buckets."""
        if not self._n_recent:
            return
        by_bucket = pl.col(_WINDOW) // WINDOW_SECONDS % _BUCKETS
        for (bucket,), part in pl.concat(self._recent).group_by(by_bucket):
            paths = self._buckets.setdefault(int(str(bucket)), [])
            path = self.folder / f"sums-{bucket}-{len(paths)}.arrow"
            part.write_ipc(path)
            paths.append(path)
        self._recent, self._n_recent = [], 0


def _joined(parts: Sequence[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(parts).group_by(_KEYS).agg(pl.exclude(_KEYS).sum())


def _of_rows(column: str) -> str:
    return f"ROWS\n{column}"


def _of_items(column: str) -> str:
    return f"ITEMS\n{column}"


def _counted(name: str) -> str:
    return f"{name}\nCOUNT"
