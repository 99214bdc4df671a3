"""One request on its way through a pipeline: each stage reads what earlier ones wrote, and adds its own."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from inference.candidates import CandidateSet
from inference.model import Model
from inference.new_items import NewItems
from inference.request import RecommendationRequest
from inference.result import ScoredItems
from inference.user_state import UserState, UserStates
from recipes.components.exploration import Bonus, Explorer
from recipes.data.histories import FloatArray, ItemIndexes

__all__ = ["NOTHING", "SHARED", "PipelineRun", "Stage"]

_NO_ITEMS: Final = np.empty(0, np.int32)
_NO_SCORES: Final = np.empty(0, np.float32)
#: Best items that shares are taken over: what calibration measures, and enough for a share to mean something.
SHARED: Final = 100
#: The answer to a request for no results.
NOTHING: Final = ScoredItems(_NO_ITEMS, (), ())


@dataclass(slots=True, eq=False)
class PipelineRun:
    """What is known of a request so far.

    Attributes:
        request: What is asked.
        model: What answers.
        users: Make states.
        new_items: Those that came after the model, as they are known at the beginning of the request.
        explorer: Gives new items their chance; None where nothing is explored.
        random: Of the places of promoted items.
        state: Of the user, or of the item, that is asked about; that of nobody at first.
        candidates: What may be returned.
        limit: Results at most, at least 1.
        filtered: Whether a filter chose the candidates, so that only the very best of them will do.
        bonus: What exploration adds to scores; None for nothing.
        shared: Best items that shares are taken over; 0 for all that were scored.
        exact: Whether the answer has the best items for certain.
        shortlist: int32 [m], the items that are scored, all different; None where all have scores of this moment.
        added: float32 [m], what score deltas add to each of the shortlist; None where that is still to be looked up.
        scores: float32 [m], of the shortlist, or of all items.
        items: int32 [k], the best that may be returned, best first.
        top_scores: float32 [k], their scores.
        best_scores: float32 [m], the scores that shares are taken over, the best of them first.
        highest: The highest score of all that may be returned.
        total: Sum of exp(score - highest) over the best that shares are taken over.
        shares: float32 [k], what is shown as the items' scores; NaN for none.
        reasons: By item why it is in the list.
        promoted: By item the name of its promotion.
        result: What is returned.
    """

    request: RecommendationRequest
    model: Model
    users: UserStates
    new_items: NewItems
    explorer: Explorer | None
    random: np.random.Generator
    state: UserState
    candidates: CandidateSet
    limit: int
    filtered: bool = False
    bonus: Bonus | None = None
    shared: int = 0
    exact: bool = True
    shortlist: ItemIndexes | None = None
    added: FloatArray | None = None
    scores: FloatArray = field(default_factory=lambda: _NO_SCORES)
    items: ItemIndexes = field(default_factory=lambda: _NO_ITEMS)
    top_scores: FloatArray = field(default_factory=lambda: _NO_SCORES)
    best_scores: FloatArray = field(default_factory=lambda: _NO_SCORES)
    highest: float | np.float32 = 0.0
    total: float | np.float32 = 1.0
    shares: FloatArray = field(default_factory=lambda: _NO_SCORES)
    reasons: dict[int, str] = field(default_factory=dict)
    promoted: dict[int, str] = field(default_factory=dict)
    result: ScoredItems = NOTHING


#: One step of a pipeline.
Stage = Callable[[PipelineRun], None]
