"""Training of what recommends items for histories: to users, to what somebody looks at, or to everybody alike.

Models are measured by lists of two kinds: those in which everything may occur, as they are served, and those without
what the user has used already.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.artifacts import Artifact
from common.compute.ray_cluster import RayCompute
from common.errors import CorruptArtifact
from common.vocabulary import Vocabulary
from inference.batch import catalogue_scores, user_codes_of
from protos.tailorbird.internal.v1.jobs_pb2 import HyperParameterTuning
from protos.tailorbird.storage.v1 import artifact_manifest_pb2 as manifest_pb2
from protos.tailorbird.storage.v1 import evaluation_pb2
from recipes.catalog import get_recipe
from recipes.components.objective import average_rewards
from recipes.components.sequential_rules import SequentialRulesBaseline
from recipes.config import RecipeConfig
from recipes.data.histories import Histories, ItemIndexes
from recipes.evaluation.evaluator import Evaluator, Measured
from recipes.evaluation.items import describe_items
from recipes.evaluation.metrics import LIST_LENGTH, UserValues, published
from recipes.evaluation.paired_tests import PRIMARY_METRIC, Pair
from recipes.evaluation.ranking import CatalogueScores, both_lists, top_items
from recipes.evaluation.splits import Split, hold_out_lowest
from recipes.models.popularity.config import PopularityConfig
from recipes.models.popularity.fit import PopularityFitter
from recipes.ports import FitProgress, Fitter, ItemScorer, UsesSideFeatures
from recipes.registry import make_fitter, open_scorer, read_config
from trainer.training.artifact_writer import write_index, write_item_index, write_users
from trainer.training.context_features import first_hidden
from trainer.training.loading import LoadedData, load
from trainer.training.objective_bias import ItemModel, apply_objective
from trainer.training.offline_evaluation import OfflineEvaluation, evaluation_message, metric_messages
from trainer.training.program import Training
from trainer.training.trials import Measure, run_trial
from trainer.training.tuning import tune, tune_side_by_side

__all__ = ["ItemExport", "ItemRecommendationSteps", "TrendingItemsSteps", "champion_pair", "rewards_metric"]

#: Recommendations among which the most rewarding are looked for: as many as one request may want.
_LONG_LIST = 500


class ItemExport:
    """How a model of items becomes an artifact, but for its index; see `trainer.training.program.ServingSteps`."""

    def __init__(self, training: Training) -> None:
        self._training = training

    def export(self, model: ItemModel, loaded: LoadedData, folder: Path) -> None:
        """Write the model, and its users as they are now."""
        model.save(folder)
        write_users(model.scorer, self._training.recipe, loaded, folder)

    def dimensions(self, model: ItemModel) -> int:
        """Return the length of the items' vectors."""
        return int(model.scorer.item_vectors.shape[1])


