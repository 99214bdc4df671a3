"""Vectors of items that came after a model, made of their columns in a thread, a bounded number in each round.

An item is encoded when it is put and again when it is put anew. With a new snapshot all are, little by little: an
import may have changed their columns. Until then they have the vectors that they had. Those that the dataset has no
longer, or whose dataset is deleted, leave at once.

What requests read is made anew from all items, so where there are many it is made only once an eighth more have been
encoded, or all: of an import the work grows with its items, not with their square.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, NamedTuple, Self

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
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.data.texts import clean_text
from recipes.ports import ContentColumns, EncodesNewItems, Neighbours, NewItemEncoder, RelatesNewItems

__all__ = ["EncodedNewItems", "encoded_new_items", "read_columns"]

#: Items that are encoded in one round.
_BATCH: Final = 2_000
#: Pairs of a new item and one of the model that are weighed in one round, and items that are encoded all the same: of a
#: large catalogue few at a time, as others wait for the end of a round.
_PAIRS, _LEAST = 1 << 28, 50
#: Items that requests read are made anew once there is one more for each so many.
_SHARE: Final = 8
_NOTHING: Final = np.empty(0, np.int32)
_log = get_logger(__name__)


class _Rows(NamedTuple):
    """Some items as they were encoded, by the attributes of `NewItems`, in any order."""

    items: ItemIndexes
    vectors: FloatArray
    described: NDArray[np.bool_]
    created: NDArray[np.int64]
    neighbours: Neighbours | None

    @classmethod
    def of(cls, items: NewItems) -> Self:
        """Return the rows of what requests read."""
        return cls(items.items, items.vectors, items.described, items.created, items.neighbours)

    def at(self, rows: NDArray[np.bool_] | NDArray[np.int64]) -> Self:
        """Return some of them."""
        neighbours = self.neighbours
        if neighbours is not None:
            neighbours = Neighbours(neighbours.items[rows], neighbours.weights[rows])
        return self._replace(
            items=self.items[rows],
            vectors=self.vectors[rows],
            described=self.described[rows],
            created=self.created[rows],
            neighbours=neighbours,
        )

    def among(self, items: ItemIndexes) -> Self:
        """Return those of some items; the same where all are."""
        stays = np.isin(self.items, items)
        return self if stays.all() else self.at(stays)

    def updated(self, later: Self) -> Self:
        """Return these with others, which take the place of those of the same items."""
        kept = self.at(~np.isin(self.items, later.items))
        if not len(kept.items) or not len(later.items):
            return later if len(later.items) else self
        neighbours = later.neighbours
        if neighbours is not None and kept.neighbours is not None:
            neighbours = Neighbours(
                np.concatenate([kept.neighbours.items, neighbours.items]),
                np.concatenate([kept.neighbours.weights, neighbours.weights]),
            )
        return self._replace(
            items=np.concatenate([kept.items, later.items]),
            vectors=np.concatenate([kept.vectors, later.vectors]),
            described=np.concatenate([kept.described, later.described]),
            created=np.concatenate([kept.created, later.created]),
            neighbours=neighbours,
        )


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
        staged: Items that are encoded and not in `current` yet.
    """

    current: NewItems = field(default_factory=NewItems.none)
    encoder: NewItemEncoder | None = None
    table: FilterTable | None = None
    pending: ItemIndexes = field(default_factory=lambda: _NOTHING)
    is_complete: bool = False
    clusters: ClusterLists | None = None
    staged: _Rows = field(default_factory=lambda: _Rows.of(NewItems.none()))


