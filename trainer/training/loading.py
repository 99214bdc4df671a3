"""Frozen tables to arrays: which interactions count, of whom, and in which order.

Everything here is decided by the rows alone, never by the order in which the store yields them, so that one snapshot
always gives the same model.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from common import columns
from common.avro import AvroField, AvroSchema
from common.frames import interactions_frame_schema
from common.storage import Store
from common.tables import Table
from common.vocabulary import Vocabulary
from recipes.columns import Columns
from recipes.interface import Actions, Interactions, TrainingData
from recipes.registry import recipe
from trainer.domain.sufficiency import check_sufficient
from trainer.training.metadata import MetadataTable, places
from trainer.training.order import FrozenTable, TrainingOrder

__all__ = ["LoadedData", "load", "number_event_types", "select_interactions"]

#: Types of events that models tell apart, so that their numbers and 0 fit into a byte.
_MAX_EVENT_TYPES = 254
#: Of a dataset that is not there, for recipes that do without.
_NO_INTERACTIONS = AvroSchema(
    "Interactions",
    (AvroField(columns.USER_ID, "string"), AvroField(columns.ITEM_ID, "string"), AvroField(columns.TIMESTAMP, "long")),
)


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
    schema = _NO_INTERACTIONS if table is None else AvroSchema.parse(table.avro_schema)
    stored = pl.DataFrame(schema=interactions_frame_schema(schema)) if table is None else _read(store, table)
    rows = select_interactions(stored, schema, event_type=order.event_type, threshold=order.event_value_threshold)
    if recipe(order.recipe).learns_from == "interactions":
        _check_sufficient(rows, order)
    catalogue, people = _metadata(store, order, "ITEMS"), _metadata(store, order, "USERS")
    listed = [catalogue.rows[columns.ITEM_ID]] if catalogue is not None else []
    items = pl.concat([rows[columns.ITEM_ID], *listed]).drop_nulls().unique().sort()
    users = rows[columns.USER_ID].unique().sort()
    event_types, actions = number_event_types(rows[columns.EVENT_TYPE])
    interactions = Interactions.sort(
        _indexes(rows[columns.USER_ID], users),
        item=_indexes(rows[columns.ITEM_ID], items),
        timestamp=rows[columns.TIMESTAMP].to_numpy(),
        action=actions,
    )
    data = TrainingData(
        interactions,
        n_users=len(users),
        n_items=len(items),
        event_types=event_types,
        items=Columns() if catalogue is None else catalogue.columns(items),
        users=Columns() if people is None else people.columns(users),
    )
    return LoadedData(data, Vocabulary.build(items.to_list()), Vocabulary.build(users.to_list()))


def number_event_types(values: pl.Series) -> tuple[tuple[str, ...], Actions]:
    """Number the types of events, the most frequent first, equally frequent ones by name.

    Args:
        values: The type of each interaction; null where there is none.

    Returns:
        The types, at most 254, and the number of each interaction's type, counted from 1: uint8 [n], 0 for null and for
        types beyond those.
    """
    counts = values.drop_nulls().rename("type").value_counts(name="uses")
    kept = counts.sort("uses", "type", descending=[True, False]).head(_MAX_EVENT_TYPES)["type"]
    return tuple(kept.to_list()), (places(values, kept).fill_null(-1) + 1).to_numpy().astype(np.uint8)


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
        USER_ID, ITEM_ID, TIMESTAMP and EVENT_TYPE, in an order that depends on nothing but the rows.
    """
    if columns.EVENT_TYPE not in rows.columns:
        rows = rows.with_columns(pl.lit(None, pl.String).alias(columns.EVENT_TYPE))
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
    shuffled = pl.struct(columns.USER_ID, columns.ITEM_ID, columns.EVENT_TYPE).hash(seed=1)
    return counted.sort(columns.TIMESTAMP, columns.LOG_OFFSET, shuffled, nulls_last=False).select(
        columns.USER_ID, columns.ITEM_ID, columns.TIMESTAMP, columns.EVENT_TYPE
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


def _check_sufficient(rows: pl.DataFrame, order: TrainingOrder) -> None:
    per_user = rows.group_by(columns.USER_ID).len()["len"]
    check_sufficient(
        interactions=len(rows),
        users=len(per_user),
        users_with_two=int((per_user >= 2).sum()),
        event_type=order.event_type,
        threshold=order.event_value_threshold,
    )


def _metadata(store: Store, order: TrainingOrder, dataset_type: str) -> MetadataTable | None:
    """Return the metadata of items or users, None without any."""
    table = order.table(dataset_type)
    if table is None:
        return None
    schema = AvroSchema.parse(table.avro_schema)
    return MetadataTable.of(
        _read(store, table), schema, learns_from=lambda column: order.learns_from(dataset_type, column)
    )


def _read(store: Store, table: FrozenTable) -> pl.DataFrame:
    return Table(store, table.location).read(version=table.version)


def _indexes(values: pl.Series, ids: pl.Series) -> NDArray[np.int64]:
    """Return the place of each value among ids that contain it."""
    return places(values, ids).to_numpy()
