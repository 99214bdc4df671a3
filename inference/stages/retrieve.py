"""Finding the best items for a query and how they score, with either index."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Protocol

import numpy as np

from common.errors import CorruptArtifact
from inference.result import ScoredItems
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.data.histories import FloatArray
from recipes.ports import ItemScorer, ScoreDelta
from recipes.retrieval import AnnoyIndex, search_adjusted
from recipes.retrieval.top_k import top_k

__all__ = ["ANNOY_FILE", "AnnoyRetrieval", "ExactRetrieval", "IndexMode", "Retrieval", "open_retrieval"]

ANNOY_FILE = "index.ann"
IndexMode = Literal["auto", "annoy", "exact"]
#: Items asked of Annoy at least: what calibration measured, and enough for the scores' sum to mean something.
_CANDIDATES = 100
#: Nodes that Annoy inspects when it is forced upon an artifact whose calibration never measured it: all trees, deep.
_UNMEASURED_SEARCH_K = 16_000


class Retrieval(Protocol):
    """Finds the best items; immutable."""

    def find(
        self, query: FloatArray, *, change: ScoreDelta, limit: int, bonus: ScoreDelta | None = None
    ) -> ScoredItems:
        """Return the best items for a user.

        Args:
            query: float32 [d], the scorer's vector of the history.
            change: The scorer's adjustment for the history.
            limit: Items wanted, at least 1.
            bonus: A further adjustment, for exploration.
        """


class ExactRetrieval:
    """Scores the whole catalogue by one matrix product; the softmax runs over the whole catalogue too."""

    def __init__(self, scorer: ItemScorer) -> None:
        self._vectors = scorer.item_vectors

    def find(
        self, query: FloatArray, *, change: ScoreDelta, limit: int, bonus: ScoreDelta | None = None
    ) -> ScoredItems:
        """Return the best items for a user."""
        scores: FloatArray = self._vectors @ query
        if len(change.items):
            scores[change.items] += change.values
        if bonus is not None:
            scores[bonus.items] += bonus.values
        items = top_k(scores, limit)
        top = scores[items]
        highest = top[0]
        scores -= highest
        np.exp(scores, out=scores)
        return ScoredItems(items, np.exp(top - highest) / scores.sum())


class AnnoyRetrieval:
    """Scores what Annoy finds, and what is adjusted; the softmax runs over these candidates."""

    def __init__(self, scorer: ItemScorer, index: AnnoyIndex) -> None:
        self._vectors = scorer.item_vectors
        self._index = index

    def find(
        self, query: FloatArray, *, change: ScoreDelta, limit: int, bonus: ScoreDelta | None = None
    ) -> ScoredItems:
        """Return the best items for a user."""
        if bonus is not None:
            change = _together(change, bonus)
        items, scores = search_adjusted(
            self._index, self._vectors, query=query, change=change, limit=max(limit, _CANDIDATES)
        )
        shares = np.exp(scores - scores[0])
        return ScoredItems(items[:limit], shares[:limit] / shares.sum())


def _together(first: ScoreDelta, second: ScoreDelta) -> ScoreDelta:
    items, places = np.unique(np.concatenate([first.items, second.items]), return_inverse=True)
    values = np.bincount(places, weights=np.concatenate([first.values, second.values]))
    return ScoreDelta(items, values.astype(np.float32))


def open_retrieval(folder: Path, manifest: ArtifactManifest, *, scorer: ItemScorer, mode: IndexMode) -> Retrieval:
    """Open the index of an artifact.

    Args:
        folder: Of the artifact.
        manifest: Carries the calibration.
        scorer: Of the artifact.
        mode: `auto` takes the calibration's choice.

    Raises:
        CorruptArtifact: The index file is missing, unreadable or of another catalogue, or the choice is unknown.
    """
    chosen = manifest.index.chosen if mode == "auto" else mode
    if chosen == "exact":
        return ExactRetrieval(scorer)
    if chosen != "annoy":
        raise CorruptArtifact(f"`index.chosen`: got {chosen!r}, want annoy or exact")
    # Calibration tries more and more nodes and ends with the first setting that finds enough.
    measured = [found.search_k for found in manifest.index.measurements if found.index == "annoy"]
    index = AnnoyIndex(
        folder / ANNOY_FILE, scorer.item_vectors, search_k=measured[-1] if measured else _UNMEASURED_SEARCH_K
    )
    return AnnoyRetrieval(scorer, index)
