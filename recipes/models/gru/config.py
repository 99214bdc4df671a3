"""Hyperparameters of the HRNN recipes."""

from __future__ import annotations

from typing import ClassVar, Literal

from recipes.config import hyperparameter
from recipes.hyper_parameters import GRU, GRU_COLDSTART_FEATURES, GRU_FEATURES, LARGE_GRU
from recipes.training.config import SequenceConfig

__all__ = ["GRUColdstartConfig", "GRUConfig", "LargeGRUConfig"]


class GRUConfig(SequenceConfig):
    """What the network reads and how wide it is; see `recipes.hyper_parameters.GRU`."""

    feature_transformation: ClassVar[frozenset[str]] = frozenset(GRU_FEATURES)

    hidden_dimension: int = hyperparameter(GRU["hidden_dimension"])
    bptt: int = hyperparameter(GRU["bptt"])
    recency_mask: bool = hyperparameter(GRU["recency_mask"])
    min_user_history_length_percentile: float = hyperparameter(GRU_FEATURES["min_user_history_length_percentile"])
    max_user_history_length_percentile: float = hyperparameter(GRU_FEATURES["max_user_history_length_percentile"])

    @property
    def width(self) -> int:
        """Width d of embeddings and states."""
        return self.hidden_dimension


class LargeGRUConfig(GRUConfig):
    """The hyperparameters of `GRUConfig`, with a wider network by default."""

    hidden_dimension: int = hyperparameter(LARGE_GRU["hidden_dimension"])


class GRUColdstartConfig(LargeGRUConfig):
    """Those of `LargeGRUConfig`, and what counts as a cold item."""

    feature_transformation: ClassVar[frozenset[str]] = frozenset(GRU_COLDSTART_FEATURES)

    cold_start_max_interactions: int = hyperparameter(GRU_COLDSTART_FEATURES["cold_start_max_interactions"])
    cold_start_max_duration: float = hyperparameter(GRU_COLDSTART_FEATURES["cold_start_max_duration"])
    cold_start_relative_from: Literal["latestItem", "currentTime"] = hyperparameter(
        GRU_COLDSTART_FEATURES["cold_start_relative_from"]
    )
