"""Fitting a sequence model: a network, stopped by what held-out users did next, and its fusion with rules and repeats.

`fit_sequence_model` holds some of the newest steps of users out, ranks them among the whole catalogue after every
epoch, keeps the best state and learns from the same steps how to fuse it with sequence rules and repeats.
`extend_sequence_model` then runs a few epochs with a falling step size on data that contain everything: the deployed
model must know each user's newest interactions, which the fitted one was kept from.

What a model has of its own, it gives as values: a `SequenceModel`, and the features of its items.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import NDArray

from common.errors import invalid
from recipes.components.context import ContextCodes
from recipes.components.item_features import ItemFeatures, with_projection
from recipes.components.item_regression.fit import fit_item_regression
from recipes.components.item_regression.score import ItemRegression
from recipes.components.recency import choose_half_life, popularity_features, recent_uses, share_newer
from recipes.components.score_fusion.fit import HeldOutSteps, learn_score_fusion
from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequence_scorer import SequenceScorer
from recipes.components.sequential_rules import RuleShape, SequentialRules, learn_shape
from recipes.components.user_features import encode_users, first_gates, learn_user_codes
from recipes.data.counts import cooccurrence_directions, total_cooccurrence
from recipes.data.histories import FloatArray, Histories
from recipes.data.training_data import TrainingData
from recipes.ports import Checkpoints, FitProgress
from recipes.training.assembly import CONTEXT, GATES, USER_FEATURES, Assembly
from recipes.training.batching import SideFeatures, choose_shapes
from recipes.training.checkpoints import NO_CHECKPOINTS, EpochCheckpoints, EpochRecord, FitState, fingerprint
from recipes.training.config import SequenceConfig
from recipes.training.early_stopping import EpochValidation, StoppingRule, Validation, hold_out, make_stopping_rule
from recipes.training.loop import BestEpoch, Trainer, TrainingSteps, to_numpy, train
from recipes.training.losses import Loss, choose_loss
from recipes.training.network import Network
from recipes.training.optimizer import DEFAULT_OPTIMIZER, LinearSchedule, Optimizer, OptimizerState
from recipes.training.progress import EpochProgress

__all__ = [
    "SequenceModel", "SequenceState", "count_uses", "extend_sequence_model", "fit_sequence_model", "target_weights",
]  # fmt: skip

#: Places apart that items still count as occurring together.
_WINDOW = 5

#: Held-out steps that every epoch is evaluated by at least, and scores worked out for it where that makes more steps.
_EVALUATED = 2048
_EVALUATED_SCORES = 30_000_000

#: Shares of the fit that are done before the first epoch, after the last one, and when items are regressed on items.
_BEGIN, _END, _REGRESSED = 0.02, 0.97, 0.99

#: Epochs of the extension, and the share of the learning rate that they begin with.
_EXTENSION_EPOCHS = 3
_EXTENSION_RATE = 0.5


@dataclass(frozen=True, slots=True)
class SequenceModel:
    """What a model supplies to the shared fit.

    Attributes:
        network: To be learnt, without dropout.
        config: How to learn.
        seed: Of every random number.
        weighs_recency: Whether the newest interactions weigh up to twice as much as the oldest as targets.
        counts_recent_uses: Whether items are as popular as lately, by a half-life that held-out steps choose, or as
            over all time.
        choose_loss: Chooses the loss by the configuration and the size of the catalogue.
        optimizer: How gradients change parameters.
        make_stopping_rule: Makes the rule that ends the epochs, just before the first one.
        report_seconds: Least time between two reports from within an epoch.
        checkpoints: Where the state of the fit is kept between its epochs.
    """

    network: Network
    config: SequenceConfig
    seed: int
    weighs_recency: bool
    counts_recent_uses: bool = False
    choose_loss: Callable[..., Loss] = choose_loss
    optimizer: Optimizer = DEFAULT_OPTIMIZER
    make_stopping_rule: Callable[[SequenceConfig], StoppingRule] = make_stopping_rule
    report_seconds: float = 1.0
    checkpoints: Checkpoints = NO_CHECKPOINTS


class _Split(NamedTuple):
    """What a fit learns from, and what it is evaluated by.

    Attributes:
        training: Steps that are learnt.
        worth: float32 [training interactions], what each counts by its event type alone.
        validation: Held-out steps.
        side: Context and users' columns of all steps.
    """

    training: TrainingSteps
    worth: FloatArray
    validation: Validation
    side: SideFeatures


@dataclass(frozen=True, slots=True)
class SequenceState:
    """What `fit_sequence_model` returns, and `extend_sequence_model` takes and returns.

    Attributes:
        scorer: The model as it serves.
        report: What was measured on the way.
        parameters: Of the network, as they are learnt.
        trainer: With the compiled steps.
        assembly: What scorers are made of, besides the parameters.
        half_life: Of uses; None where all uses count alike.
    """

    scorer: SequenceScorer
    report: Mapping[str, float]
    parameters: dict[str, FloatArray]
    trainer: Trainer
    assembly: Assembly
    half_life: float | None


def fit_sequence_model(
    model: SequenceModel, data: TrainingData, *, items: ItemFeatures | None, progress: FitProgress
) -> SequenceState:
    """Learn from the data; the last items of the validation users are used to decide when to stop.

    Args:
        model: What to fit.
        data: To learn from; what validation needs is held out inside.
        items: Features of the items; None where they are known by their use alone.
        progress: Receives a report of every epoch, and from within.

    Raises:
        InvalidInput: No user has two interactions, or all weigh nothing.
    """
    progress(fraction=_BEGIN / 4, stage="choosing the shape of rules", metrics={})
    user_codes = learn_user_codes(data.users)
    split = _hold_out(model, data, user_codes)
    training, n_items = split.training.histories, data.n_items
    rule_shape = _learn_rule_shape(split, n_items=n_items)
    progress(fraction=_BEGIN / 2, stage="counting what follows what", metrics={})
    rules = SequentialRules.count(training, n_items=n_items, shape=rule_shape, weights=split.worth)
    half_life = None
    if model.counts_recent_uses:
        half_life = choose_half_life(training, split.validation.targets, n_items=n_items)
    uses = count_uses(training, split.worth, n_items=n_items, half_life=half_life, items=items)

    dropout = model.config.dropout_for(
        interactions=len(training.items), users=int(np.count_nonzero(training.lengths()))
    )
    network = model.network.with_dropout(dropout)
    context_codes = None if data.context is None else data.context.meaning
    assembly = Assembly(network, rules, ItemRegression.nothing(), items, context_codes, user_codes)
    trainer = _make_trainer(model, network, data, training, items)
    progress(fraction=_BEGIN * 3 / 4, stage="placing items by what they occur with", metrics={})
    reports = _fit_progress(model, progress, parts=split.training.count_parts())
    best = train(
        trainer,
        _initial_parameters(model, assembly, training, uses, n_event_types=len(data.event_types)),
        split.training,
        epochs=model.config.epochs,
        evaluate=_network_evaluation(model, assembly, split, n_items=n_items),
        metric="network_validation_ndcg_at_100",
        stopping=model.make_stopping_rule(model.config),
        progress=reports,
        checkpoints=_checkpoints(model, "fit", split.training, items, network=network),
    )
    regression = _regress(training, split.worth, n_items=n_items, progress=progress, begin=_END)
    progress(fraction=_REGRESSED, stage="weighing network and counts", metrics={})
    popularity = popularity_features(training, uses)
    fusion, regression, network_report = _learn_fusion(assembly, best, split, popularity, regression)
    assembly = assembly._replace(regression=regression)
    scorer = assembly.scorer(best.parameters, score_fusion=fusion, popularity=popularity)
    report = {
        **_training_report(best, dropout=dropout), **network_report, **_fusion_report(scorer, split, rule_shape)
    }  # fmt: skip
    return SequenceState(scorer, report, best.parameters, trainer, assembly, half_life)


def extend_sequence_model(
    model: SequenceModel, state: SequenceState | None, data: TrainingData, *, progress: FitProgress
) -> SequenceState:
    """Continue on all of the data, nothing held out, for a fixed number of epochs; of long ones a part each.

    Args:
        model: As it was fitted.
        state: From `fit_sequence_model`; None where that has not run.
        data: With the same users and items, and what was held out.
        progress: Receives a report of every epoch, and from within.

    Raises:
        InvalidInput: There is no state, or it is of another catalogue.
    """
    if state is None or len(state.parameters["item_biases"]) != data.n_items:
        raise invalid("data", got=f"{data.n_items} items", want="the items of a `fit` before")
    histories, worth = data.histories(), data.target_weights()
    side = _side_features(data, state.assembly.user_codes)
    steps = TrainingSteps(histories, target_weights(data, weighs_recency=model.weighs_recency), side)
    learning = _extend(model, state, steps, progress=progress)
    parameters = to_numpy(learning.parameters)
    shape = state.assembly.rules.shape
    rules = SequentialRules.count(histories, n_items=data.n_items, shape=shape, weights=worth)
    context_codes = None if data.context is None else data.context.meaning
    regression = state.assembly.regression
    if len(regression.places):  # what the weights count stays
        stage = "extension, "
        learnt = _regress(histories, worth, n_items=data.n_items, progress=progress, begin=1.0, stage=stage)
        regression = replace(learnt, places=regression.places, weight=regression.weight)
    assembly = state.assembly._replace(rules=rules, regression=regression, context_codes=context_codes)
    uses = count_uses(histories, worth, n_items=data.n_items, half_life=state.half_life, items=state.assembly.items)
    scorer = assembly.scorer(
        parameters, score_fusion=state.scorer.score_fusion, popularity=popularity_features(histories, uses)
    )
    return replace(state, scorer=scorer, parameters=parameters, assembly=assembly)


def _extend(
    model: SequenceModel, state: SequenceState, steps: TrainingSteps, *, progress: FitProgress
) -> OptimizerState:
    """Run the epochs of the extension, of long ones a part each, from the last that an earlier attempt has kept."""
    stage = f"extension, epoch {{epoch}} of {_EXTENSION_EPOCHS}"
    reports = EpochProgress(progress, stage=stage, epochs=_EXTENSION_EPOCHS, seconds=model.report_seconds)
    trainer = state.trainer
    # The parameters that it begins from do not follow from the data: the fit may have come to others.
    phase = f"extension-{fingerprint({}, [state.parameters[name] for name in sorted(state.parameters)])}"
    checkpoints = _checkpoints(model, phase, steps, state.assembly.items, network=state.assembly.network)
    kept = checkpoints.load(jax.eval_shape(trainer.begin, state.parameters))
    learning = None if kept is None else kept.optimizer
    records = () if kept is None or learning is None else kept.epochs
    learning = learning or trainer.begin(state.parameters)
    parts = steps.count_parts()
    for epoch in range(len(records) + 1, _EXTENSION_EPOCHS + 1):
        reports.start(epoch)
        done = (epoch - 1) / _EXTENSION_EPOCHS
        falling = LinearSchedule(
            _EXTENSION_RATE * (1.0 - done), _EXTENSION_RATE * (1.0 - done - 1.0 / _EXTENSION_EPOCHS)
        )
        number = model.config.epochs * parts + epoch
        learnt = steps.part(number, parts=parts, seed=trainer.seed)
        learning, loss = trainer.epoch(learning, learnt, number=number, progress=reports, schedule=falling)
        reports.report(1.0, metrics={"training_loss": loss})
        records = (*records, EpochRecord(loss))
        checkpoints.save_if_due(FitState(learning, None, 0, records))
    return learning


def _checkpoints(
    model: SequenceModel, phase: str, steps: TrainingSteps, items: ItemFeatures | None, *, network: Network
) -> EpochCheckpoints:
    """Return what keeps the epochs of a phase of a fit, under a name that no other fit has."""
    if model.checkpoints is NO_CHECKPOINTS:
        return EpochCheckpoints(NO_CHECKPOINTS, phase)
    facts = {
        "phase": phase,
        "config": model.config.model_dump(),
        "seed": model.seed,
        "network": repr(network),
        "optimizer": repr(model.optimizer),
        "choices": [model.weighs_recency, model.counts_recent_uses],
    }
    histories = steps.histories
    learnt: list[NDArray[Any] | None] = [
        histories.offsets, histories.items, histories.event_types, histories.times, steps.weights, *steps.side
    ]  # fmt: skip
    if items is not None:
        learnt += [np.asarray(items.features), np.asarray(items.cold)]
    return EpochCheckpoints(model.checkpoints, f"{phase}-{fingerprint(facts, learnt)}")


def target_weights(data: TrainingData, *, weighs_recency: bool) -> FloatArray:
    """Weigh targets by what was done and how new they are: float32 [interactions].

    Newness goes from 1/2 for the oldest to 1 for the newest, by rank among all times.
    """
    times, worth = data.interactions.timestamp, data.target_weights()
    if not weighs_recency or not len(times):
        return worth
    return worth * (1.0 - 0.5 * share_newer(times)).astype(np.float32)


def count_uses(
    histories: Histories,
    worth: FloatArray,
    *,
    n_items: int,
    half_life: float | None,
    items: ItemFeatures | None,
) -> NDArray[np.float64]:
    """Return how much each item is used: float64 [n_items], as numbers of interactions.

    Cold items count as the median of the others that are used, so that they are recommended as if they were used as
    much.

    Args:
        histories: To count in.
        worth: float32 [interactions], how much each counts; with a half-life all count alike.
        n_items: Items of the catalogue.
        half_life: Share of all interactions after which older ones count half; None for no difference.
        items: Features of the items; None where none is cold.
    """
    if half_life is None:
        uses: NDArray[np.float64] = np.bincount(histories.items, weights=worth, minlength=n_items).astype(np.float64)
    else:
        uses = recent_uses(histories, half_life=half_life, n_items=n_items)
    if items is None:
        return uses
    cold = items.cold > 0
    warm = uses[~cold & (uses > 0)]
    return np.where(cold, np.median(warm), uses) if len(warm) else uses


def _hold_out(model: SequenceModel, data: TrainingData, user_codes: ContextCodes | None) -> _Split:
    histories, worth, side = data.histories(), data.target_weights(), _side_features(data, user_codes)
    validation, kept = hold_out(histories, count=model.config.validation_targets, seed=model.seed, weights=worth)
    if not worth[kept].any():
        raise invalid("eventsConfig", got="events of weight 0 alone", want="some of a type that weighs more")
    weights = target_weights(data, weighs_recency=model.weighs_recency)[kept]
    training = TrainingSteps(histories.where(kept), weights, side.where(kept))
    return _Split(training, worth[kept], validation, side)


def _side_features(data: TrainingData, user_codes: ContextCodes | None) -> SideFeatures:
    """Return the codes of the context of all steps, and those of the columns of their users."""
    return SideFeatures(
        None if data.context is None else data.context.codes,
        None if user_codes is None else encode_users(user_codes, data.users, n_users=data.n_users),
    )


def _learn_rule_shape(split: _Split, *, n_items: int) -> RuleShape:
    return learn_shape(
        split.training.histories,
        shown=split.validation.histories,
        targets=split.validation.targets,
        n_items=n_items,
        weights=split.worth,
        target_weights=split.validation.weights,
    )


def _make_trainer(
    model: SequenceModel, network: Network, data: TrainingData, training: Histories, items: ItemFeatures | None
) -> Trainer:
    """Make the trainer; its shapes hold for the extension too, whose steps are then compiled already."""
    config, loss = model.config, model.choose_loss(model.config, n_items=data.n_items)
    shapes = choose_shapes(
        data.histories().lengths(),
        max_length=config.max_length,
        batch_size=config.batch_size,
        max_rows=loss.max_batch_rows,
    )
    return Trainer(
        network,
        loss=loss,
        optimizer=model.optimizer,
        learning_rate=config.learning_rate,
        counts=np.bincount(training.items, minlength=data.n_items),
        shapes=shapes,
        items=items,
        seed=model.seed,
    )


def _fit_progress(model: SequenceModel, progress: FitProgress, *, parts: int) -> EpochProgress:
    epochs = model.config.epochs * parts
    unit = "epoch" if parts == 1 else "part of an epoch"
    return EpochProgress(
        progress,
        stage=f"{unit} {{epoch}} of at most {epochs}",
        epochs=epochs,
        begin=_BEGIN,
        end=_END,
        seconds=model.report_seconds,
    )


def _initial_parameters(
    model: SequenceModel, assembly: Assembly, training: Histories, uses: NDArray[np.float64], *, n_event_types: int
) -> dict[str, FloatArray]:
    """Begin where counting leads: embeddings from what occurs together, biases from popularity.

    The directions are the eigenvectors of the symmetric counts C of what occurs together, scaled to
    C_ij / sqrt((c_i + 1) (c_j + 1)) with c the sums of the rows.
    """
    n_items, width = len(uses), assembly.network.width
    strength = total_cooccurrence(training, n_items=n_items, window=_WINDOW)
    directions = cooccurrence_directions(
        training,
        n_items=n_items,
        window=_WINDOW,
        scale=(1.0 / np.sqrt(strength + 1.0)).astype(np.float32),
        count=width,
        seed=model.seed,
    )
    parameters = assembly.network.initial_parameters(
        item_directions=directions, item_biases=_log_shares(uses), n_event_types=n_event_types, seed=model.seed
    )
    for name, codes in ((CONTEXT, assembly.context_codes), (USER_FEATURES, assembly.user_codes)):
        if codes is not None:
            parameters[name] = np.zeros((len(codes), width), np.float32)
    if assembly.user_codes is not None:
        parameters[GATES] = first_gates(model.config.max_length)
    return parameters if assembly.items is None else with_projection(parameters, assembly.items.features)


def _network_evaluation(
    model: SequenceModel, assembly: Assembly, split: _Split, *, n_items: int
) -> Callable[[dict[str, FloatArray]], tuple[float, Mapping[str, float]]]:
    """Return what measures a network's parameters: NDCG@100, and what else is told of the held-out steps."""
    sample = split.validation.sample(max(_EVALUATED, _EVALUATED_SCORES // n_items))
    steps = EpochValidation.prepare(sample, split.side, n_items=n_items, max_length=model.config.max_length)

    def evaluate(parameters: dict[str, FloatArray]) -> tuple[float, Mapping[str, float]]:
        n_event_types = len(parameters["actions"]) - 1
        scorer = assembly.scorer(parameters, score_fusion=ScoreFusion.of_network(n_event_types=n_event_types))
        figures = steps.measure(scorer)
        return figures.ndcg_at_100, {
            "repeat_bias": figures.repeat_bias,
            "validation_ndcg_at_10": figures.ndcg_at_10,
            "network_validation_hit_rate_at_10": figures.hit_rate_at_10,
        }

    return evaluate


def _regress(
    histories: Histories, worth: FloatArray, *, n_items: int, progress: FitProgress, begin: float, stage: str = ""
) -> ItemRegression:
    """Regress items on items, and report it from a share of the work that is done before."""

    def solved(share: float) -> None:
        fraction = begin + (_REGRESSED - _END) * share
        progress(fraction=min(1.0, fraction), stage=f"{stage}regressing items on items", metrics={})

    solved(0.0)
    return fit_item_regression(histories, worth, n_items=n_items, progress=solved)


def _learn_fusion(
    assembly: Assembly, best: BestEpoch, split: _Split, popularity: FloatArray, regression: ItemRegression
) -> tuple[ScoreFusion, ItemRegression, Mapping[str, float]]:
    """Learn the fusion with the best network, and report what is to be known of the network's own lists."""
    n_event_types = len(best.parameters["actions"]) - 1
    scorer = assembly.scorer(best.parameters, score_fusion=ScoreFusion.of_network(n_event_types=n_event_types))
    held_out = HeldOutSteps(
        split.validation.histories,
        split.validation.targets,
        weights=split.validation.weights,
        owners=split.validation.owners,
        queries=split.validation.embed(scorer, split.side),
        item_vectors=scorer.item_vectors,
        popularity=popularity,
        repeat_bias=best.details["repeat_bias"],
    )
    covered = split.validation.coverage(held_out.item_vectors, held_out.queries)
    fusion, regression = learn_score_fusion(held_out, assembly.rules, regression, n_event_types=n_event_types)
    return fusion, regression, {"network_validation_coverage_at_25": covered}


def _training_report(best: BestEpoch, *, dropout: float) -> dict[str, float]:
    return {
        "epochs": float(best.number), "dropout": dropout, "training_loss": best.training_loss, **best.details,
        "network_validation_ndcg_at_10": best.details["validation_ndcg_at_10"],
        "network_validation_ndcg_at_100": best.value,
    }  # fmt: skip


def _fusion_report(scorer: SequenceScorer, split: _Split, shape: RuleShape) -> dict[str, float]:
    ndcg, hit_rate = split.validation.evaluate(scorer, queries=split.validation.embed(scorer, split.side))
    return {
        "validation_ndcg_at_10": ndcg, "validation_hit_rate_at_10": hit_rate,
        "blend_network": scorer.score_fusion.network, "blend_rules": scorer.score_fusion.rules,
        "blend_regression": scorer.regression.weight if len(scorer.regression.places) else 0.0,
        "rules_backward": shape.backward, "rules_follower_power": shape.follower_power,
    }  # fmt: skip


def _log_shares(uses: NDArray[np.float64]) -> FloatArray:
    """Return the logarithms of the items' shares of all interactions, smoothed: float32 [n_items]."""
    shares: FloatArray = np.log((uses + 0.5) / (uses.sum() + 0.5 * len(uses))).astype(np.float32)
    return shares
