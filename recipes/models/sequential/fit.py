"""Fitting a sequence recipe: a network, stopped by what held-out users did next, and a blend with rules and repeats.

`fit` holds some of the newest steps of users out, ranks them among the whole catalogue after every epoch, keeps the
best state and learns from the same steps how to blend it with sequence rules and repeats. `extend` then runs a few
epochs with a falling step size on data that contain everything: the deployed model must know each user's newest
interactions, which the fitted one was kept from.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from functools import partial
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from common.errors import invalid
from recipes.components.context import ContextCodes, ContextTable
from recipes.components.item_features import ItemSide, begin_projection, embed
from recipes.components.recency import popularity_features, share_newer
from recipes.components.repeats import learn_repeat_bias
from recipes.components.score_fusion.fit import Observed, learn_score_fusion
from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequential_rules import RuleShape, SequentialRules, learn_shape
from recipes.components.step_features import Known
from recipes.components.user_features import UserFeatureTable, encode_users, first_gates, learn_user_codes
from recipes.data.counts import count_successors
from recipes.data.histories import FloatArray, Histories
from recipes.data.sparse import leading_eigenvectors
from recipes.data.training_data import TrainingData
from recipes.models.sequential.network import Network, Parameters
from recipes.models.sequential.score import SequenceScorer
from recipes.ports import FitProgress, ignore_progress
from recipes.training.config import SequenceConfig
from recipes.training.early_stopping import Validation, hold_out
from recipes.training.loop import Learner, choose_shapes
from recipes.training.pace import Pace

__all__ = ["SequenceFitter"]

#: Parameters that hold the vectors of context, and those of users' columns and their gates, where there are any.
_CONTEXT, _PEOPLE, _GATES = "context", "people", "people_gates"

#: Places apart that items still count as occurring together.
_WINDOW = 5

#: Held-out steps that every epoch is judged by at least, and scores that are worked out for it where that makes more.
_WATCHED = 2048
_WATCHED_SCORES = 30_000_000

#: Shares of `fit` before the first epoch and up to the end of the last one.
_BEGUN, _LEARNT = 0.02, 0.97

#: Epochs of `extend`, and the share of the learning rate that they begin with.
_EXTENSION_EPOCHS = 3
_EXTENSION_RATE = 0.5


class SequenceFitter:
    """See `recipes.ports.Fitter`.

    Args:
        config: How to learn.
        network: What to learn.
        weigh_recency: Weigh the newest interactions up to twice as much as the oldest.
        seed: Of every random number.
        progress: Hears of every epoch, and from within.
        report_seconds: Least time between two reports from within an epoch.
    """

    def __init__(
        self,
        config: SequenceConfig,
        *,
        network: Network,
        weigh_recency: bool,
        seed: int,
        progress: FitProgress = ignore_progress,
        report_seconds: float = 1.0,
    ) -> None:
        self.report: Mapping[str, float] = {}
        self._config = config
        self._network = network
        self._weigh_recency = weigh_recency
        self._seed = seed
        self._progress = progress
        self._report_seconds = report_seconds
        self._learner: Learner | None = None
        self._parameters: dict[str, FloatArray] | None = None
        self._score_fusion = ScoreFusion.of_network(n_event_types=0)
        self._sequential_rules: SequentialRules | None = None
        self._popularity: FloatArray | None = None
        self._rule_shape = RuleShape()
        self._meaning: ContextCodes | None = None
        self._user_features: ContextCodes | None = None
        self._items: ItemSide | None = None

    def fit(self, data: TrainingData) -> SequenceScorer:
        """Learn from the data; the last items of the validation users are used to decide when to stop.

        Raises:
            InvalidInput: No user has two interactions, or all weigh nothing.
        """
        config = self._config
        self._progress(fraction=_BEGUN, stage="counting what follows what", metrics={})
        histories, worth, weights = data.histories(), data.target_weights(), self._weights(data)
        self._user_features = learn_user_codes(data.users)
        known = self._known(data)
        validation, kept = hold_out(histories, wanted=config.validation_targets, seed=self._seed, weights=worth)
        training = histories.where(kept)
        if not worth[kept].any():
            raise invalid("eventsConfig", got="events of weight 0 alone", want="some of a type that weighs more")
        counts = np.bincount(training.items, minlength=data.n_items)
        self._rule_shape = learn_shape(
            training,
            shown=validation.histories,
            targets=validation.targets,
            n_items=data.n_items,
            weights=worth[kept],
            target_weights=validation.weights,
        )
        self._sequential_rules = SequentialRules.count(
            training, n_items=data.n_items, shape=self._rule_shape, weights=worth[kept]
        )
        shown, watched = known.where(kept), validation.sample(max(_WATCHED, _WATCHED_SCORES // data.n_items))
        self._items = self._item_side(data)
        uses = self._uses(training, worth[kept], n_items=data.n_items, validation=validation)
        dropout = config.dropout_for(interactions=len(training.items), items=data.n_items)
        self._network = self._network.dropping(dropout)
        # Shapes hold for `extend` too, whose steps are then compiled already.
        shapes = choose_shapes(config, histories, n_items=data.n_items)
        learner = self._learner = Learner(
            self._network, config, counts=counts, shapes=shapes, items=self._items, seed=self._seed
        )
        state = learner.begin(self._begin(training, uses, n_event_types=len(data.event_types)))
        began, best, best_epoch = time.monotonic(), -1.0, 0
        for epoch in range(1, config.epochs + 1):
            self._tell_epoch(0.0, epoch=epoch)
            state, loss = learner.epoch(
                state, training, weights[kept], number=epoch, context=shown.context, user_features=shown.user_features,
                pace=Pace(partial(self._tell_epoch, epoch=epoch), seconds=self._report_seconds),
            )  # fmt: skip
            arrays = _to_numpy(state.average)
            repeat_bias, reached = self._judge(arrays, watched, known)
            if reached > best:
                best, best_epoch = reached, epoch
                self._parameters = arrays
                self.report = {
                    "epochs": float(epoch), "dropout": dropout, "training_loss": loss, "repeat_bias": repeat_bias,
                    "network_validation_ndcg_at_10": reached,
                }  # fmt: skip
            seen = {"training_loss": loss, "validation_ndcg_at_10": reached}
            self._tell_epoch(1.0, epoch=epoch, metrics=seen)
            if epoch - best_epoch >= config.patience:
                break
            if config.time_limit_seconds is not None and time.monotonic() - began >= config.time_limit_seconds:
                break
        self._progress(fraction=_LEARNT, stage="weighing network and counts", metrics={})
        self._popularity = popularity_features(training, uses)
        self._learn_blend(validation, known, n_event_types=len(data.event_types))
        return self._finished()

    def extend(self, data: TrainingData) -> SequenceScorer:
        """Continue on all of the data, nothing held out, for a fixed number of epochs.

        Raises:
            InvalidInput: `fit` has not run, or on another catalogue.
        """
        if self._learner is None or self._parameters is None or len(self._parameters["item_biases"]) != data.n_items:
            raise invalid("data", got=f"{data.n_items} items", want="the items of a `fit` before")
        histories, worth, weights = data.histories(), data.target_weights(), self._weights(data)
        known = self._known(data)
        state = self._learner.begin(self._parameters)
        for epoch in range(_EXTENSION_EPOCHS):
            done = epoch / _EXTENSION_EPOCHS
            part = f"extension, epoch {epoch + 1} of {_EXTENSION_EPOCHS}"
            falling = (_EXTENSION_RATE * (1.0 - done), _EXTENSION_RATE * (1.0 - done - 1.0 / _EXTENSION_EPOCHS))
            state, loss = self._learner.epoch(
                state, histories, weights, number=self._config.epochs + 1 + epoch, rates=falling,
                context=known.context, user_features=known.user_features,
                pace=Pace(partial(self._tell_extension, done=done, stage=part), seconds=self._report_seconds),
            )  # fmt: skip
            self._progress(fraction=(epoch + 1) / _EXTENSION_EPOCHS, stage=part, metrics={"training_loss": loss})
        self._parameters = _to_numpy(state.parameters)
        self._sequential_rules = SequentialRules.count(
            histories, n_items=data.n_items, shape=self._rule_shape, weights=worth
        )
        self._popularity = popularity_features(histories, self._uses(histories, worth, n_items=data.n_items))
        return self._finished()

    def _tell_epoch(self, share: float, *, epoch: int, metrics: Mapping[str, float] = MappingProxyType({})) -> None:
        """Say that a share of an epoch is done; at its end with what was measured."""
        done = (epoch - 1 + share) / self._config.epochs
        self._progress(
            fraction=_BEGUN + (_LEARNT - _BEGUN) * done,
            stage=f"epoch {epoch} of at most {self._config.epochs}",
            metrics=metrics,
        )

    def _tell_extension(self, share: float, *, done: float, stage: str) -> None:
        self._progress(fraction=done + share / _EXTENSION_EPOCHS, stage=stage, metrics={})

    def _uses(
        self,
        histories: Histories,
        worth: FloatArray,
        *,
        n_items: int,
        validation: Validation | None = None,  # noqa: ARG002 -- for families that ask it
    ) -> NDArray[np.float64]:
        """Return how much each item is used: float64 [n_items], as numbers of interactions.

        Args:
            histories: To count in.
            worth: float32 [interactions], how much each counts.
            n_items: Items of the catalogue.
            validation: Held-out steps, at the first of two calls, by which a family may decide how to count.
        """
        uses: NDArray[np.float64] = np.bincount(histories.items, weights=worth, minlength=n_items).astype(np.float64)
        return uses

    def _item_side(self, data: TrainingData) -> ItemSide | None:  # noqa: ARG002 -- for families that ask it
        """Return what a family learns of items beside their use."""
        return None

    def _begin(self, training: Histories, uses: NDArray[np.float64], *, n_event_types: int) -> dict[str, FloatArray]:
        """Begin where counting leads: embeddings from what occurs together, biases from popularity."""
        together = count_successors(training, n_items=len(uses), window=_WINDOW).with_transpose(1.0)
        strength = np.zeros(len(uses), np.float32)
        np.add.at(strength, together.rows(), together.values)
        directions = leading_eigenvectors(
            together.scaled(1.0 / np.sqrt(strength + 1.0)), count=self._network.width, seed=self._seed
        )
        begun = self._network.initial_parameters(
            item_directions=directions, item_biases=_log_shares(uses), n_event_types=n_event_types, seed=self._seed
        )
        for name, meaning in ((_CONTEXT, self._meaning), (_PEOPLE, self._user_features)):
            if meaning is not None:
                begun[name] = np.zeros((len(meaning), self._network.width), np.float32)
        if self._user_features is not None:
            begun[_GATES] = first_gates(self._config.max_length)
        return begun if self._items is None else begin_projection(begun, self._items.features)

    def _known(self, data: TrainingData) -> Known:
        """Note what the codes of the data's context stand for, and return them with those of the users' columns."""
        self._meaning = None if data.context is None else data.context.meaning
        return Known(
            None if data.context is None else data.context.codes,
            None
            if self._user_features is None
            else encode_users(self._user_features, data.users, n_users=data.n_users),
        )

    def _weights(self, data: TrainingData) -> FloatArray:
        """Weigh targets by what was done and how new they are.

        Newness goes from 1/2 for the oldest to 1 for the newest, by rank among all times.
        """
        times, worth = data.interactions.timestamp, data.target_weights()
        if not self._weigh_recency or not len(times):
            return worth
        return worth * (1.0 - 0.5 * share_newer(times)).astype(np.float32)

    def _judge(self, arrays: dict[str, FloatArray], validation: Validation, known: Known) -> tuple[float, float]:
        """Return the repeat bias that the held-out steps ask for, and the network's NDCG@10 with it."""
        n_event_types = len(arrays["actions"]) - 1
        plain = self._scorer(arrays, score_fusion=ScoreFusion.of_network(n_event_types=n_event_types))
        queries = known.embed_histories(plain, validation)
        bias = learn_repeat_bias(
            plain.item_vectors,
            queries,
            histories=validation.histories,
            targets=validation.targets,
            weights=validation.weights,
        )
        plain.score_fusion = ScoreFusion.of_network(n_event_types=n_event_types, repeat_bias=bias)
        return bias, validation.judge(plain, queries=queries)[0]

    def _learn_blend(self, validation: Validation, known: Known, *, n_event_types: int) -> None:
        assert self._parameters is not None
        assert self._sequential_rules is not None
        assert self._popularity is not None
        plain = self._scorer(self._parameters, score_fusion=ScoreFusion.of_network(n_event_types=n_event_types))
        observed = Observed(
            validation.histories,
            validation.targets,
            weights=validation.weights,
            queries=known.embed_histories(plain, validation),
            item_vectors=plain.item_vectors,
            popularity=self._popularity,
            repeat_bias=self.report["repeat_bias"],
        )
        self._score_fusion = learn_score_fusion(observed, self._sequential_rules, n_event_types=n_event_types)
        finished = self._finished()
        queries = known.embed_histories(finished, validation)
        reached, hits = validation.judge(finished, queries=queries)
        self.report = {
            **self.report, "validation_ndcg_at_10": reached, "validation_hit_rate_at_10": hits,
            "blend_network": self._score_fusion.network, "blend_rules": self._score_fusion.rules,
            "rules_backward": self._rule_shape.backward, "rules_follower_power": self._rule_shape.follower_power,
        }  # fmt: skip

    def _scorer(
        self, arrays: Mapping[str, FloatArray], *, score_fusion: ScoreFusion, popularity: FloatArray | None = None
    ) -> SequenceScorer:
        assert self._sequential_rules is not None
        rest: dict[str, FloatArray] = embed(arrays, self._items)
        tables = {name: rest.pop(name, None) for name in (_CONTEXT, _PEOPLE, _GATES)}
        embeddings, biases = (rest.pop(name, None) for name in ("item_embeddings", "item_biases"))
        assert embeddings is not None
        assert biases is not None
        features = (
            np.zeros((len(score_fusion.popularity), len(biases)), np.float32) if popularity is None else popularity
        )
        vectors = score_fusion.item_vectors(embeddings, biases, features)
        scorer = self._network.scorer(vectors, rest, score_fusion=score_fusion, sequential_rules=self._sequential_rules)
        user_features, gates = _table(self._user_features, tables[_PEOPLE]), tables[_GATES]
        return scorer.with_tables(
            context=_table(self._meaning, tables[_CONTEXT]),
            user_features=None if user_features is None or gates is None else UserFeatureTable(user_features, gates),
        )

    def _finished(self) -> SequenceScorer:
        assert self._parameters is not None
        return self._scorer(self._parameters, score_fusion=self._score_fusion, popularity=self._popularity)


def _table(meaning: ContextCodes | None, vectors: FloatArray | None) -> ContextTable | None:
    return None if meaning is None or vectors is None else ContextTable(meaning, vectors)


def _to_numpy(parameters: Parameters) -> dict[str, FloatArray]:
    # Copies: the arrays of JAX are donated to the next step.
    return {name: np.array(value) for name, value in parameters.items()}


def _log_shares(uses: NDArray[np.float64]) -> FloatArray:
    """Return the logarithms of the items' shares of all interactions, smoothed: float32 [n_items]."""
    shares: FloatArray = np.log((uses + 0.5) / (uses.sum() + 0.5 * len(uses))).astype(np.float32)
    return shares
