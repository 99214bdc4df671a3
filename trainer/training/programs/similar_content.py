"""Training of what finds items with similar texts, which can do without interactions.

Nobody is held out: what is learnt does not depend on what users do. The model is measured by what it answers for items
of the catalogue, as Personalize measures Semantic-Similarity; versions are not compared.
"""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from inference.batch import catalogue_scores
from protos.tailorbird.storage.v1 import artifact_manifest_pb2 as manifest_pb2
from recipes.data.histories import Histories
from recipes.evaluation.metrics import LIST_LENGTH, published
from recipes.evaluation.ranking import top_items
from recipes.models.lsa.score import EXTRA
from recipes.ports import Fitter, ItemScorer
from trainer.training.artifact_writer import write_item_index
from trainer.training.loading import LoadedData, load
from trainer.training.objective_bias import ItemModel
from trainer.training.offline_evaluation import OfflineEvaluation
from trainer.training.programs.incremental_update import IncrementalUpdateSteps
from trainer.training.programs.item_recommendation import ItemExport

__all__ = ["SimilarContentSteps", "SimilarContentUpdateSteps", "content_metrics"]

#: Items that a model is measured by.
_QUERY_ITEMS: Final = 2000


class SimilarContentSteps(ItemExport):
    """Trains models of texts: the steps of `trainer.training.program.train`. Its split are the items of queries."""

    stage_names: tuple[str, ...] = ("load", "fit", "evaluate", "index", "pack")

    def load(self) -> LoadedData:
        """Read the snapshot."""
        return load(self._training.store, self._training.spec, folder=self._training.folder)

    def split(self, loaded: LoadedData) -> Histories:
        """Draw the items of queries: histories of one item each."""
        return _query_items(loaded.data.n_items, seed=self._training.spec.seed)

    def tune(self, *_: object) -> dict[str, str]:
        """Tune nothing: there is no hyperparameter to tune."""
        return {}

    def fit(self, fitter: Fitter, _: Histories, loaded: LoadedData) -> ItemModel:
        """Learn from all items."""
        return ItemModel(fitter.fit(loaded.data))

    def evaluate(self, _: Fitter, model: ItemModel, split: Histories, _loaded: LoadedData) -> OfflineEvaluation:
        """Measure what is answered for the items that were drawn."""
        return OfflineEvaluation(content_metrics(model.scorer, split))

    def keep_measured(self, *_: object) -> None:
        """Keep nothing: the model that was measured is the one that is served, and versions are not compared."""

    def refit(self, _: Fitter, model: ItemModel, _loaded: LoadedData) -> ItemModel:
        """Return the model, which has learnt from everything."""
        return model

    def index(self, model: ItemModel, _: Histories, folder: Path) -> manifest_pb2.IndexCalibration:
        """Make the index from items, and measure it by others."""
        return write_item_index(model.scorer, folder, self._training.spec)


class SimilarContentUpdateSteps(IncrementalUpdateSteps):
    """Adds items to models of texts, which read them by what they have learnt themselves."""

    def read_columns(self, *_: object) -> None:
        """Read nothing."""

    def index(self, model: ItemModel, _: Histories, folder: Path) -> manifest_pb2.IndexCalibration:
        """Make and measure the index by items, as a training does: there may be no users."""
        return write_item_index(model.scorer, folder, self._training.spec)


def _query_items(n_items: int, *, seed: int) -> Histories:
    chosen = np.sort(np.random.default_rng(seed).permutation(n_items)[:_QUERY_ITEMS])
    return Histories.of_items(np.arange(len(chosen) + 1), chosen)


def content_metrics(scorer: ItemScorer, queries: Histories) -> dict[str, float]:
    """Measure what is answered for single items, without the influence that campaigns may configure.

    Args:
        scorer: Of Semantic-Similarity: the last coordinates of its vectors are freshness and popularity.
        queries: Histories of one item each.

    Returns:
        Means over the answers, rounded to four decimals: `item_similarity`, the cosine of the texts of a query's
        item and what is answered; `item_freshness` and `item_popularity`, 0 to 1; `coverage`, the share of the
        catalogue that is answered at all.
    """
    vectors = scorer.item_vectors
    lists = top_items(catalogue_scores(scorer, queries), n_items=len(vectors), histories=queries, limit=LIST_LENGTH)
    # The item itself is last, so it is among the answers of small catalogues alone.
    others = lists != queries.items[:, None]
    owners, similar = np.nonzero(others)[0], lists[others]
    texts = vectors[:, :-EXTRA]
    return published(
        {
            "coverage": len(np.unique(similar)) / len(vectors),
            "item_similarity": float(np.einsum("nc,nc->n", texts[queries.items[owners]], texts[similar]).mean()),
            "item_freshness": float(vectors[similar, -EXTRA].mean()),
            "item_popularity": float(vectors[similar, -1].mean()),
        }
    )
