"""What a check says of rows that come in many batches: the same as of one, at a cost that grows with the rows."""

from __future__ import annotations

import polars as pl

from cli import insights
from cli.insights import Insights
from common.avro import AvroSchema
from tests.trainer.place import SCHEMAS

SCHEMA = AvroSchema.parse(SCHEMAS["INTERACTIONS"])


def interactions(n_rows: int) -> pl.DataFrame:
    """Return rows of which every other user and item is new, and the last quarter is the first again."""
    number = pl.arange(0, n_rows, eager=True) % (n_rows * 3 // 4)
    return pl.DataFrame(
        {
            "USER_ID": (number // 2).cast(pl.String),
            "ITEM_ID": number.cast(pl.String),
            "TIMESTAMP": number.cast(pl.Int64),
            "EVENT_TYPE": pl.repeat("watch", n_rows, eager=True),
            "EVENT_VALUE": pl.repeat(None, n_rows, eager=True, dtype=pl.Float32),
        }
    )


def gathered(rows: pl.DataFrame, *, batch_rows: int) -> Insights:
    gathering = Insights(SCHEMA, "INTERACTIONS")
    for batch in rows.iter_slices(batch_rows):
        gathering.add(batch)
    return gathering


def test_many_batches_say_what_one_says_and_are_added_up_seldom(monkeypatch):
    rows = interactions(8000)
    expected = gathered(rows, batch_rows=8000).as_json()
    assert (expected["identicalRows"], expected["distinct"]["ITEM_ID"], expected["usersWithTwoOrMore"]) == (
        2000,
        6000,
        3000,
    )

    added_up = []
    joined = insights._joined
    monkeypatch.setattr(insights, "_FEW_KEYS", 100)
    monkeypatch.setattr(insights, "_joined", lambda counts: added_up.append(sum(map(len, counts))) or joined(counts))

    assert gathered(rows, batch_rows=50).as_json() == expected
    # Four columns of keys that are mostly new; each key was added up a few times, and not with each of 160 batches.
    assert sum(added_up) < 4 * 8000 * 4
