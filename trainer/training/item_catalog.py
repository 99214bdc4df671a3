"""A training that learns from items and can do without interactions; runs in the child process.

Nobody is held out: what is learnt does not hang on what users do. The model is measured by what it answers for items of
the catalogue, as Personalize measures Semantic-Similarity.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from common.storage import open_store
from recipes.catalog import get_recipe
from recipes.data.histories import Histories
from recipes.evaluation.metrics import LIST_LENGTH
from recipes.evaluation.ranking import by_scorer, top_items
from recipes.models.lsa.score import EXTRA
from recipes.ports import FitProgress, ItemScorer
from recipes.registry import make_fitter, read_config
from trainer.training.artifact_writer import pack
from trainer.training.loading import load
from trainer.training.pipeline import INDEX_FILE, index_model, told_measurements
from trainer.training.progress import Stages, SubProgress
from trainer.training.spec import ARTIFACT, TrainingResult, TrainingSpec

__all__ = ["catalogue_metrics", "train_catalogue"]

#: Items that are asked about to measure a model.
_ASKED_ITEMS = 2000
#: Shares of the whole between which the model is fitted.
_FIT = (0.05, 0.6)


def train_catalogue(order: TrainingSpec, folder: Path, *, progress: FitProgress) -> TrainingResult:
    """Load, fit, measure and write the artifact's files into `folder`/artifact.

    Raises:
        InvalidInput: The items lack names or texts, or bad hyperparameters.
        ResourceNotFound: A table was deleted.
        Unavailable: The store cannot be reached.
    """
    stages, declared = Stages(), get_recipe(order.recipe)
    config = read_config(declared, order.hyperparameters)
    progress(fraction=0.0, stage="loading data", metrics={})
    with stages.stage("load"):
        loaded = load(open_store(order.store_settings()), order)
    part = SubProgress(progress, _FIT)
    with stages.stage("fit"):
        scorer = make_fitter(declared, order.hyperparameters, seed=order.seed, progress=part).fit(loaded.data)
    progress(fraction=_FIT[1], stage="evaluating", metrics={})
    asked = _single_items(len(scorer.item_vectors), seed=order.seed)
    with stages.stage("evaluate"):
        metrics = catalogue_metrics(scorer, asked)
    progress(fraction=0.8, stage="indexing", metrics=metrics)
    artifact = folder / ARTIFACT
    artifact.mkdir()
    with stages.stage("index"):
        calibration = index_model(scorer, asked, artifact / INDEX_FILE, order)
    with stages.stage("pack"):
        pack(scorer, declared, loaded, artifact)
    return TrainingResult(
        recipe_config_json=config.model_dump_json(),
        n_items=loaded.data.n_items,
        n_users=loaded.data.n_users,
        event_types=loaded.data.event_types,
        dimensions=scorer.item_vectors.shape[1],
        metrics=metrics,
        baselines={},
        chosen_index=calibration.chosen.index,
        measurements=told_measurements(calibration),
        stage_seconds=stages.seconds,
    )


def catalogue_metrics(scorer: ItemScorer, asked: Histories) -> dict[str, float]:
    """Measure what is answered for single items, without the influence that campaigns may ask for.

    Args:
        scorer: Of Semantic-Similarity: the last coordinates of its vectors are freshness and popularity.
        asked: Of one item each.

    Returns:
        Means over the answers, rounded to four decimals: `item_similarity`, the cosine of the texts of what is asked
        about and what is answered; `item_freshness` and `item_popularity`, 0 to 1; `coverage`, the share of the
        catalogue that is answered at all.
    """
    vectors = scorer.item_vectors
    lists = top_items(by_scorer(scorer, asked), n_items=len(vectors), histories=asked, limit=LIST_LENGTH)
    # The item itself is last, so it is among the answers of small catalogues alone.
    others = lists != asked.items[:, None]
    owners, answered = np.nonzero(others)[0], lists[others]
    texts = vectors[:, :-EXTRA]
    means = {
        "coverage": len(np.unique(answered)) / len(vectors),
        "item_similarity": np.einsum("nc,nc->n", texts[asked.items[owners]], texts[answered]).mean(),
        "item_freshness": vectors[answered, -EXTRA].mean(),
        "item_popularity": vectors[answered, -1].mean(),
    }
    return {name: round(float(value), 4) for name, value in means.items()}


def _single_items(n_items: int, *, seed: int) -> Histories:
    chosen = np.sort(np.random.default_rng(seed).permutation(n_items)[:_ASKED_ITEMS])
    return Histories.of_items(np.arange(len(chosen) + 1), chosen)
