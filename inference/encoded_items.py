"""Vectors of items that came after a model, made of their columns in a thread, a bounded number in each round.

An item is encoded when it is put and again when it is put anew. With a new snapshot all are, little by little: an
import may have changed their columns. Until then they have the vectors that they had. Those that the dataset has no
longer, or whose dataset is deleted, leave at once.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common import columns as reserved
from common.errors import CorruptArtifact
from common.features import Features
from common.logs import get_logger
from inference.filter_table import FilterTable
from inference.model import Model
from inference.new_items import NewItems
from recipes.components.cluster_lists import ClusterLists
from recipes.data.columns import NO_TIME, CategoricalColumn, Columns
from recipes.data.histories import ItemIndexes
from recipes.data.texts import clean_text
from recipes.ports import ContentColumns, EncodesNewItems, Neighbours, NewItemEncoder, RelatesNewItems

__all__ = ["EncodedNewItems", "encoded_new_items", "read_columns"]

#: Items that are encoded in one round.
_BATCH: Final = 2_000
#: Pairs of a new item and one of the model that are weighed in one round, and items that are encoded all the same: of a
#: large catalogue few at a time, as others wait for the end of a round.
_PAIRS, _LEAST = 1 << 26, 50
_NOTHING: Final = np.empty(0, np.int32)
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class EncodedNewItems:
    """The new items of a model as the last round left them.

    Attributes:
        current: For requests.
        encoder: Makes vectors; None where the model has none, or before it was needed.
        table: What the items' rows were read from; None before the first round.
        pending: int32, items whose columns have to be read again.
        is_complete: Whether there is nothing left to do.
        clusters: Kinds of users; None before they were needed.
    """

    current: NewItems = field(default_factory=NewItems.none)
    encoder: NewItemEncoder | None = None
    table: FilterTable | None = None
    pending: ItemIndexes = field(default_factory=lambda: _NOTHING)
    is_complete: bool = False
    clusters: ClusterLists | None = None


def encoded_new_items(model: Model, table: FilterTable, before: EncodedNewItems) -> EncodedNewItems:
    """Encode some of the items that are new or were changed since the round before.

    Args:
        model: Whose space the vectors are in.
        table: Binds the items to the features as they are now.
        before: As the last round left it; the same is returned where nothing is left to do.
    """
    scorer, features, n_items = model.scorer, table.features, len(model.item_ids)
    if before.is_complete and (before.table is table or not isinstance(scorer, EncodesNewItems)):
        return before
    if not isinstance(scorer, EncodesNewItems):
        return replace(before, is_complete=True)
    with_columns = _NOTHING
    if features is not None:
        with_columns = (np.flatnonzero(table.row_of_item[n_items:] < features.n_rows) + n_items).astype(np.int32)
    unread = np.setdiff1d(with_columns, before.current.items, assume_unique=True)
    pending = np.intersect1d(_changed(before, table, n_items=n_items), with_columns, assume_unique=True)
    left = replace(
        before, current=_only(before, with_columns, n_items=n_items), table=table, pending=_NOTHING, is_complete=True
    )
    if features is None or not (len(unread) or len(pending)):
        return left
    encoder = before.encoder or _opened(scorer)
    if encoder is None:
        return left
    relating = model.scorer if isinstance(model.scorer, RelatesNewItems) else None
    most = _BATCH if relating is None else min(_BATCH, max(_LEAST, _PAIRS // n_items))
    batch = np.concatenate([unread, pending])[:most]
    columns = read_columns(features, table.row_of_item[batch], encoder.columns)
    encoded = encoder.encode(columns, n_rows=len(batch))
    created = np.full(len(batch), NO_TIME) if columns.created is None else columns.created
    current = before.current
    stays = np.isin(current.items, with_columns) & ~np.isin(current.items, batch)
    items = np.concatenate([current.items[stays], batch])
    order = np.argsort(items)
    clusters = before.clusters
    if clusters is None and len(items) > NewItems.SCANNED:
        clusters = ClusterLists.of_users(model.user_vectors if relating is None else relating.new_item_queries)
    width = encoded.vectors.shape[1]
    neighbours = encoded.neighbours
    if neighbours is not None and current.neighbours is not None:
        kept = _rows(current.neighbours, stays)
        neighbours = Neighbours(*(np.concatenate(parts) for parts in zip(kept, neighbours, strict=True)))
    current = NewItems.of(
        items[order],
        vectors=np.concatenate([current.vectors[stays].reshape(-1, width), encoded.vectors])[order],
        described=np.concatenate([current.described[stays], encoded.described])[order],
        created=np.concatenate([current.created[stays], created])[order],
        clusters=clusters if len(items) > NewItems.SCANNED else None,
        first=n_items,
        neighbours=None if neighbours is None else _rows(neighbours, order),
    )
    return EncodedNewItems(
        current,
        encoder,
        table,
        pending=np.setdiff1d(pending, batch, assume_unique=True),
        is_complete=len(batch) == len(unread) + len(pending),
        clusters=clusters,
    )


def read_columns(features: Features, rows: NDArray[np.int32], names: ContentColumns) -> Columns:
    """Read the columns of some rows as a training reads them.

    Args:
        features: Of the items.
        rows: int32 [n].
        names: Of the columns.
    """
    numbers = rows.tolist()

    def texts(name: str) -> tuple[str | None, ...]:
        return tuple(clean_text(features.text(row, name) or "") or None for row in numbers)

    def values(name: str) -> list[float]:
        read = [features.values_of(row, name) for row in numbers]
        # The column may be of another type than when the model learnt from it.
        return [float(of_row[0]) if of_row and not isinstance(of_row[0], str) else np.nan for of_row in read]

    of_names = [item.name for item in features.schema.fields if item.item_name] if names.names else []
    created = None
    if features.schema.field(reserved.CREATION_TIMESTAMP) is not None:
        times = [features.values_of(row, reserved.CREATION_TIMESTAMP) for row in numbers]
        created = np.array([int(time[0]) if time else NO_TIME for time in times], np.int64)
    return Columns(
        categorical={
            name: CategoricalColumn.of_values([[str(one) for one in features.values_of(row, name)] for row in numbers])
            for name in names.categorical
        },
        numeric={name: np.array(values(name), np.float64) for name in names.numeric},
        textual={name: texts(name) for name in names.textual},
        names=texts(of_names[0]) if of_names else None,
        created=created,
    )


def _changed(before: EncodedNewItems, table: FilterTable, *, n_items: int) -> ItemIndexes:
    """Return the items, int32, ascending, whose columns have to be read again."""
    features, last = table.features, before.table
    if last is None or last is table or features is None:
        return before.pending
    if last.features is None or not features.extends(last.features):
        return before.current.items
    again = table.item_of_row[features.rows_put_after(last.features.offset)]
    return np.union1d(before.pending, np.intersect1d(again[again >= n_items], before.current.items))


def _only(before: EncodedNewItems, items: ItemIndexes, *, n_items: int) -> NewItems:
    """Return what is known of those of the new items that are among some, int32; the same where all are."""
    current = before.current
    stays = np.isin(current.items, items)
    if stays.all():
        return current
    return NewItems.of(
        current.items[stays],
        vectors=current.vectors[stays],
        described=current.described[stays],
        created=current.created[stays],
        clusters=before.clusters if int(stays.sum()) > NewItems.SCANNED else None,
        first=n_items,
        neighbours=None if current.neighbours is None else _rows(current.neighbours, stays),
    )


def _rows(neighbours: Neighbours, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Neighbours:
    """Return the neighbours of some of the items."""
    return Neighbours(neighbours.items[rows], neighbours.weights[rows])


def _opened(scorer: EncodesNewItems) -> NewItemEncoder | None:
    try:
        return scorer.new_item_encoder()
    except CorruptArtifact as error:
        _log.error("new_items_left_out", message=error.message)
        return None
