"""Reads files as imports do: all rows, or the error of an import that failed."""

from __future__ import annotations

from pathlib import Path

import polars as pl

from common.avro import AvroSchema
from common.data_files import DataFile, DataReader, import_failed


def read_files(*paths: Path, schema: AvroSchema, dataset_type: str = "INTERACTIONS") -> pl.DataFrame:
    reader = DataReader(schema, dataset_type=dataset_type)
    parts = list(reader.batches([DataFile(path.name, path) for path in paths]))
    if not reader.report.clean:
        raise import_failed(dataset_type, reader.report.detail)
    return pl.concat(parts)
