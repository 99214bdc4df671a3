"""Whether a challenger is better than the champion, on users that neither has seen.

One primary metric decides: of many metrics one differs by chance. The differences of the others are reported too.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import numpy as np

from recipes.evaluation.bootstrap import Resampled, difference_interval
from recipes.evaluation.metrics import UserValues

__all__ = ["MIN_DIFFERING", "MIN_USERS", "PRIMARY_METRIC", "Difference", "Pair", "Verdict", "differences", "verdict"]

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
    """Metrics of two models on the same users, whom neither has learnt from.

    Attributes:
        challenger: Metrics of the new model.
        champion: Metrics of the model before it, with the same names.
        primary_metric: The name of the metric that decides.
        differing: Number of users whose gain differs in the primary metric.
    """

    challenger: Resampled
    champion: Resampled
    primary_metric: str
    differing: int

    @classmethod
    def of_users(cls, challenger: UserValues, champion: UserValues, *, primary_metric: str = PRIMARY_METRIC) -> Pair:
        """Pair metrics that are kept user by user, of the same users in the same order."""
        place = challenger.names.index(primary_metric)
        differing = challenger.gains[:, place] != champion.gains[:, place]
        return cls(challenger, champion, primary_metric, int(differing.sum()))


@dataclass(frozen=True, slots=True)
class Difference:
    """One metric of two models on the same users.

    Attributes:
        name: The metric's name.
        challenger: Its value for the new model.
        champion: Its value for the model before.
        low: Lower end of the 95 % interval of `challenger` minus `champion`.
        high: Upper end of it.
    """

    name: str
    challenger: float
    champion: float
    low: float
    high: float


def differences(pair: Pair, *, seed: int) -> tuple[Difference, ...]:
    """Compare all metrics that users count in, in the order of their names in the pair.

    Args:
        pair: Metrics of both models.
        seed: Decides which users the bootstrap draws.
    """
    ends = difference_interval(pair.challenger, pair.champion, seed=seed)
    values = (each.values().tolist() for each in (pair.challenger, pair.champion))
    columns = zip(pair.challenger.names, *values, *ends.tolist(), strict=True)
    return tuple(Difference(*column) for column in columns if not np.isnan(column[1:]).any())


def verdict(pair: Pair, measured: tuple[Difference, ...]) -> Verdict:
    """Say whether the difference of the primary metric is significant at 5 %, two-sided.

    Args:
        pair: Metrics of both models.
        measured: Their `differences`.
    """
    primary = next((item for item in measured if item.name == pair.primary_metric), None)
    if primary is None or len(pair.challenger) < MIN_USERS or pair.differing < MIN_DIFFERING:
        return "UNDECIDED"
    if primary.low > 0.0:
        return "BETTER"
    return "WORSE" if primary.high < 0.0 else "UNDECIDED"
