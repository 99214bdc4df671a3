"""Hyperparameters of Trending-Now."""

from __future__ import annotations

from typing import ClassVar, Final, Literal

from recipes.config import RecipeConfig, hyperparameter
from recipes.hyper_parameters import TRENDING

__all__ = ["FREQUENCIES", "TrendingConfig"]

#: Seconds of each length of interval that Personalize knows.
FREQUENCIES: Final = {"30 minutes": 1800, "1 hour": 3600, "2 hours": 7200, "3 hours": 10_800, "1 day": 86_400}


class TrendingConfig(RecipeConfig):
    """How long the intervals are that are compared; see `recipes.hyper_parameters.TRENDING`."""

    feature_transformation: ClassVar[frozenset[str]] = frozenset(TRENDING)

    trend_discovery_frequency: Literal["30 minutes", "1 hour", "2 hours", "3 hours", "1 day"] = hyperparameter(
        TRENDING["trend_discovery_frequency"]
    )

    @property
    def interval_seconds(self) -> int:
        """Length of an interval."""
        return FREQUENCIES[self.trend_discovery_frequency]
