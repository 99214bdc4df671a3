"""Whether one model is better than another, on users that neither has seen.

One metric decides, so that nothing is found by looking at many; the differences of the others are told beside it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recipes.evaluation.bootstrap import Resampled, difference_interval
from recipes.evaluation.metrics import UserValues

__all__ = ["MIN_DIFFERING", "MIN_USERS", "PRIMARY_METRIC", "Difference", "Pair", "Verdict", "differences", "judge"]

#: The metric of lists of items that decides. Personalize's own NDCG cannot: it falls when a list gains a further hit
#: far down.
PRIMARY_METRIC = "standard_normalized_discounted_cumulative_gain_at_25"
#: Fewer users say nothing: intervals of so few are too narrow.
MIN_USERS = 30
#: Fewer users whose gain differs say nothing, however many there are in all: when four of a thousand differ and all in
#: one direction, most draws hold one of them, while chance alone does it once in eight times.
MIN_DIFFERING = 10

Verdict = Literal["BETTER", "WORSE", "UNDECIDED"]


@dataclass(frozen=True, slots=True)
class Pair:
    """What a model and the one before earned of the same users, whom neither has learnt from.

    Attributes:
        new: Of the new model.
        predecessor: Of the one before.
        judged_by: The metric that decides, one of both's names.
        differing: Users whose gain differs in it.
    """

    new: Resampled
    predecessor: Resampled
    judged_by: str
    differing: int

    @classmethod
    def of_users(cls, new: UserValues, predecessor: UserValues, *, judged_by: str = PRIMARY_METRIC) -> Pair:
        """Pair what is told user by user."""
        place = new.names.index(judged_by)
        differing = new.gains[:, place] != predecessor.gains[:, place]
        return cls(new, predecessor, judged_by, int(differing.sum()))


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


def differences(pair: Pair, *, seed: int) -> tuple[Difference, ...]:
    """Compare all metrics that users count in.

    Args:
        pair: Of models.
        seed: Of the draws.
    """
    ends = difference_interval(pair.new, pair.predecessor, seed=seed)
    values = (each.values().tolist() for each in (pair.new, pair.predecessor))
    columns = zip(pair.new.names, *values, *ends.tolist(), strict=True)
    return tuple(Difference(*column) for column in columns if not np.isnan(column[1:]).any())


def judge(pair: Pair, found: tuple[Difference, ...]) -> Verdict:
    """Say whether the difference of the deciding metric is significant at 5 %, two-sided."""
    decided = next((item for item in found if item.name == pair.judged_by), None)
    if decided is None or len(pair.new) < MIN_USERS or pair.differing < MIN_DIFFERING:
        return "UNDECIDED"
    if decided.low > 0.0:
        return "BETTER"
    return "WORSE" if decided.high < 0.0 else "UNDECIDED"
