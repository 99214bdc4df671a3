"""One training from its order to the files of an artifact; runs in the child process.

The model is fitted twice in effect: once without a tenth of the users, to be measured on them, and then on with
everybody's data, to be served. The first is kept too, beside the artifact, for later versions to be compared with.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format

from common.artifacts import Artifact
from common.storage import Store, open_store
from recipes.catalog import get_recipe
from recipes.data.histories import Histories
from recipes.evaluation.evaluator import Evaluator
from recipes.evaluation.items import describe_items
from recipes.evaluation.paired_tests import Pair
from recipes.evaluation.splits import Split, hold_out_lowest
from recipes.ports import FitProgress, ItemScorer
from recipes.registry import make_fitter, read_config
from recipes.retrieval import IndexCalibration, build_annoy, calibrate
from trainer.domain.data_requirements import check_times
from trainer.training.actions import train_actions
from trainer.training.artifact_writer import pack
from trainer.training.challenge import compare
from trainer.training.champion import measure_predecessor
from trainer.training.context_features import first_hidden
from trainer.training.loading import LoadedData, load
from trainer.training.objective_bias import apply_objective, save_biases
from trainer.training.offline_evaluation import (
    add_fit_metrics,
    evaluation,
    measure_baselines,
    model_scores,
    personalize_metrics,
    rewards_metric,
)
from trainer.training.progress import EXTEND, FIT, Stages, SubProgress
from trainer.training.segments import train_segments
from trainer.training.spec import ARTIFACT, MEASURED_MODEL, PREDECESSOR, Measurement, TrainingResult, TrainingSpec
from trainer.training.tuning import tune

__all__ = ["INDEX_FILE", "index_model", "told_measurements", "train"]

INDEX_FILE = "index.ann"
#: Users whose vectors an index is calibrated with.
_CALIBRATION_USERS = 256


def train(order: TrainingSpec, folder: Path, *, progress: FitProgress) -> TrainingResult:
    """Load, fit, measure, fit on, and write the artifact's files into `folder`/artifact.

    Raises:
        InvalidInput: Too little data, or bad hyperparameters.
        ResourceNotFound: The recipe is not built, or a table was deleted.
        Unavailable: The store cannot be reached.
    """
    stages = Stages()
    declared = get_recipe(order.recipe)
    read_config(declared, order.hyperparameters)  # refused before anything is read
    progress(fraction=0.0, stage="loading data", metrics={})
    store = open_store(order.store_settings())
    with stages.stage("load"):
        loaded = load(store, order)
        times = loaded.data.interactions.timestamp
        check_times(first=int(times.min()), last=int(times.max()), recipe_type=declared.recipe_type)
    if declared.recipe_type == "PERSONALIZED_ACTIONS":
        return train_actions(order, loaded, folder, store=store, stages=stages, progress=progress)
    if declared.recipe_type == "USER_SEGMENTATION":
        return train_segments(order, loaded, folder, store=store, stages=stages, progress=progress)
    with stages.stage("split"):
        keys = loaded.users.keys()
        split = hold_out_lowest(loaded.data, keys=keys)
    tuned: dict[str, str] = {}
    if order.tuning is not None:
        with stages.stage("tune"):
            tuned, progress = tune(order, order.tuning, split=split, loaded=loaded, progress=progress)
    progress(fraction=FIT[0], stage="fitting", metrics={})
    hyperparameters, part = {**order.hyperparameters, **tuned}, SubProgress(progress)
    model = make_fitter(declared, hyperparameters, seed=order.seed, progress=part)
    with stages.stage("fit"):
        fitted, _ = apply_objective(model.fit(split.training), loaded, order)
    progress(fraction=FIT[1], stage="evaluating", metrics=model.report)
    with stages.stage("evaluate"):
        measured = _evaluate(fitted, split, store=store, loaded=loaded, order=order, folder=folder)
        add_fit_metrics(declared, model.report, metrics=measured.metrics, baselines=measured.baselines)
        _keep(fitted, loaded, folder / MEASURED_MODEL)
    part.span = EXTEND
    progress(fraction=EXTEND[0], stage="learning from everybody", metrics={})
    with stages.stage("extend"):
        scorer, biases = apply_objective(model.extend(loaded.data), loaded, order)
    progress(fraction=EXTEND[1], stage="indexing", metrics={})
    artifact = folder / ARTIFACT
    artifact.mkdir()
    with stages.stage("index"):
        calibration = index_model(scorer, split.histories, artifact / INDEX_FILE, order)
    with stages.stage("pack"):
        pack(scorer, declared, loaded, artifact)
        save_biases(biases, artifact)
    return TrainingResult(
        recipe_config_json=read_config(declared, hyperparameters).model_dump_json(),
        n_items=loaded.data.n_items,
        n_users=loaded.data.n_users,
        event_types=loaded.data.event_types,
        dimensions=scorer.item_vectors.shape[1],
        metrics=measured.metrics,
        baselines=measured.baselines,
        evaluation=measured.evaluation,
        highest_test_key=int(keys[split.users].max()),
        chosen_index=calibration.chosen.index,
        measurements=told_measurements(calibration),
        stage_seconds=stages.seconds,
        tuned_hyper_parameters=tuned,
    )


@dataclass(frozen=True, slots=True)
class _Evaluation:
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    evaluation: dict[str, Any]


def _evaluate(
    fitted: ItemScorer, split: Split, *, store: Store, loaded: LoadedData, order: TrainingSpec, folder: Path
) -> _Evaluation:
    """Measure the model as it would be served, the baselines, and the model beside its predecessor."""
    exam = Evaluator(split, describe_items(loaded.data, learnt=split.training))
    scores = model_scores(fitted, split, loaded)
    model = exam.measure(scores)
    baselines = measure_baselines(exam, seed=order.seed)

    def beside(artifact: Artifact) -> Pair:
        keys, users, situations = loaded.users.keys(), model.served.users, first_hidden(loaded.data, split)
        return measure_predecessor(artifact, users, exam=exam, loaded=loaded, keys=keys, situations=situations)

    compared = compare(store, order.predecessor, beside, cache=folder / PREDECESSOR, seed=order.seed)
    told = evaluation(exam, model, baselines, comparison=compared, seed=order.seed)
    told.warnings.extend(loaded.warnings)
    metrics = model.served.personalize()
    if loaded.rewards is not None:
        metrics |= rewards_metric(scores, split, loaded.rewards)
    return _Evaluation(
        metrics,
        {name: personalize_metrics(of) for name, of in baselines.items()},
        json_format.MessageToDict(told, preserving_proto_field_name=True),
    )


def _keep(fitted: ItemScorer, loaded: LoadedData, folder: Path) -> None:
    """Write the model as it was measured."""
    folder.mkdir()
    fitted.save(folder)
    loaded.items.save(folder, "items")


def index_model(scorer: ItemScorer, histories: Histories, path: Path, order: TrainingSpec) -> IndexCalibration:
    """Build the index and measure it on some users, at best such as the model does not know."""
    build_annoy(scorer.item_vectors, path, seed=order.seed, trees=order.index_trees)
    chosen = np.random.default_rng(order.seed).permutation(len(histories))[:_CALIBRATION_USERS]
    queries = scorer.embed_histories(histories.take(chosen))
    return calibrate(scorer.item_vectors, queries, path=path, trees=order.index_trees, recall_floor=order.recall_floor)


def told_measurements(calibration: IndexCalibration) -> tuple[Measurement, ...]:
    """Return what was measured of the index, for the result."""
    return tuple(
        Measurement(
            index=item.index, search_k=item.search_k, recall_at_25=item.recall_at_25, micros=round(item.micros, 1)
        )
        for item in calibration.measurements
    )
