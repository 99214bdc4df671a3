"""Learning score fusion: the weights under which what held-out users did next is most likely.

The fusion is a product of experts (Hinton, "Training Products of Experts by Minimizing Contrastive Divergence", 2002),
also known as log-linear pooling: the experts' log-probabilities, here scores, are added up by weights and go through
one softmax. The weights have the greatest posterior probability under the priors that `learn_score_fusion` names.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from recipes.components.item_regression.score import ItemRegression
from recipes.components.score_fusion.repeat_shift import learn_repeat_shift
from recipes.components.score_fusion.score import (
    COUNT_BUCKETS,
    POPULARITY_FEATURES,
    RECENCY_BUCKETS,
    ScoreFusion,
    repeats,
)
from recipes.components.sequential_rules import PLACES, SequentialRules
from recipes.data.histories import FloatArray, Histories, ItemIndexes

__all__ = ["HeldOutSteps", "learn_score_fusion"]

#: Held-out steps that are enough for so few weights, and the scores that are held at once at most.
_MAX_ROWS = 1024
_MAX_SCORES = 24_000_000
_MAX_STEPS = 60
#: Variance of the normal priors: logarithms of factors keep near where they begin, repeats may go further.
_FACTOR_VARIANCE = 1.0
_REPEAT_VARIANCE = 9.0
_FIRST_RULES = 0.3
#: What the regression begins with: v, and the logarithm of e.
_FIRST_REGRESSION = (0.3, np.log(0.003))
#: What two more weights have to gain, in nats: Akaike's criterion.
_LEAST_GAIN = 2.0
#: Logarithms of factors beyond this have no further effect that matters, and would overflow.
_MAX_LOGARITHM = 12.0

Floats = NDArray[np.float64]
Places = NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class HeldOutSteps:
    """What some held-out users did next.

    Attributes:
        histories: Before.
        targets: int32 [m], next.
        queries: float32 [m, d], the network's vectors of the histories.
        item_vectors: float32 [n_items, d], of the network.
        popularity: float32 [POPULARITY_FEATURES, n_items], how popular items are and become.
        repeat_bias: The best single bias of items that were used before.
        weights: float32 [m], how much each counts; not all 0.
        owners: int64 [m], the users.
    """

    histories: Histories
    targets: ItemIndexes
    queries: FloatArray
    item_vectors: FloatArray
    popularity: FloatArray
    repeat_bias: float
    weights: FloatArray
    owners: Places


def learn_score_fusion(
    steps: HeldOutSteps, sequential_rules: SequentialRules, regression: ItemRegression, *, n_event_types: int
) -> tuple[ScoreFusion, ItemRegression]:
    """Find the fusion of greatest posterior probability, by L-BFGS.

    The likelihood is the softmax over the catalogue. Factors have log-normal priors around 1, and around rules that
    decay with 1 / place; repeats have normal ones around the single bias, which grows with the network's factor: what
    is out of reach stays so. The regression's weight, with a normal prior around 0, and its scale, with one like the
    rules', come last, and stay only if the posterior gains as much as two more weights must (Akaike, "A New Look at the
    Statistical Model Identification", 1974). In the end all repeats are shifted by what lists gain by it.

    Args:
        steps: At least one row.
        sequential_rules: Rules that do not know the targets.
        regression: Weights of items for items that do not know them either.
        n_event_types: Event types that the data name.

    Returns:
        The weights, and the regression with its own; one that speaks for nothing where that is best.
    """
    posterior = _Posterior(steps, sequential_rules, n_event_types=n_event_types)
    weights, loss = _optimum(posterior, posterior.start)
    if not len(regression.places):
        return _with_repeat_shift(posterior.score_fusion(weights), regression, steps, sequential_rules), regression
    posterior.add(regression)
    start = weights.copy()
    start[_REGRESSION] = _FIRST_REGRESSION[0]
    fused, fused_loss = _optimum(posterior, start)
    if (loss - fused_loss) * posterior.rows < _LEAST_GAIN or fused[_REGRESSION] <= 0.0:
        regression = ItemRegression.nothing()
    else:
        weights, regression = fused, regression.weighted(fused[_REGRESSION], float(np.exp(fused[_SPREAD])))
    return _with_repeat_shift(posterior.score_fusion(weights), regression, steps, sequential_rules), regression


def _with_repeat_shift(
    fusion: ScoreFusion, regression: ItemRegression, steps: HeldOutSteps, sequential_rules: SequentialRules
) -> ScoreFusion:
    """Raise or lower all repeats by what lists gain by it."""
    embeddings, biases = steps.item_vectors[:, :-1], steps.item_vectors[:, -1]
    shift = learn_repeat_shift(
        fusion.item_vectors(embeddings, biases, steps.popularity),
        steps.queries,
        lambda chosen: fusion.score_deltas_of(sequential_rules, regression, steps.histories, chosen),
        histories=steps.histories,
        targets=steps.targets,
        weights=steps.weights,
        owners=steps.owners,
    )
    return replace(fusion, recency=fusion.recency + np.float32(shift))


def _optimum(posterior: _Posterior, start: Floats) -> tuple[Floats, float]:
    """Return the weights of greatest posterior probability, and its mean negative logarithm."""
    bounds: list[tuple[float | None, float | None]] = [(None, None)] * len(start)
    for place in (*range(_POPULAR), _SPREAD):
        bounds[place] = (-_MAX_LOGARITHM, _MAX_LOGARITHM)
    bounds[_REGRESSION] = (0.0, None)
    optimum = minimize(
        posterior.loss_and_gradient, start, jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _MAX_STEPS}
    )
    return optimum.x, float(optimum.fun)


#: Weights in front of the repeats: network, rules, scale, those of places, those of popularity, and the regression's.
_LOGARITHMS = 3 + PLACES
_POPULAR = _LOGARITHMS + POPULARITY_FEATURES
_REGRESSION, _SPREAD = _POPULAR, _POPULAR + 1
_FACTORS = _POPULAR + 2


class _Posterior:
    """The function to be minimised; all weights but those of popularity, regression and repeats are logarithms."""

    def __init__(self, steps: HeldOutSteps, sequential_rules: SequentialRules, *, n_event_types: int) -> None:
        n_items = len(steps.item_vectors)
        total = len(steps.targets)
        self.rows = max(1, min(total, _MAX_ROWS, _MAX_SCORES // n_items))
        # Spread over all, as neighbours belong to one user.
        chosen = np.arange(self.rows) * total // self.rows
        self._n_event_types = n_event_types
        mass = steps.weights[chosen].astype(np.float64)
        # Those that are chosen may weigh nothing; they count alike then.
        self._mass: Floats = mass / mass.mean() if mass.any() else np.ones(self.rows)
        self._logits: FloatArray = steps.queries[chosen] @ steps.item_vectors.T
        self._popularity = steps.popularity
        self._repeat_bias = steps.repeat_bias
        self._targets = np.arange(self.rows) * n_items + steps.targets[chosen]
        histories = steps.histories.take(chosen)
        self._collect(histories, sequential_rules, n_items)
        self._histories, self._n_items = histories, n_items
        self._spoken_for: Places = np.empty(0, np.int64)
        self._spoken: Floats = np.empty(0)
        raw = self._raw(1.0 / np.arange(1.0, PLACES + 1))
        # Where no rule applies, rules get no weight.
        self._has_rules = len(raw) > 0
        self.start: Floats = np.concatenate([
            [0.0, np.log(_FIRST_RULES), np.log(np.median(raw)) if self._has_rules else 0.0],
            -np.log(np.arange(1.0, PLACES + 1)),
            np.zeros(POPULARITY_FEATURES),
            [0.0, _FIRST_REGRESSION[1]],
            np.zeros(RECENCY_BUCKETS * (n_event_types + 1)),
            np.zeros(COUNT_BUCKETS),
        ])  # fmt: skip
        self._variances = np.full(len(self.start), _REPEAT_VARIANCE)
        self._variances[:_FACTORS] = _FACTOR_VARIANCE

    def loss_and_gradient(self, weights: Floats) -> tuple[float, Floats]:
        """Return the weighted mean of the negative log posterior, and its slope in each weight."""
        network, rules, scale = np.exp(weights[:3])
        places = np.exp(weights[3:_LOGARITHMS])
        recency = weights[_FACTORS:-COUNT_BUCKETS]
        scores = self._logits * np.float32(network)
        scores += weights[_LOGARITHMS:_POPULAR].astype(np.float32) @ self._popularity
        flat = scores.reshape(-1)
        raw = self._raw(places)
        logs = np.log1p(raw / scale)
        flat[self._pairs] += (rules * logs).astype(np.float32)
        spread = np.exp(weights[_SPREAD])
        spoken = np.log1p(self._spoken / spread)
        flat[self._spoken_for] += (weights[_REGRESSION] * spoken).astype(np.float32)
        repeated = network * self._repeat_bias + recency[self._cell] + weights[-COUNT_BUCKETS:][self._uses]
        flat[self._used] += repeated.astype(np.float32)
        scores -= scores.max(axis=1, keepdims=True)
        likelihood = flat[self._targets].astype(np.float64)
        np.exp(scores, out=scores)
        totals = scores.sum(axis=1, dtype=np.float64)
        likelihood -= np.log(totals)
        # From here on `scores` is the slope of the loss in each score.
        scores *= (self._mass / (totals * self.rows)).astype(np.float32)[:, None]
        flat[self._targets] -= (self._mass / self.rows).astype(np.float32)

        of_pairs = flat[self._pairs].astype(np.float64)
        of_raw = of_pairs * rules / (scale + raw)
        of_spoken = flat[self._spoken_for].astype(np.float64)
        of_used = flat[self._used].astype(np.float64)
        of_places = np.bincount(self._place, weights=of_raw[self._pair] * self._strength, minlength=PLACES)
        gradient = np.concatenate([
            [
                network * (float(np.vdot(scores, self._logits)) + self._repeat_bias * float(of_used.sum())),
                rules * float(of_pairs @ logs),
                -float(of_raw @ raw),
            ],
            of_places * places,
            self._popularity @ scores.sum(axis=0, dtype=np.float64),
            [
                float(of_spoken @ spoken),
                -float(weights[_REGRESSION] * (of_spoken @ (self._spoken / (spread + self._spoken)))),
            ],
            np.bincount(self._cell, weights=of_used, minlength=len(recency)),
            np.bincount(self._uses, weights=of_used, minlength=COUNT_BUCKETS),
        ])  # fmt: skip
        distance = weights - self.start
        gradient += distance / self._variances / self.rows
        prior = 0.5 * float(np.square(distance) @ (1.0 / self._variances)) / self.rows
        return prior - float((self._mass * likelihood).mean()), gradient

    def score_fusion(self, weights: Floats) -> ScoreFusion:
        """Return the weights as they are applied."""
        network, rules, scale = (float(value) for value in np.exp(weights[:3]))
        recency = weights[_FACTORS:-COUNT_BUCKETS].reshape(RECENCY_BUCKETS, -1)
        return ScoreFusion(
            network=network,
            popularity=weights[_LOGARITHMS:_POPULAR].astype(np.float32),
            rules=rules if self._has_rules else 0.0,
            scale=scale,
            places=np.exp(weights[3:_LOGARITHMS]).astype(np.float32),
            recency=(network * self._repeat_bias + recency).astype(np.float32),
            count=weights[-COUNT_BUCKETS:].astype(np.float32),
        )

    def add(self, regression: ItemRegression) -> None:
        """Let what the histories speak for count."""
        pairs, sums = [], []
        for row in range(self.rows):
            items, of_row = regression.sums(self._histories.of(row))
            pairs.append(row * self._n_items + items.astype(np.int64))
            sums.append(of_row)
        self._spoken_for, self._spoken = np.concatenate(pairs), np.concatenate(sums)

    def _raw(self, places: Floats) -> Floats:
        """Add up the rules that lead to each pair of a row and an item."""
        weights = self._strength * places[self._place]
        sums: Floats = np.bincount(self._pair, weights=weights, minlength=len(self._pairs)).astype(np.float64)
        return sums

    def _collect(self, histories: Histories, sequential_rules: SequentialRules, n_items: int) -> None:
        """Find rules and repeats of all rows, by their places in the flattened scores."""
        pairs, place, strength, used, cell, uses = [], [], [], [], [], []
        for row in range(self.rows):
            history = histories.of(row)
            items, places, strengths = sequential_rules.entries(history)
            pairs.append(row * n_items + items.astype(np.int64))
            place.append(places)
            strength.append(strengths)
            repeated = repeats(history)
            used.append(row * n_items + repeated.items.astype(np.int64))
            cell.append(repeated.recency * (self._n_event_types + 1) + repeated.event_types)
            uses.append(repeated.counts)
        self._pairs: Places
        self._pair: Places
        self._pairs, self._pair = np.unique(np.concatenate(pairs), return_inverse=True)
        self._place: Places = np.concatenate(place)
        self._strength: FloatArray = np.concatenate(strength)
        self._used: Places = np.concatenate(used)
        self._cell: Places = np.concatenate(cell)
        self._uses: Places = np.concatenate(uses)
