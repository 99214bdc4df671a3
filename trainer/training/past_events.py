"""Everything that users did until the training, for filters: all types of events, whatever the model learns from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from common import columns
from common.filters import Dataset, event_key
from common.vocabulary import Vocabulary
from inference.past_events import MAX_LATER, PastEvents
from trainer.training.coded_rows import by_users
from trainer.training.metadata import places

__all__ = ["CollectedEvents", "collect_events"]

#: Types beyond stand for no type, which only the wildcard finds.
_MAX_TYPES = 65_535
#: What events without a type are of; no filter can name it.
_NO_TYPE = "\0"


@dataclass(frozen=True, slots=True, eq=False)
class CollectedEvents:
    """Who did what with which item, each once.

    Attributes:
        users: Ids, all different.
        items: Ids of items, or of actions, all different.
        types: Types of events as filters compare them.
        user: int32 [entries], places in `users`.
        item: int32 [entries], places in `items`.
        kind: uint16 [entries], places in `types`.
        later: int32 [entries], how many events of the user and the type came after the last with the item.
    """

    users: pl.Series
    items: pl.Series
    types: tuple[str, ...]
    user: NDArray[np.int32]
    item: NDArray[np.int32]
    kind: NDArray[np.uint16]
    later: NDArray[np.int32]

    def save(self, folder: Path, name: str, *, users: Vocabulary, items: Vocabulary) -> None:
        """Write the table of an artifact.

        Args:
            folder: Of the artifact's files, existing.
            name: What the names of the files begin with.
            users: Ids that the model knows.
            items: The same of items, or of actions.
        """
        user_of, other_users = _numbered(self.users, users)
        item_of, other_items = _numbered(self.items, items)
        entries = user_of[self.user], self.kind, item_of[self.item], self.later
        PastEvents.build(
            users, n_items=len(items), other_users=other_users, other_items=other_items, types=self.types,
            entries=entries,
        ).save(folder, name)  # fmt: skip


def collect_events(rows: pl.DataFrame, *, dataset: Dataset) -> CollectedEvents:
    """Collect what users did.

    Args:
        rows: Of the table of interactions or of action interactions, with their users (see `with_users`), internal
            columns included; those without a user or an item are left out, and events that were sent twice count once.
        dataset: Which of the two it is.
    """
    item_id = columns.ITEM_ID if dataset is Dataset.INTERACTIONS else columns.ACTION_ID
    kind = pl.col(columns.EVENT_TYPE) if columns.EVENT_TYPE in rows.columns else pl.lit(None, pl.String)
    names = {
        name: event_key(dataset, name) for name in rows.select(kind.drop_nulls().unique().sort()).to_series().to_list()
    }
    types = (_NO_TYPE, *list(dict.fromkeys(names.values()))[:_MAX_TYPES])
    numbers = {name: number for number, name in enumerate(types)}
    coded = kind.replace_strict(
        {name: numbers.get(key, 0) for name, key in names.items()} | {None: 0}, return_dtype=pl.UInt16
    )
    sent = pl.col(columns.EVENT_ID) if columns.EVENT_ID in rows.columns else pl.lit(None, pl.String)
    offset = pl.col(columns.LOG_OFFSET) if columns.LOG_OFFSET in rows.columns else pl.lit(None, pl.Int64)
    done = rows.filter(pl.col(columns.USER_ID).is_not_null() & pl.col(item_id).is_not_null()).filter(
        sent.is_null() | sent.is_first_distinct()
    )
    users, items = (done[name].unique().cast(pl.String).sort() for name in (columns.USER_ID, item_id))

    def entries_of(part: pl.DataFrame) -> pl.DataFrame:
        used = part.select(
            pl.col(columns.USER_ID),
            pl.col(item_id),
            coded.alias("kind"),
            columns.TIMESTAMP,
            offset.alias(columns.LOG_OFFSET),
        ).sort(columns.TIMESTAMP, columns.LOG_OFFSET, item_id, "kind", descending=True, nulls_last=True)
        numbered = pl.DataFrame({
            "user": places(used[columns.USER_ID], users).cast(pl.Int32),
            "item": places(used[item_id], items).cast(pl.Int32),
            "kind": used["kind"],
        })  # fmt: skip
        return (
            numbered.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).over("user", "kind").alias("later"))
            .group_by("user", "kind", "item")
            .agg(pl.col("later").min())
        )

    entries = pl.concat([entries_of(part) for part in by_users(done)])
    return CollectedEvents(
        users,
        items,
        types,
        user=entries["user"].to_numpy(),
        item=entries["item"].to_numpy(),
        kind=entries["kind"].to_numpy(),
        later=entries["later"].clip(upper_bound=MAX_LATER).to_numpy(),
    )


def _numbered(ids: pl.Series, vocabulary: Vocabulary) -> tuple[NDArray[np.int32], list[str]]:
    """Return the index of each id, and the ids that are not known, whose indexes go on behind those that are."""
    listed = ids.to_list()
    indexes = vocabulary.indexes(listed)
    unknown = np.flatnonzero(indexes < 0)
    indexes[unknown] = np.arange(len(vocabulary), len(vocabulary) + len(unknown), dtype=np.int32)
    return indexes, [listed[place] for place in unknown.tolist()]
