"""Fitting a user-personalization recipe by iALS: items' vectors, and what held-out steps say of scale and repeats.

The vectors are those of `recipes.models.ials.als`, which names the papers. Deviations from them, for serving: one step
of some users is held out, and after the sweeps two numbers are learnt from these steps. The scale turns inner products,
which lie between 0 and 1, into logits of a softmax over the catalogue; the repeat bias is what an item's logit changes
by because the user has used it already. `extend` then sweeps on over everything.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import numpy as np

from recipes.components.repeats import SeenItems, learn_repeat_bias
from recipes.data.counts import users_per_item
from recipes.data.histories import FloatArray, Histories, ItemIndexes
from recipes.data.training_data import TrainingData
from recipes.evaluation.rank_metrics import hit_rate, ndcg
from recipes.evaluation.ranking import target_ranks
from recipes.models.ials.als import Factors, factorise, newest_uses
from recipes.models.ials.config import IALSConfig
from recipes.models.ials.score import IALSScorer
from recipes.ports import FitProgress, ignore_progress
from recipes.retrieval.scoring import catalogue_scores

__all__ = ["IALSFitter"]

#: Sweeps over everything for the deployed model, which begins with the fitted vectors.
_EXTENSION_SWEEPS: Final = 2
#: Scales to choose from, and held-out users at most by whose steps it is chosen. A larger scale would let inner
#: products outweigh the repeat bias, which ends at 30.
_SCALES: Final = tuple(2.0 ** (power / 2) for power in range(9))
_SCALE_USERS: Final = 256


class IALSFitter:
    """Fits iALS, and stops by a held-out step; a `recipes.ports.Fitter`.

    Args:
        config: Width, regularisation and length of the fit.
        seed: Decides the first vectors, and whose newest step is held out.
        progress: Called after each sweep.
    """

    def __init__(self, config: IALSConfig, *, seed: int, progress: FitProgress = ignore_progress) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._seed = seed
        self._progress = progress
        self._factors: Factors | None = None
        self._scale, self._repeat_bias = 1.0, 0.0

    def fit(self, data: TrainingData) -> IALSScorer:
        """Fit vectors without the held-out steps, then scale and repeat bias by these."""
        learnt, shown, targets = self._hold_out(data)
        config = self._config
        begin = Factors.random(
            data.n_users, data.n_items, width=config.embedding_size, regularization=config.regularization,
            seed=self._seed,
        )  # fmt: skip
        self._factors = self._sweep(learnt, begin, sweeps=config.epochs)
        self._scale, self._repeat_bias = 1.0, 0.0
        scorer = self._scorer(learnt)
        if len(targets):
            self._scale = _choose_scale(scorer, shown, targets)
            scorer = self._scorer(learnt)
            self._repeat_bias = learn_repeat_bias(
                scorer.item_vectors,
                scorer.embed_histories(shown),
                seen=SeenItems.of(shown, n_items=data.n_items),
                targets=targets,
            )
            scorer = self._scorer(learnt)
        self.report = {
            "epochs": float(config.epochs),
            "scale": self._scale,
            "repeat_bias": self._repeat_bias,
            **_validate(scorer, shown, targets),
        }
        self._progress(fraction=1.0, stage="fitted", metrics=self.report)
        return scorer

    def extend(self, data: TrainingData) -> IALSScorer:
        """Sweep on from the fitted vectors over data with the same users and items; scale and repeat bias stay."""
        assert self._factors is not None, "`fit` comes first"
        self._factors = self._sweep(data, self._factors, sweeps=_EXTENSION_SWEEPS)
        return self._scorer(data)

    def _hold_out(self, data: TrainingData) -> tuple[TrainingData, Histories, ItemIndexes]:
        """Take the newest step from some users with at least two.

        Returns:
            What is learnt from, the histories of these users without the step, and the steps' items: int32 [m].
        """
        histories = data.histories()
        eligible = np.flatnonzero(histories.lengths() >= 2)
        drawn = np.random.default_rng(self._seed).permutation(eligible)[: self._config.validation_targets]
        users = np.sort(drawn)
        newest = histories.offsets[users + 1] - 1
        kept = np.ones(len(data.interactions), bool)
        kept[newest] = False
        learnt = data.where(kept)
        return learnt, learnt.histories().take(users), histories.items[newest]

    def _sweep(self, data: TrainingData, begin: Factors, *, sweeps: int) -> Factors:
        uses, factors = newest_uses(data.histories(), n_items=data.n_items), begin
        for sweep in range(1, sweeps + 1):
            factors = factorise(uses, factors, sweeps=1, unobserved=self._config.unobserved_weight)
            self._progress(fraction=0.95 * sweep / sweeps, stage=f"sweep {sweep} of {sweeps}", metrics={})
        return factors

    def _scorer(self, data: TrainingData) -> IALSScorer:
        assert self._factors is not None, "vectors come first"
        users = users_per_item(data)
        return IALSScorer.of_factors(
            self._factors.items,
            popularity=np.log((users + 1.0) / (users.sum() + data.n_items)).astype(np.float32),
            regularization=self._config.regularization,
            unobserved=self._config.unobserved_weight,
            scale=self._scale,
            repeat_bias=self._repeat_bias,
        )


def _choose_scale(scorer: IALSScorer, histories: Histories, targets: ItemIndexes) -> float:
    """Return the scale under which the held-out items are likeliest among the used, or among the unused, items.

    A step back to a used item is compared with used items alone, and any other with unused ones, so that the scale does
    not depend on how often users come back, which is the repeat bias.
    """
    some = histories.take(np.arange(min(len(targets), _SCALE_USERS)))
    products = scorer.embed_histories(some) @ scorer.item_vectors.T
    is_rival = np.zeros(products.shape, bool)
    is_rival[some.owners(), some.items] = True
    rows = np.arange(len(some))
    hidden = targets[: len(some)]
    is_rival ^= ~is_rival[rows, hidden][:, None]
    likelihoods = [_log_likelihood(np.where(is_rival, scale * products, -np.inf), hidden) for scale in _SCALES]
    return float(_SCALES[int(np.argmax(likelihoods))])


def _log_likelihood(logits: FloatArray, targets: ItemIndexes) -> float:
    """Return the summed log of the softmax shares of targets, int32 [m], under logits, float32 [m, n_items]."""
    highest = logits.max(axis=1, keepdims=True)
    normalisers = highest[:, 0] + np.log(np.exp(logits - highest).sum(axis=1))
    return float((logits[np.arange(len(targets)), targets] - normalisers).sum())


def _validate(scorer: IALSScorer, histories: Histories, targets: ItemIndexes) -> dict[str, float]:
    """Return how well the held-out items are ranked among the whole catalogue."""
    if not len(targets):
        return {}
    ranks = target_ranks(
        catalogue_scores(scorer, histories), n_items=len(scorer.item_vectors), histories=histories, targets=targets
    )
    return {"validation_ndcg_at_10": ndcg(ranks, 10), "validation_hit_rate_at_10": hit_rate(ranks, 10)}
