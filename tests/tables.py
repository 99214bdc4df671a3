"""What tests do with tables that only import jobs do otherwise."""

from __future__ import annotations

import secrets
from pathlib import Path

import polars as pl

from common import columns
from common.table_files import write_table_file
from common.tables import Table


def import_bulk(table: Table, rows: pl.DataFrame, *, import_id: str, folder: Path) -> None:
    """Replace all bulk rows, which are in files of their own here, as a FULL import does."""
    snapshot = table.snapshot()
    name = secrets.token_hex(8)
    staged = table.stage(write_table_file(rows, folder / f"{name}.parquet"), f"import-{import_id}/{name}.parquet")
    removed = [file.name for file in snapshot.files if file.sources == {columns.SOURCE_BULK}]
    table.replace_files([staged], removed=removed, after=snapshot.version, app_id=import_id, number=len(rows))
