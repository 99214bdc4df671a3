"""Hyperparameters of the HRNN recipes: Personalize's names, ranges and defaults, then those of every network."""

from __future__ import annotations

from typing import ClassVar, Literal

from pydantic import Field, PositiveInt

from recipes.training.config import SequenceConfig

__all__ = ["GRUColdstartConfig", "GRUConfig", "LargeGRUConfig"]


class GRUConfig(SequenceConfig):
    """What can be set on a solution."""

    feature_transformation: ClassVar[frozenset[str]] = frozenset(
        {"min_user_history_length_percentile", "max_user_history_length_percentile"}
    )

    hidden_dimension: int = Field(43, ge=32, le=256, description="Width of the network.")
    bptt: int = Field(32, ge=2, le=32, description="Steps that gradients flow back in time.")
    recency_mask: bool = Field(
        True, description="Weigh the newest interactions more, in what is learnt and in what is popular."
    )
    min_user_history_length_percentile: float = Field(
        0.0, ge=0.0, le=1.0, description="Users with shorter histories are left out of the training; 0: nobody."
    )
    max_user_history_length_percentile: float = Field(
        0.99, ge=0.0, le=1.0, description="Users with longer histories are left out of the training; 1: nobody."
    )


class LargeGRUConfig(GRUConfig):
    """The same, wider by default."""

    hidden_dimension: int = Field(149, ge=32, le=256, description="Width of the network.")


class GRUColdstartConfig(LargeGRUConfig):
    """The same, with what a cold item is."""

    feature_transformation: ClassVar[frozenset[str]] = GRUConfig.feature_transformation | {
        "cold_start_max_interactions",
        "cold_start_max_duration",
        "cold_start_relative_from",
    }

    cold_start_max_interactions: PositiveInt = Field(15, description="Interactions of a cold item at most.")
    cold_start_max_duration: float = Field(5.0, gt=0.0, description="Age of a cold item at most, in days.")
    cold_start_relative_from: Literal["latestItem", "currentTime"] = Field(
        "latestItem", description="When a cold item's age ends: when the newest item was created, or now."
    )
