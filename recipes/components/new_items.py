"""Items that came after a training: what a model needs to give them vectors by their columns, without being fitted.

The columns are turned into the content that the training's own items have, and content into a vector by the same ridge
regression that completes cold items (`recipes.components.cold_start`). An item whose columns say nothing gets a vector
that says nothing either: no direction, and the bias of items that are used least.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, Self

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.components.cold_start import ColdMap, learn_cold_map
from recipes.data.columns import Columns
from recipes.data.histories import FloatArray
from recipes.data.training_data import TrainingData
from recipes.models.lsa.content_vectors import ContentVectors
from recipes.models.lsa.saved_content import load_content, save_content
from recipes.ports import ContentColumns, EncodedItems, ItemScorer, LearntContent

__all__ = ["ContentEncoder", "columns_of", "learn_encoder", "unremarkable_vector"]

_UNKNOWN: Final = "new_item_unknown"
_MAP: Final = ("new_item_centre", "new_item_weights")


@dataclass(frozen=True, slots=True)
class ContentEncoder:
    """Makes vectors of new items; a `recipes.ports.NewItemEncoder`.

    Attributes:
        unknown: float32 [d], of an item whose columns say nothing.
        content: From columns to content; None where the training had no columns.
        cold_map: From content to vectors; None where nothing could be learnt.
    """

    unknown: FloatArray
    content: ContentVectors | None = None
    cold_map: ColdMap | None = None

    @property
    def columns(self) -> ContentColumns:
        """The columns that are read."""
        if self.content is None or self.cold_map is None:
            return ContentColumns()
        return columns_of(self.content)

    def encode(self, columns: Columns, *, n_rows: int) -> EncodedItems:
        """Make the vectors of some items by their columns."""
        vectors = np.repeat(self.unknown[None], n_rows, axis=0)
        described = np.zeros(n_rows, bool)
        if self.content is not None and self.cold_map is not None:
            content = self.content.of(columns, n_rows=n_rows)
            described[:] = content.any(axis=1)
            vectors[described] = self.cold_map.predict(content[described])
        return EncodedItems(vectors, described)

    def save(self, folder: Path) -> None:
        """Write everything into an existing folder."""
        save_arrays(folder, {_UNKNOWN: self.unknown})
        if self.content is not None and self.cold_map is not None:
            save_content(self.content, folder)
            save_arrays(folder, dict(zip(_MAP, self.cold_map, strict=True)))

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        """Return whether a folder has one: artifacts of earlier releases have not."""
        return (folder / f"{_UNKNOWN}.npy").is_file()

    @classmethod
    def load(cls, folder: Path) -> Self:
        """Read what was saved.

        Raises:
            CorruptArtifact: A file is missing or cannot be read, or the files do not belong together.
        """
        unknown = map_arrays(folder, (_UNKNOWN,))[_UNKNOWN]
        if not (folder / f"{_MAP[0]}.npy").is_file():
            return cls(unknown)
        arrays = map_arrays(folder, _MAP)
        content, cold_map = load_content(folder), ColdMap(*(arrays[name] for name in _MAP))
        want = (content.projection.shape[1], *unknown.shape)
        if cold_map.weights.shape != want or cold_map.centre.shape != unknown.shape:
            raise CorruptArtifact(f"`{_MAP[1]}.npy`: got shape {cold_map.weights.shape}, want {want}")
        return cls(unknown, content, cold_map)


def learn_encoder(
    scorer: ItemScorer, data: TrainingData, content: LearntContent | None, *, uses: NDArray[np.integer], seed: int
) -> ContentEncoder:
    """Learn how a model's vectors follow from its items' columns.

    Args:
        scorer: The model.
        data: What users did, to compare scores on.
        content: What the items' columns say; None without columns.
        uses: int [n_items], interactions of each item that the model has learnt from.
        seed: Decides whose scores are compared.
    """
    unknown = unremarkable_vector(scorer.item_vectors, uses)
    if content is None:
        return ContentEncoder(unknown)
    return ContentEncoder(unknown, content.encoder, learn_cold_map(scorer, data, content.vectors, uses=uses, seed=seed))


def columns_of(content: ContentVectors) -> ContentColumns:
    """Return the columns that a map from columns to vectors reads."""
    space = content.space
    return ContentColumns(
        [words.column for words in space.categories],
        [numbers.column for numbers in space.numbers],
        [words.column for words in space.texts],
    )


def unremarkable_vector(vectors: FloatArray, uses: NDArray[np.integer]) -> FloatArray:
    """Return the vector of an item of which nothing is known: float32 [d].

    Its bias, the last coordinate, is the median of the tenth of the items that are used least, so that it scores like
    them; all others are 0.

    Args:
        vectors: float32 [n_items, d], of the items that the model has learnt.
        uses: int [n_items], interactions of each.
    """
    vector = np.zeros(vectors.shape[1], np.float32)
    if len(vectors):
        least = np.argsort(uses, kind="stable")[: -(-len(uses) // 10)]
        vector[-1] = np.median(vectors[least, -1])
    return vector
