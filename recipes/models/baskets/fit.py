"""Fitting what is bought, or viewed, together: EASE with one basket, or one session, in the place of a user.

The regression is that of `recipes.components.item_regression.ease` (Steck, WWW 2019). A basket is what one user bought
without a long pause. How long depends on the shop: where most purchases would be alone in their basket, longer pauses
are allowed, at last all that a user ever did. Items that nobody used together with others have popular ones as
neighbours, as in Similar-Items.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from recipes.data.columns import Columns
from recipes.data.training_data import TrainingData
from recipes.models.baskets.config import BasketsConfig
from recipes.models.ease.config import EASEConfig
from recipes.models.ease.fit import EASEFitter
from recipes.models.ease.score import EASEScorer
from recipes.ports import FitProgress, ignore_progress

__all__ = ["BoughtTogetherFitter", "ViewedTogetherFitter", "divide"]

#: Seconds of a pause within a basket, from short to long; None allows every pause.
_BASKET_PAUSES: Final = (3600, 86_400, 7 * 86_400, None)
_SESSION_PAUSES: Final = (1800, 86_400, None)
#: Share of the interactions that must be in a basket of two items or more for a pause to be long enough.
_SHARED_BASKETS: Final = 0.5


class BoughtTogetherFitter:
    """Fits items bought in one basket; a `recipes.ports.Fitter`. Nothing is random and nothing is held out.

    Args:
        config: Without hyperparameters.
        seed: As of `EASEFitter`.
        progress: As of `EASEFitter`.
    """

    pauses: Sequence[int | None] = _BASKET_PAUSES

    def __init__(self, config: BasketsConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._regression = EASEFitter(EASEConfig(), seed=seed, progress=progress)

    def fit(self, data: TrainingData) -> EASEScorer:
        """Choose the pause, and regress items on those of the same baskets."""
        divided, pause = self._divide(data)
        scorer = self._regression.fit(divided)
        self.report = {
            **self._regression.report,
            "baskets": float(divided.n_users),
            "pause_seconds": float(pause or -1),
        }
        return scorer

    def extend(self, data: TrainingData) -> EASEScorer:
        """Choose and regress again."""
        return self.fit(data)

    def _divide(self, data: TrainingData) -> tuple[TrainingData, int | None]:
        divided, pause = data, None
        for pause in self.pauses:
            divided = divide(data, pause_seconds=pause)
            if _share_in_shared_baskets(divided) >= _SHARED_BASKETS:
                break
        return divided, pause


class ViewedTogetherFitter(BoughtTogetherFitter):
    """Fits items viewed by one user in sessions that end with half an hour of silence."""

    pauses = _SESSION_PAUSES


def divide(data: TrainingData, *, pause_seconds: int | None) -> TrainingData:
    """Turn every basket into a user, in the order of users and time.

    Args:
        data: Interactions of real users.
        pause_seconds: Longest pause within a basket; None for none.

    Returns:
        The same interactions; the users' columns are left out.
    """
    rows = data.interactions
    begins = np.diff(rows.user, prepend=-1) != 0
    if pause_seconds is not None:
        begins |= np.diff(rows.timestamp, prepend=rows.timestamp[:1]) > pause_seconds
    baskets = (np.cumsum(begins) - 1).astype(np.int32)
    return replace(data, interactions=replace(rows, user=baskets), n_users=int(begins.sum()), users=Columns())


def _share_in_shared_baskets(data: TrainingData) -> float:
    """Return the share of interactions in baskets of two different items or more."""
    if not len(data.interactions):
        return 1.0
    histories = data.histories()
    # Within a basket of one item all items are alike.
    alike = np.minimum.reduceat(histories.items, histories.offsets[:-1]) == np.maximum.reduceat(
        histories.items, histories.offsets[:-1]
    )
    return float(histories.lengths()[~alike].sum() / len(histories.items))
