"""One training from its order to the files of an artifact; runs in the child process.

The model is fitted twice in effect: once without a tenth of the users, to be measured on them, and then on with
everybody's data, to be served. The first is kept too, beside the artifact, for later versions to be compared with.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from google.protobuf import json_format

from common.storage import Store, open_store
from recipes.arrays import save_arrays
from recipes.evaluation.exam import Exam
from recipes.evaluation.items import describe_items
from recipes.evaluation.ranking import by_scorer
from recipes.evaluation.split import Split, hold_out_lowest
from recipes.index import IndexCalibration, build_annoy, calibrate
from recipes.interface import FitProgress, Histories, Recipe, Scorer
from recipes.registry import fitter as find_fitter
from recipes.registry import recipe as find_recipe
from trainer.training.loading import LoadedData, load
from trainer.training.measuring import comparison, evaluation, measure_baselines, personalize_metrics
from trainer.training.order import ARTIFACT, MEASURED_MODEL, Measurement, TrainingOrder, TrainingResult
from trainer.training.predecessor import measure_predecessor

__all__ = ["INDEX_FILE", "Stages", "index_model", "pack", "told_measurements", "train"]

INDEX_FILE = "index.ann"
#: Users whose vectors an index is calibrated with.
_CALIBRATION_USERS = 256
#: Shares of the whole that the parts of a training take, roughly.
_FIT, _EXTEND = (0.05, 0.75), (0.8, 0.95)


class Stages:
    """Times the stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 3)


class _Part:
    """Reports of a part as reports of the whole; `span` says which part of the whole it is."""

    def __init__(self, progress: FitProgress) -> None:
        self._progress = progress
        self.span = _FIT

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        """Take a report of the part."""
        begin, end = self.span
        self._progress(fraction=begin + (end - begin) * fraction, stage=stage, metrics=metrics)


def train(order: TrainingOrder, folder: Path, *, progress: FitProgress) -> TrainingResult:
    """Load, fit, measure, fit on, and write the artifact's files into `folder`/artifact.

    Raises:
        InvalidInput: Too little data, or bad hyperparameters.
        ResourceNotFound: The recipe is not built, or a table was deleted.
        Unavailable: The store cannot be reached.
    """
    stages, part = Stages(), _Part(progress)
    declared = find_recipe(order.recipe)
    config = declared.config.from_hyperparameters(order.hyperparameters)
    progress(fraction=0.0, stage="loading data", metrics={})
    store = open_store(order.store_settings())
    with stages.stage("load"):
        loaded = load(store, order)
        keys = loaded.users.keys()
        split = hold_out_lowest(loaded.data, keys=keys)
    model = find_fitter(declared)(config, seed=order.seed, progress=part)
    with stages.stage("fit"):
        fitted = model.fit(split.training)
    progress(fraction=_FIT[1], stage="evaluating", metrics=model.report)
    with stages.stage("evaluate"):
        measured = _evaluate(fitted, split, store=store, loaded=loaded, order=order, folder=folder)
        _keep(fitted, loaded, folder / MEASURED_MODEL)
    part.span = _EXTEND
    with stages.stage("extend"):
        scorer = model.extend(loaded.data)
    progress(fraction=_EXTEND[1], stage="indexing", metrics={})
    artifact = folder / ARTIFACT
    artifact.mkdir()
    with stages.stage("index"):
        calibration = index_model(scorer, split.histories, artifact / INDEX_FILE, order)
    with stages.stage("pack"):
        pack(scorer, declared, loaded, artifact)
    return TrainingResult(
        recipe_config_json=config.model_dump_json(),
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
    )


@dataclass(frozen=True, slots=True)
class _Evaluation:
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    evaluation: dict[str, Any]


def _evaluate(
    fitted: Scorer, split: Split, *, store: Store, loaded: LoadedData, order: TrainingOrder, folder: Path
) -> _Evaluation:
    """Measure the model as it would be served, the baselines, and the model beside its predecessor."""
    exam = Exam(split, describe_items(loaded.data, learnt=split.training))
    model = exam.measure(by_scorer(fitted, split.histories))
    baselines = measure_baselines(exam, seed=order.seed)
    told = evaluation(exam, model, baselines, seed=order.seed)
    if order.predecessor is not None:
        keys, cache = loaded.users.keys(), folder / "predecessor"
        before = measure_predecessor(store, order.predecessor, exam=exam, loaded=loaded, keys=keys, cache=cache)
        told.comparison.CopyFrom(comparison(model.served.users, before, seed=order.seed))
    return _Evaluation(
        model.served.personalize(),
        {name: personalize_metrics(of) for name, of in baselines.items()},
        json_format.MessageToDict(told, preserving_proto_field_name=True),
    )


def _keep(fitted: Scorer, loaded: LoadedData, folder: Path) -> None:
    """Write the model as it was measured."""
    folder.mkdir()
    fitted.save(folder)
    loaded.items.save(folder, "items")


def index_model(scorer: Scorer, histories: Histories, path: Path, order: TrainingOrder) -> IndexCalibration:
    """Build the index and measure it on some histories, at best such as the model does not know."""
    build_annoy(scorer.item_vectors, path, seed=order.seed, trees=order.index_trees)
    chosen = np.random.default_rng(order.seed).permutation(len(histories))[:_CALIBRATION_USERS]
    queries = scorer.queries(histories.take(chosen))
    return calibrate(scorer.item_vectors, queries, path=path, trees=order.index_trees, recall_floor=order.recall_floor)


def told_measurements(calibration: IndexCalibration) -> tuple[Measurement, ...]:
    """Return what was measured of the index, for the result."""
    return tuple(
        Measurement(
            index=item.index, search_k=item.search_k, recall_at_25=item.recall_at_25, micros=round(item.micros, 1)
        )
        for item in calibration.measurements
    )


def pack(scorer: Scorer, declared: Recipe, loaded: LoadedData, folder: Path) -> None:
    """Write what a runtime reads beside the index."""
    histories = loaded.data.histories().newest(declared.max_history)
    scorer.save(folder)
    loaded.items.save(folder, "items")
    loaded.users.save(folder, "users")
    save_arrays(
        folder,
        {
            "user_vectors": scorer.queries(histories),
            "history_offsets": histories.offsets,
            "history_items": histories.items,
            "history_actions": histories.actions,
            "history_times": histories.times,
        },
    )