class ItemRecommendationSteps(ItemExport):
    """Trains models of items, with a tenth of the users held out: the steps of `trainer.training.program.train`."""

    stage_names: tuple[str, ...] = ("load", "split", "tune", "fit", "evaluate", "compare", "extend", "index", "pack")

    def load(self) -> LoadedData:
        """Read the snapshot."""
        return load(self._training.store, self._training.spec, folder=self._training.folder)

    def split(self, loaded: LoadedData) -> Split:
        """Hold out a tenth of the users, the same ones in every version."""
        return hold_out_lowest(loaded.data, keys=loaded.users.keys())

    def tune(
        self,
        tuning: HyperParameterTuning,
        config: RecipeConfig,
        split: Split,
        loaded: LoadedData,
        progress: FitProgress,
    ) -> dict[str, str]:
        """Try hyperparameters out on a tenth of the users that may be learnt from."""
        spec, defaults = self._training.spec, config.model_dump()
        if spec.ray_address is None:
            measure = self._trials(split, loaded)
            return tune(measure, tuning, defaults=defaults, seed=spec.seed, progress=progress)
        compute = RayCompute(spec.ray_address, most_parts=tuning.parallel_trials or None)
        part = spec.model_dump_json()
        return tune_side_by_side(compute, run_trial, part, tuning, defaults=defaults, seed=spec.seed, progress=progress)

    def open_trials(self) -> Measure:
        """Read the snapshot, and return what measures trials with it."""
        loaded = self.load()
        return self._trials(self.split(loaded), loaded)

    def _trials(self, split: Split, loaded: LoadedData) -> Measure:
        spec, recipe = self._training.spec, self._training.recipe
        inner = hold_out_lowest(split.training, keys=loaded.users.keys())
        evaluator = Evaluator(inner, describe_items(split.training, learnt=inner.training))

        def measure(values: Mapping[str, str], listener: FitProgress) -> float:
            tried = read_config(recipe, {**spec.configuration.hyperparameters, **values})
            fitter = make_fitter(recipe, tried, seed=spec.seed, progress=listener)
            model = self.fit(fitter, inner, loaded)
            return evaluator.measure(_scores(model.scorer, inner, loaded)).served.named()[PRIMARY_METRIC]

        return measure

    def fit(self, fitter: Fitter, split: Split, loaded: LoadedData) -> ItemModel:
        """Learn from all users but those held out."""
        return apply_objective(fitter.fit(split.training), loaded, self._training.spec)

    def evaluate(self, fitter: Fitter, model: ItemModel, split: Split, loaded: LoadedData) -> OfflineEvaluation:
        """Measure the model as it would be served, and as baselines popularity and sequential rules."""
        seed = self._training.spec.seed
        evaluator = Evaluator(split, describe_items(loaded.data, learnt=split.training))
        scores = _scores(model.scorer, split, loaded)
        measured = evaluator.measure(scores)
        baselines = _measure_baselines(evaluator, seed=seed)
        metrics = measured.served.personalize()
        if loaded.rewards is not None:
            metrics |= rewards_metric(scores, split, loaded.rewards)

        def pair_with(champion: Artifact) -> Pair:
            return champion_pair(champion, measured.served.users, evaluator=evaluator, loaded=loaded)

        return OfflineEvaluation(
            metrics | self._fit_metrics(fitter, prefix=""),
            {
                "popularity": _personalize(baselines["popularity"]) | self._fit_metrics(fitter, prefix="popularity_"),
                "sequence-rules": _personalize(baselines["sequence-rules"]),
            },
            _message(evaluator, measured, baselines, seed=seed),
            pair_with,
            measured.served.users.take(np.argsort(loaded.users.keys()[split.users], kind="stable")),
        )

    def keep_measured(self, model: ItemModel, split: Split, loaded: LoadedData, folder: Path) -> int:
        """Write the model and the ids of its items."""
        folder.mkdir()
        model.scorer.save(folder)
        loaded.items.save(folder, "items")
        return int(loaded.users.keys()[split.users].max())

    def refit(self, fitter: Fitter, _: ItemModel, loaded: LoadedData) -> ItemModel:
        """Learn on from all users."""
        return apply_objective(fitter.extend(loaded.data), loaded, self._training.spec)

    def index(self, model: ItemModel, split: Split, folder: Path) -> manifest_pb2.IndexCalibration:
        """Make the index from the users that were learnt from, and measure it by the test users.

        Who asks what is like an item asks by that item alone: these recipes' indexes are made and measured by items.
        """
        spec = self._training.spec
        if self._training.recipe.kind.is_personalized:
            return write_index(model.scorer, folder, spec, held_out=split.histories, learnt=split.training.histories())
        return write_item_index(model.scorer, folder, spec)

    def _fit_metrics(self, _: Fitter, *, prefix: str) -> dict[str, float]:  # noqa: ARG002 - for kinds that have some
        """Return metrics that a fitter measures itself; those of popularity have a prefix in its report."""
        return {}


class TrendingItemsSteps(ItemRecommendationSteps):
    """Adds what the fitters of trends measure themselves, on newest data that they hide."""

    def _fit_metrics(self, fitter: Fitter, *, prefix: str) -> dict[str, float]:
        name = "trend_prediction_accuracy"
        return published({name: fitter.report[f"{prefix}{name}"]})


def rewards_metric(scores: CatalogueScores, split: Split, rewards: NDArray[np.float64]) -> dict[str, float]:
    """Measure the rewards that an objective brings: Personalize's `average_rewards_at_k`.

    Args:
        scores: Scores of all items for the test users, as they would be served.
        split: Has what the test users did next.
        rewards: float64 [n_items], the column of the objective.
    """
    lists = top_items(scores, n_items=len(rewards), histories=split.histories, limit=_LONG_LIST)
    hidden = [split.relevant.of(row).items for row in range(len(lists))]
    return published({"average_rewards_at_k": average_rewards(lists, hidden, rewards)})


def champion_pair(artifact: Artifact, challenger: UserValues, *, evaluator: Evaluator, loaded: LoadedData) -> Pair:
    """Measure a champion on the test users whom it has not learnt from either.

    Args:
        artifact: The champion as it was measured.
        challenger: Metrics of the new model for all test users, of lists as they are served.
        evaluator: Measures by the test users of the new version.
        loaded: Items, users and event types of the new version.

    Raises:
        CorruptArtifact: Its files do not fit each other.
    """
    champion = evaluator.measure_lists(*_champion_lists(artifact, evaluator.split, loaded)).served.users
    keys = loaded.users.keys()[evaluator.split.users]
    held_out = keys <= np.uint64(artifact.manifest.highest_test_key)
    return Pair.of_users(challenger.where(held_out), champion.where(held_out))


