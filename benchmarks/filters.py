"""Filters: reading, index, static part and request: `python -m benchmarks.filters`.

Of generated catalogues, for typical expressions: how long reading and checking the text takes, how long the index of
the columns, what a filter with its values costs once (it can be kept), and what each request adds to that. The user of
the requests has 100 events.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.report import markdown_table, percentile, publish
from common.avro import AvroField, AvroSchema
from common.filters import (
    Dataset,
    NumberColumn,
    RequestContext,
    Table,
    TextColumn,
    compile_filter,
    parse_filter,
    parse_filter_values,
    rows_of,
)
from common.vocabulary import Vocabulary

_GENRES: Final = 10
_BRANDS: Final = 5000
_EVENTS: Final = 100

_SCHEMAS: Final = {
    Dataset.ITEMS: AvroSchema(
        "Items",
        (
            AvroField("ITEM_ID", "string"),
            AvroField("GENRES", "string", categorical=True),
            AvroField("BRAND", "string"),
            AvroField("YEAR", "int"),
            AvroField("PRICE", "float"),
        ),
    ),
    Dataset.INTERACTIONS: AvroSchema("Interactions", (AvroField("EVENT_TYPE", "string"),)),
}
_FILTERS: Final = {
    "one of ten values": 'INCLUDE ItemID WHERE Items.GENRES IN ("genre 3")',
    "one of 5,000 values": "INCLUDE ItemID WHERE Items.BRAND IN ($BRAND)",
    "range of half of the items": "INCLUDE ItemID WHERE Items.PRICE < 50",
    "AND, OR": 'INCLUDE ItemID WHERE Items.GENRES IN ("genre 1", "genre 2") AND Items.YEAR >= 1990 AND '
    '(Items.PRICE < 20 OR Items.BRAND = "brand 7")',
    "not purchased": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("purchase")',
    "one of ten values, not purchased": 'INCLUDE ItemID WHERE Items.GENRES IN ("genre 3") | '
    'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("purchase")',
    "cheaper than the current item": "INCLUDE ItemID WHERE Items.PRICE < CurrentItem.PRICE AND "
    "Items.GENRES IN CurrentItem.GENRES",
}
_VALUES: Final = {"BRAND": '"brand 9"'}


def _table(n_items: int, random: np.random.Generator) -> Table:
    years = random.integers(1950, 2026, n_items).astype(np.int32)
    prices = random.uniform(0, 100, n_items).astype(np.float32)
    return Table(
        n_items,
        {
            "GENRES": _texts("genre", _GENRES, random.integers(1, 3, n_items), random),
            "BRAND": _texts("brand", _BRANDS, np.ones(n_items, np.int64), random),
            "YEAR": NumberColumn.build(years),
            "PRICE": NumberColumn.build(prices),
        },
    )


def _texts(name: str, count: int, lengths: np.ndarray[Any, Any], random: np.random.Generator) -> TextColumn:
    offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(lengths)])
    codes = random.integers(0, count, int(offsets[-1])).astype(np.int32)
    return TextColumn.build(
        Vocabulary.build(f"{name} {number}" for number in range(count)), offsets=offsets, codes=codes
    )


def _median_us(work: Callable[[], object], repeats: int) -> float:
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        work()
        times.append((time.perf_counter() - start) * 1e6)
    return round(percentile(sorted(times), 0.5), 1)


def _measure(name: str, table: Table, context: RequestContext, repeats: int) -> dict[str, Any]:
    text = _FILTERS[name]
    definition = parse_filter(text, _SCHEMAS)
    values = parse_filter_values(definition, _VALUES if definition.parameters else {})
    compiled = compile_filter(definition, table, values)
    return {
        "filter": name,
        "items": table.n_rows,
        "passing": len(compiled.rows(context)),
        "read_and_check_us": _median_us(lambda: parse_filter(text, _SCHEMAS), repeats),
        "compile_us": _median_us(lambda: compile_filter(definition, table, values), repeats),
        "request_us": _median_us(lambda: compiled.rows(context), repeats),
    }


def main() -> None:
    """Read the command line, measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, nargs="+", default=[60_000, 1_000_000], help="sizes of the catalogues")
    parser.add_argument(
        "--repeats", type=int, default=200, help="measurements of each time, of which the median counts"
    )
    parser.add_argument("--output", type=Path, help="write every figure as JSON")
    options = parser.parse_args()
    measurements, index_seconds = [], {}
    for n_items in options.items:
        random = np.random.default_rng(1)
        start = time.perf_counter()
        table = _table(n_items, random)
        index_seconds[n_items] = round(time.perf_counter() - start, 2)
        events = {"purchase": rows_of(np.sort(random.integers(0, n_items, _EVENTS)))}
        context = RequestContext(events, current_item=0)
        measurements += [_measure(name, table, context, options.repeats) for name in _FILTERS]
    lines = [list(measurement.values()) for measurement in measurements]
    header = ["filter", "items", "passing", "read and check µs", "once per filter and values µs", "request µs"]
    indexes = "".join(f"Index of 4 columns of {n_items} items: {took} s\n" for n_items, took in index_seconds.items())
    publish(
        {"index_seconds": index_seconds, "measurements": measurements},
        table=f"{indexes}\n{markdown_table(header, lines)}",
        output=options.output,
    )


if __name__ == "__main__":
    main()
