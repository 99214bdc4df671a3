"""Fitting User-Personalization v2; `recipes.sequence` says how."""

from __future__ import annotations

from recipes.interface import FitProgress, ignore_progress
from recipes.sequence.fit import SequenceFitter
from recipes.user_personalization.config import UserPersonalizationConfig
from recipes.user_personalization.network import Transformer

__all__ = ["UserPersonalizationFitter"]


class UserPersonalizationFitter(SequenceFitter):
    """See `recipes.interface.Fitter`.

    Args:
        config: Hyperparameters.
        seed: Of every random number.
        progress: Hears of every epoch.
    """

    def __init__(
        self, config: UserPersonalizationConfig, *, seed: int, progress: FitProgress = ignore_progress
    ) -> None:
        super().__init__(
            config,
            network=Transformer.of(config),
            weigh_recency=config.apply_recency_bias,
            seed=seed,
            progress=progress,
        )