def encoded_new_items(
    model: Model, table: FilterTable, before: EncodedNewItems, *, most: int = _BATCH
) -> EncodedNewItems:
    """Encode some of the items that are new or were changed since the round before.

    Args:
        model: Whose space the vectors are in.
        table: Binds the items to the features as they are now.
        before: As the last round left it; the same is returned where nothing is left to do.
        most: Items that are encoded at most, fewer where each is weighed with a large catalogue.
    """
    scorer, features, n_items = model.scorer, table.features, len(model.item_ids)
    if before.is_complete and (before.table is table or not isinstance(scorer, EncodesNewItems)):
        return before
    if not isinstance(scorer, EncodesNewItems):
        return replace(before, is_complete=True)
    with_columns = _NOTHING
    if features is not None:
        with_columns = (np.flatnonzero(table.row_of_item[n_items:] < features.n_rows) + n_items).astype(np.int32)
    staged = before.staged.among(with_columns)
    encoded = np.union1d(before.current.items, staged.items)
    unread = np.setdiff1d(with_columns, encoded, assume_unique=True)
    pending = np.intersect1d(_changed(before, table, encoded, n_items=n_items), with_columns, assume_unique=True)
    encoder = before.encoder
    if features is None or not (len(unread) or len(pending)) or (encoder := encoder or _opened(scorer)) is None:
        unread = pending = _NOTHING
    else:
        if isinstance(model.scorer, RelatesNewItems):
            most = min(most, max(_LEAST, _PAIRS // n_items))
        batch = np.concatenate([unread, pending])[:most]
        staged = staged.updated(_encoded(encoder, features, table, batch))
        unread, pending = (np.setdiff1d(items, batch, assume_unique=True) for items in (unread, pending))
    left = replace(
        before, encoder=encoder, table=table, pending=pending, is_complete=not len(unread) + len(pending), staged=staged
    )
    return _listed(left, with_columns, model)


def _encoded(encoder: NewItemEncoder, features: Features, table: FilterTable, items: ItemIndexes) -> _Rows:
    """Encode some items by their columns."""
    columns = read_columns(features, table.row_of_item[items], encoder.columns)
    encoded = encoder.encode(columns, n_rows=len(items))
    created = np.full(len(items), NO_TIME) if columns.created is None else columns.created
    return _Rows(items, encoded.vectors, encoded.described, created, encoded.neighbours)


def _listed(left: EncodedNewItems, with_columns: ItemIndexes, model: Model) -> EncodedNewItems:
    """Make anew what requests read, unless that can wait for more items.

    Args:
        left: With what is encoded.
        with_columns: int32, the items that there are.
        model: Of the items.
    """
    current, clusters = _Rows.of(left.current), left.clusters
    stays = current.among(with_columns)
    is_due = left.is_complete or _SHARE * len(left.staged.items) >= len(current.items)
    if stays is current and not (is_due and len(left.staged.items)):
        return left
    rows = stays.updated(left.staged)
    rows = rows.at(np.argsort(rows.items))
    if clusters is None and len(rows.items) > NewItems.SCANNED:
        relating = model.scorer if isinstance(model.scorer, RelatesNewItems) else None
        clusters = ClusterLists.of_users(model.user_vectors if relating is None else relating.new_item_queries)
    made = NewItems.of(
        rows.items,
        vectors=rows.vectors,
        described=rows.described,
        created=rows.created,
        clusters=clusters if len(rows.items) > NewItems.SCANNED else None,
        first=len(model.item_ids),
        neighbours=rows.neighbours,
    )
    return replace(left, current=made, clusters=clusters, staged=rows.at(np.empty(0, np.int64)))


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


def _changed(before: EncodedNewItems, table: FilterTable, encoded: ItemIndexes, *, n_items: int) -> ItemIndexes:
    """Return those of the items that were encoded, int32, ascending, whose columns have to be read again."""
    features, last = table.features, before.table
    if last is None or last is table or features is None:
        return before.pending
    if last.features is None or not features.extends(last.features):
        return encoded
    again = table.item_of_row[features.rows_put_after(last.features.offset)]
    return np.union1d(before.pending, np.intersect1d(again[again >= n_items], encoded))


def _opened(scorer: EncodesNewItems) -> NewItemEncoder | None:
    try:
        return scorer.new_item_encoder()
    except CorruptArtifact as error:
        _log.error("new_items_left_out", message=error.message)
        return None