def _scores(scorer: ItemScorer, split: Split, loaded: LoadedData) -> CatalogueScores:
    """Score the test users of a split as they would be served: each in the context of what is hidden first."""
    context_features = first_hidden(loaded.data, split)
    user_features = user_codes_of(scorer, loaded.data.users, n_users=loaded.data.n_users)
    of_tested = None if user_features is None else user_features[split.users]
    return catalogue_scores(scorer, split.histories, context_features, user_codes=of_tested)


def _measure_baselines(evaluator: Evaluator, *, seed: int) -> dict[str, Measured]:
    """Fit popularity and sequential rules to what the model learnt from, and measure them; by name."""
    split = evaluator.split
    popular = PopularityFitter(PopularityConfig(), seed=seed).fit(split.training)
    return {
        "popularity": evaluator.measure(catalogue_scores(popular, split.histories)),
        "sequence-rules": evaluator.measure(SequentialRulesBaseline.fit(split.training).scores(split.histories)),
    }


def _personalize(baseline: Measured) -> dict[str, float]:
    """Return a baseline's metrics under Personalize's keys.

    A baseline does not learn whether users repeat; each is given the benefit of the doubt: with what users have seen in
    its lists or without, whichever is better.
    """
    both = (baseline.served.personalize(), baseline.without_repeats.personalize())
    return max(both, key=lambda metrics: metrics["normalized_discounted_cumulative_gain_at_25"])


def _message(
    evaluator: Evaluator, model: Measured, baselines: Mapping[str, Measured], *, seed: int
) -> evaluation_pb2.Evaluation:
    """Put together what was measured, with intervals, and what was hidden."""
    relevant, facts = evaluator.split.relevant, evaluator.facts
    hidden = np.unique(relevant.owners() * len(facts) + relevant.items) % len(facts)
    message = evaluation_message(
        _model_message("model", model, seed=seed),
        [_model_message(name, baseline, seed=seed) for name, baseline in baselines.items()],
        test_users=len(evaluator.split.users),
    )
    message.hidden_items = len(hidden)
    message.hidden_new_item_share = float(facts.new[hidden].mean())
    return message


def _model_message(name: str, measured: Measured, *, seed: int) -> evaluation_pb2.ModelEvaluation:
    return evaluation_pb2.ModelEvaluation(
        name=name,
        metrics=metric_messages(measured.served, seed=seed),
        metrics_without_repeats=metric_messages(measured.without_repeats, seed=seed),
    )


def _champion_lists(artifact: Artifact, split: Split, loaded: LoadedData) -> tuple[ItemIndexes, ItemIndexes]:
    """Let a champion recommend to the test users, with what they have used and without.

    Returns:
        Twice int32 [m, up to LIST_LENGTH], indexes of the new version's items; -1 for those that are gone.
    """
    manifest = artifact.manifest
    scorer = open_scorer(get_recipe(manifest.recipe), artifact.folder)
    items = Vocabulary.load(artifact.folder, "items")
    if len(items) != len(scorer.item_vectors):
        raise CorruptArtifact(f"`items.*.npy`: got {len(items)} items, want {len(scorer.item_vectors)}")
    histories = _translated(split.histories, items=items, event_types=tuple(manifest.event_types), loaded=loaded)
    context_features = _champion_context(scorer, first_hidden(loaded.data, split), loaded)
    user_features = user_codes_of(scorer, loaded.data.users, n_users=loaded.data.n_users)
    of_tested = None if user_features is None else user_features[split.users]
    scores = catalogue_scores(scorer, histories, context_features, user_codes=of_tested)
    served, without_repeats = both_lists(scores, n_items=len(items), histories=histories, limit=LIST_LENGTH)
    new_indexes = loaded.items.indexes(items.ids(range(len(items))))
    return new_indexes[served], new_indexes[without_repeats]


def _champion_context(
    scorer: ItemScorer, context_features: NDArray[np.int32] | None, loaded: LoadedData
) -> NDArray[np.int32] | None:
    """Return context, int32 [m, columns], in a champion's codes; None where it has learnt from none."""
    table = scorer.context if isinstance(scorer, UsesSideFeatures) else None
    if context_features is None or table is None or loaded.data.context is None:
        return None
    meaning = loaded.data.context.meaning
    return np.array([table.meaning.encode_row(meaning.describe(row)) for row in context_features], np.int32)


def _translated(
    histories: Histories, *, items: Vocabulary, event_types: tuple[str, ...], loaded: LoadedData
) -> Histories:
    """Return histories by a champion's numbers, without the steps with items that it does not know."""
    old_indexes = items.indexes(loaded.items.ids(range(len(loaded.items))))
    numbers = {name: number for number, name in enumerate(event_types, start=1)}
    old_numbers = np.array([0, *(numbers.get(name, 0) for name in loaded.data.event_types)], np.uint8)
    renamed = Histories(
        histories.offsets, old_indexes[histories.items], old_numbers[histories.event_types], histories.times
    )
    return renamed.where(renamed.items >= 0)
