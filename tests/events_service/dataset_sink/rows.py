"""What is in the interactions table, and rows to be imported into it."""

from __future__ import annotations

import polars as pl

from common import columns
from common.arrow_schema import interactions_frame_schema
from tests.events_service.samples import SCHEMA


def ids_in_table(films) -> list[str]:
    return films.read().sort(columns.LOG_OFFSET)[columns.EVENT_ID].to_list()


def bulk_rows(*users: str) -> pl.DataFrame:
    rows = [
        {"USER_ID": user, "ITEM_ID": "i", "TIMESTAMP": 1, "EVENT_TYPE": "watch", "_SOURCE": "bulk"} for user in users
    ]
    return pl.DataFrame(rows, schema=interactions_frame_schema(SCHEMA))
