"""What is asked of a pipeline: for whom or about what, what is known of this moment, and what may be returned."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from inference.candidates import EVERYTHING, CandidateSet
from inference.recent_events import RecentHistory
from recipes.data.histories import FloatArray, ItemIndexes

__all__ = ["Promotion", "RecommendationRequest", "Trend"]


@dataclass(frozen=True, slots=True, eq=False)
class Promotion:
    """Items that are put into the list by rule.

    Attributes:
        name: What the promoted items carry.
        candidates: The items that may be promoted; the request's own candidates do not restrict them.
        share: Of the places, above 0 and at most 1.
    """

    name: str
    candidates: CandidateSet
    share: float


@dataclass(frozen=True, slots=True, eq=False)
class Trend:
    """How all items rise at a moment.

    Attributes:
        scores: float32 [n_items + new items], those that came after the model behind the others.
        best: int32 [k], the items of the highest scores, best first.
    """

    scores: FloatArray
    best: ItemIndexes


@dataclass(slots=True)
class RecommendationRequest:
    """One question; what a kind of recipe does not read has no effect.

    Attributes:
        limit: Results at most; 0 gives none.
        user_id: The user, known or not; empty for nobody.
        item_id: The item that others are to be similar to.
        recent: What the user did lately, as far as the caller knows it; None for nothing.
        recent_actions: What the user did lately with actions; None for nothing.
        trend: How items rise now; None where nothing happened lately.
        context: The situation, by columns of the interactions; a value that the model does not know adds nothing.
        candidates: What may be returned.
        promotion: What is put into the list beside it; None for nothing. Personalize takes one a request.
        columns: Columns to be returned of each item: by name a function from an item's id to its value; "" for none.
        now: Seconds since 1970.
    """

    limit: int
    user_id: str = ""
    item_id: str = ""
    recent: RecentHistory | None = None
    recent_actions: RecentHistory | None = None
    trend: Trend | None = None
    context: Mapping[str, str] = field(default_factory=dict)
    candidates: CandidateSet = EVERYTHING
    promotion: Promotion | None = None
    columns: Mapping[str, Callable[[str], str]] = field(default_factory=dict)
    now: float = 0.0
