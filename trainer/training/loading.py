"""Frozen tables to arrays: which interactions count, of whom, and in which order.

Everything here is decided by the rows alone, never by the order in which the store yields them, so that one snapshot
always gives the same model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl

from common import columns
from common.avro import AvroSchema
from common.storage import Store
from common.tables import Table
from common.vocabulary import Vocabulary
from recipes.interface import Interactions, TrainingData
from trainer.domain.sufficiency import check_sufficient
from trainer.training.order import FrozenTable, TrainingOrder

__all__ = ["LoadedData", "load", "select_interactions"]


@dataclass(frozen=True, slots=True)
class LoadedData:
    """What is learnt from.

    Attributes:
        data: By indexes.
        items: Ids of the items, those without interactions included.
        users: Ids of the users with interactions.
    """

    data: TrainingData
    items: Vocabulary
    users: Vocabulary


def load(store: Store, order: TrainingOrder) -> LoadedData:
    """Read the snapshot of an order.

    Raises:
        InvalidInput: After the filters there is too little to learn from.
        ResourceNotFound: A table has been deleted meanwhile.
        Unavailable: The store cannot be reached.
    """
    table = order.table("INTERACTIONS")
    assert table is not None, "an order without interactions is never written"
    rows = select_interactions(
        _read(store, table),
        AvroSchema.parse(table.avro_schema),
        event_type=order.event_type,
        threshold=order.event_value_threshold,
    )
    per_user = rows.group_by(columns.USER_ID).len()["len"]
    check_sufficient(
        interactions=len(rows),
        users=len(per_user),
        users_with_two=int((per_user >= 2).sum()),
        event_type=order.event_type,
        threshold=order.event_value_threshold,
    )
    catalogue = order.table("ITEMS")
    listed = _read(store, catalogue)[columns.ITEM_ID] if catalogue is not None else rows[columns.ITEM_ID].head(0)
    items = pl.concat([rows[columns.ITEM_ID], listed]).drop_nulls().unique().sort()
    users = rows[columns.USER_ID].unique().sort()
    interactions = Interactions.sort(
        _indexes(rows[columns.USER_ID], users),
        item=_indexes(rows[columns.ITEM_ID], items),
        timestamp=rows[columns.TIMESTAMP].to_numpy(),
    )
    data = TrainingData(interactions, len(users), len(items))
    return LoadedData(data, Vocabulary.build(items.to_list()), Vocabulary.build(users.to_list()))


def select_interactions(
    rows: pl.DataFrame, schema: AvroSchema, *, event_type: str | None, threshold: float | None
) -> pl.DataFrame:
    """Choose what counts.

    Events of a session without a user are given to the user of the session, if any of its events names one. Events that
    were sent twice, and interactions that agree in everything, count once.

    Args:
        rows: Of the Interactions table.
        schema: Of the dataset.
        event_type: The only type that counts.
        threshold: Least event value that counts; rows without a value do not.

    Returns:
        USER_ID, ITEM_ID and TIMESTAMP, in an order that depends on nothing but the rows.
    """
    known = _with_users(rows).filter(pl.col(columns.USER_ID).is_not_null() & pl.col(columns.ITEM_ID).is_not_null())
    if event_type is not None:
        known = known.filter(pl.col(columns.EVENT_TYPE) == event_type)
    if threshold is not None:
        known = known.filter(pl.col(columns.EVENT_VALUE) >= threshold)
    own = [field.name for field in schema.fields]
    ordered = known.sort(columns.LOG_OFFSET, *own, nulls_last=False)
    sent = pl.col(columns.EVENT_ID)
    counted = ordered.filter(sent.is_null() | sent.is_first_distinct()).unique(own, keep="first", maintain_order=True)
    # What happened in one second has no order of its own. Offsets give streamed events one; all others are shuffled by
    # a hash, because any order of the ids would be a pattern that models learn and evaluations reward.
    shuffled = pl.struct(columns.USER_ID, columns.ITEM_ID).hash(seed=1)
    return counted.sort(columns.TIMESTAMP, columns.LOG_OFFSET, shuffled, nulls_last=False).select(
        columns.USER_ID, columns.ITEM_ID, columns.TIMESTAMP
    )


def _with_users(rows: pl.DataFrame) -> pl.DataFrame:
    """Fill in the users of sessions; a session that several users shared belongs to its last one."""
    user, session = pl.col(columns.USER_ID), pl.col(columns.SESSION_ID)
    owners = (
        rows.filter(user.is_not_null() & session.is_not_null())
        .sort(columns.LOG_OFFSET, columns.USER_ID, nulls_last=False)
        .unique(columns.SESSION_ID, keep="last", maintain_order=True)
        .select(session, user.alias("_OWNER"))
    )
    joined = rows.join(owners, on=columns.SESSION_ID, how="left", maintain_order="left")
    return joined.with_columns(pl.coalesce(user, pl.col("_OWNER")).alias(columns.USER_ID)).drop("_OWNER")


def _read(store: Store, table: FrozenTable) -> pl.DataFrame:
    return Table(store, table.location).read(version=table.version)


def _indexes(values: pl.Series, ids: pl.Series) -> np.ndarray[tuple[int], np.dtype[np.int64]]:
    """Return the place of each value among the sorted ids."""
    places = pl.DataFrame({"id": ids, "place": pl.arange(len(ids), eager=True, dtype=pl.Int64)})
    return pl.DataFrame({"id": values}).join(places, on="id", how="left", maintain_order="left")["place"].to_numpy()
