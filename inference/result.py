"""What a pipeline returns: items with their scores, best first, and why and with which columns each is there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Final

from recipes.data.histories import ItemIndexes

__all__ = ["EXPLORED", "PROMOTED", "ScoredItems"]

#: Personalize's reasons for an item that is in a list to be explored, and for one that was promoted.
EXPLORED: Final = "Exploration"
PROMOTED: Final = "Promoted item"


@dataclass(slots=True, eq=False)  # not frozen, which takes several times as long to make
class ScoredItems:
    """The best items, or actions; what few items have is given by their places, counted from 0.

    Attributes:
        items: int32 [k], indexes in the catalogue; items that came after the model have indexes behind it.
        item_ids: Their ids, then those that were named and that the model does not know, [k + unknown].
        scores: With seven decimals, as Personalize sends them, of each id: the share of its item in the softmax over
            what was scored, or the propensity of its action; None without a score.
        reasons: By place why an item is in the list; ordinary items have none.
        promotions: By place the name of the promotion that put an item into the list.
        columns: By name the values of the columns that were asked for, of each id; "" without a value.
    """

    items: ItemIndexes
    item_ids: Sequence[str]
    scores: Sequence[float | None]
    reasons: dict[int, str] = field(default_factory=dict)
    promotions: dict[int, str] = field(default_factory=dict)
    columns: dict[str, Sequence[str]] = field(default_factory=dict)
