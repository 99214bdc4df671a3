"""Random items: a schema with every kind of column, rows of it, and what they mean in plain Python."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from common import columns
from common.arrow_schema import frame_schema
from common.avro import AvroSchema
from common.features import FeatureSnapshot
from common.features.writer import write_features
from protos.tailorbird.storage.v1.feature_manifest_pb2 import FeatureManifest

SCHEMA_TEXT = json.dumps(
    {
        "type": "record",
        "name": "Items",
        "fields": [
            {"name": "ITEM_ID", "type": "string"},
            {"name": "GENRES", "type": ["null", "string"], "categorical": True},
            {"name": "BRAND", "type": ["null", "string"]},
            {"name": "STORY", "type": ["null", "string"], "textual": True},
            {"name": "YEAR", "type": ["null", "int"]},
            {"name": "VIEWS", "type": ["null", "long"]},
            {"name": "PRICE", "type": ["null", "float"]},
            {"name": "WEIGHT", "type": ["null", "double"]},
            {"name": "NEW", "type": ["null", "boolean"]},
        ],
    }
)
SCHEMA = AvroSchema.parse(SCHEMA_TEXT)
Values = Mapping[str, Any]

_texts = st.text("aü|b ", max_size=5)
_ints = st.integers(-5, 5)
rows = st.fixed_dictionaries(
    {
        "GENRES": st.none() | _texts,
        "BRAND": st.none() | _texts,
        "STORY": st.none() | _texts,
        "YEAR": st.none() | _ints,
        "VIEWS": st.none() | _ints.map(lambda number: number * 2**40),
        "PRICE": st.none() | _ints.map(lambda number: number / 10),
        "WEIGHT": st.none() | _ints.map(lambda number: number / 10),
        "NEW": st.none() | st.booleans(),
    }
)
ids = st.sampled_from([f"i{number}" for number in range(12)] + ["ü", ""])


def frame(held: Mapping[str, Values], *, source: str, offset: int | None) -> pl.DataFrame:
    """Return the rows that a table has of items."""
    types = {**frame_schema(SCHEMA), columns.SOURCE: pl.String(), columns.LOG_OFFSET: pl.Int64()}
    listed = [
        {"ITEM_ID": item, **values, columns.SOURCE: source, columns.LOG_OFFSET: offset} for item, values in held.items()
    ]
    return pl.DataFrame(listed, schema=types)


def snapshot_of(held: Mapping[str, Values], place: str) -> FeatureSnapshot:
    """Return the snapshot of items, in files of an empty folder, without a table and its publication."""
    work, target = Path(place) / "work", Path(place) / "files"
    work.mkdir()
    target.mkdir()
    rows = frame(held, source=columns.SOURCE_PUT, offset=1)
    count, written = write_features([rows], SCHEMA, work=work, target=target, memory_bytes=1 << 20, check=lambda: None)
    return FeatureSnapshot.load(target, FeatureManifest(schema=SCHEMA_TEXT, n_rows=count, columns=written))


def texts_of(values: Values, name: str) -> list[str]:
    """Return the texts that filters compare."""
    value = values[name]
    if value is None:
        return []
    if name == "GENRES":
        return list(dict.fromkeys(part.strip() for part in value.split("|") if part.strip()))
    return [value]


def shown(values: Values, name: str) -> str | None:
    """Return how a value is shown."""
    value = values[name]
    if value is None:
        return None
    if name == "GENRES":
        return "|".join(texts_of(values, name)) or None
    if name == "PRICE":
        return str(np.float32(value))
    return str(value).lower() if name == "NEW" else str(value)


def matching(held: Mapping[str, Values], name: str, operator: str, value: Any) -> set[str]:
    """Return the ids whose values stand in a relation to another one, by going through all of them."""
    if name in ("GENRES", "BRAND"):
        return {item for item, values in held.items() if value in texts_of(values, name)}
    bound = float(np.float32(value)) if name == "PRICE" else value
    numbers = {
        item: float(np.float32(values[name])) if name == "PRICE" else values[name]
        for item, values in held.items()
        if values[name] is not None
    }
    compare = {
        "=": lambda number: number == bound,
        "<": lambda number: number < bound,
        "<=": lambda number: number <= bound,
        ">": lambda number: number > bound,
        ">=": lambda number: number >= bound,
    }[operator]
    return {item for item, number in numbers.items() if compare(number)}


conditions = st.one_of(
    st.tuples(st.just("GENRES"), st.just("="), st.sampled_from(["a", "ü", "b", "ab", "none"])),
    st.tuples(st.just("BRAND"), st.just("="), _texts),
    st.tuples(st.sampled_from(["YEAR", "VIEWS"]), st.sampled_from(["=", "<", "<=", ">", ">="]), _ints),
    st.tuples(
        st.sampled_from(["PRICE", "WEIGHT"]),
        st.sampled_from(["=", "<", "<=", ">", ">="]),
        _ints.map(lambda number: number / 10),
    ),
)
