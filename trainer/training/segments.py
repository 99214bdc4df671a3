"""One training of a recipe that ranks users; the artifact is for batch segment jobs, no runtime serves it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

import numpy as np
from google.protobuf import json_format

from common.artifacts import Artifact
from common.errors import InvalidInput
from common.storage import Store
from recipes.catalog import get_recipe
from recipes.data.histories import FloatArray
from recipes.evaluation.evaluator import Measurement
from recipes.evaluation.metrics import published
from recipes.evaluation.paired_tests import Pair
from recipes.models.user_segments.attributes import Attributes
from recipes.models.user_segments.evaluation import PRIMARY_METRIC, Question, Ranker, evaluate, hold_out_newest, sample
from recipes.models.user_segments.evaluation import compare as compare_ways
from recipes.models.user_segments.score import SegmentScorer, Weights
from recipes.ports import FitProgress
from recipes.registry import make_fitter, read_config
from trainer.training.challenge import compare
from trainer.training.champion import PredecessorSegments
from trainer.training.loading import LoadedData
from trainer.training.offline_evaluation import evaluation_of
from trainer.training.progress import EXTEND, FIT, Stages, SubProgress
from trainer.training.spec import ARTIFACT, MEASURED_MODEL, PREDECESSOR, TrainingResult, TrainingSpec

__all__ = ["train_segments"]

#: Queries that are measured at most, drawn at random.
_MOST_QUESTIONS: Final = 5000


def train_segments(
    order: TrainingSpec, loaded: LoadedData, folder: Path, *, store: Store, stages: Stages, progress: FitProgress
) -> TrainingResult:
    """Fit, measure, fit on, and write the artifact's files.

    Args:
        order: What to do.
        loaded: Its data.
        folder: Of the training.
        store: With the predecessor.
        stages: Has timed the loading.
        progress: Hears how it goes on.

    Raises:
        InvalidInput: The data have no order in time, nothing to measure by, or no attributes where some are needed.
        Unavailable: The store cannot be reached.
    """
    part, declared, data = SubProgress(progress), get_recipe(order.recipe), loaded.data
    config = read_config(declared, order.hyperparameters)
    # The registry names fitters of items and of users by one type; this recipe's type says which it is.
    model: Any = make_fitter(declared, order.hyperparameters, seed=order.seed, progress=part)
    progress(fraction=FIT[0], stage="fitting", metrics={})
    split = hold_out_newest(data)
    with stages.stage("fit"):
        fitted: SegmentScorer = model.fit(split.training)
    progress(fraction=FIT[1], stage="evaluating", metrics=model.report)
    with stages.stage("evaluate"):
        questions = sample(model.questions(split), _MOST_QUESTIONS, seed=order.seed)
        if not questions:
            raise InvalidInput("`interactions`: got none to measure by, want users with five or more interactions")
        rank = model.prepare(fitted, questions)(fitted.weights)
        measured = evaluate(questions, rank, n_users=data.n_users)

        def beside(artifact: Artifact) -> Pair:
            ranker = PredecessorSegments(artifact, model, questions, loaded=loaded)
            left_out = ranker.knows_of(split.hidden)
            return compare_ways(questions, rank, ranker.scores, left_out=left_out)

        compared = compare(store, order.predecessor, beside, cache=folder / PREDECESSOR, seed=order.seed)
        baselines = {"active-users": _most_active(fitted, split.training.histories().lengths(), questions)}
        told = evaluation_of(
            measured,
            baselines,
            test_users=int((split.hidden.lengths() > 0).sum()),
            comparison=compared,
            seed=order.seed,
        )
        told.warnings.extend(loaded.warnings)
        _save(fitted, loaded, folder / MEASURED_MODEL)
    part.span = EXTEND
    progress(fraction=EXTEND[0], stage="learning from everybody", metrics={})
    with stages.stage("extend"):
        scorer: SegmentScorer = model.extend(data)
    progress(fraction=EXTEND[1], stage="packing", metrics={})
    with stages.stage("pack"):
        artifact = folder / ARTIFACT
        _save(scorer, loaded, artifact)
        Attributes.of_columns(data.items, n_items=data.n_items).save(artifact)
    return TrainingResult(
        recipe_config_json=config.model_dump_json(),
        n_items=data.n_items,
        n_users=data.n_users,
        event_types=data.event_types,
        dimensions=scorer.item_factors.shape[1],
        metrics=published(measured.named()),
        baselines={name: published(of.named()) for name, of in baselines.items()},
        evaluation=json_format.MessageToDict(told, preserving_proto_field_name=True),
        chosen_index="none",
        measurements=(),
        stage_seconds=stages.seconds,
    )


def _save(scorer: SegmentScorer, loaded: LoadedData, folder: Path) -> None:
    folder.mkdir()
    scorer.save(folder)
    loaded.items.save(folder, "items")
    loaded.users.save(folder, "users")


def _most_active(
    fitted: SegmentScorer, interactions: np.ndarray[Any, np.dtype[np.int64]], questions: Sequence[Question]
) -> Measurement:
    """Measure the users with most interactions, the same for every query.

    For single items the baseline is given the benefit of the doubt: with users who know the item, or without.
    """
    scores, n_users = interactions.astype(np.float32), fitted.n_users
    plain = replace(fitted, activity=scores, weights=Weights(activity=1.0, earlier_use=-np.inf, period=0.0))
    nothing = np.zeros(n_users, np.float32)

    def without_known(question: Question) -> FloatArray:
        return plain.of_item(int(question.items[0]), affinity=nothing) if len(question.items) == 1 else scores

    ways: list[Ranker] = [lambda _: scores, without_known]
    found = [evaluate(questions, way, n_users=n_users) for way in ways]
    return max(found, key=lambda measured: measured.named()[PRIMARY_METRIC])
