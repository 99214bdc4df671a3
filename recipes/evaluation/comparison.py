"""Whether one model is better than another, on users that neither has seen.

One metric decides, so that nothing is found by looking at many; the differences of the others are told beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recipes.evaluation.bootstrap import difference_interval
from recipes.evaluation.metrics import UserValues

__all__ = ["JUDGED_BY", "MIN_DIFFERING", "MIN_USERS", "Difference", "Verdict", "differences", "judge"]

#: The metric that decides. Personalize's own NDCG cannot: it falls when a list gains a further hit far down.
JUDGED_BY = "standard_normalized_discounted_cumulative_gain_at_25"
#: Fewer users say nothing: intervals of so few are too narrow.
MIN_USERS = 30
#: Fewer users whose gain differs say nothing, however many there are in all: when four of a thousand differ and all in
#: one direction, most draws hold one of them, while chance alone does it once in eight times.
MIN_DIFFERING = 10

Verdict = Literal["BETTER", "WORSE", "UNDECIDED"]


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two models on the same users.

    Attributes:
        name: Of the metric.
        value: Of the new model.
        predecessor: Of the one before.
        low: Lower end of the 95 % interval of `value` minus `predecessor`.
        high: Upper end.
    """

    name: str
    value: float
    predecessor: float
    low: float
    high: float


def differences(new: UserValues, predecessor: UserValues, *, seed: int) -> tuple[Difference, ...]:
    """Compare all metrics that users count in.

    Args:
        new: Of the new model.
        predecessor: Of the one before, on the same users.
        seed: Of the draws.
    """
    ends = difference_interval(new, predecessor, seed=seed)
    columns = zip(new.names, new.values().tolist(), predecessor.values().tolist(), *ends.tolist(), strict=True)
    return tuple(Difference(*column) for column in columns if not np.isnan(column[1:]).any())


def judge(new: UserValues, predecessor: UserValues, found: tuple[Difference, ...]) -> Verdict:
    """Say whether the difference of the deciding metric is significant at 5 %, two-sided."""
    place = new.names.index(JUDGED_BY)
    differing = int((new.gains[:, place] != predecessor.gains[:, place]).sum())
    decided = next((item for item in found if item.name == JUDGED_BY), None)
    if decided is None or len(new) < MIN_USERS or differing < MIN_DIFFERING:
        return "UNDECIDED"
    if decided.low > 0.0:
        return "BETTER"
    return "WORSE" if decided.high < 0.0 else "UNDECIDED"
