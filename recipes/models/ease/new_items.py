"""Items that came after a training of Similar-Items: what their columns say of what they are similar to.

A new item is to the model what an item that nobody used is to a training (`recipes.models.ease.cold_items`). Which
items of the model it speaks for is worked out when it comes, as that takes a look at all of them; what speaks for it is
the product of its content with a vector of the item that is asked about, as of all new items at once.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple

import numpy as np

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.components.new_items import columns_of
from recipes.data.columns import Columns
from recipes.data.histories import FloatArray, ItemIndexes
from recipes.models.lsa.content_vectors import ContentVectors
from recipes.models.lsa.saved_content import save_content
from recipes.ports import ContentColumns, EncodedItems, Neighbours
from recipes.retrieval.top_k import top_k

__all__ = ["NewItemWeights", "RelatedItemEncoder", "load_weights", "save_weights"]

#: Items that a new item speaks for, at most.
NEIGHBOURS: Final = 100
#: New items that are weighed together, and scores worked out at once, 16 MiB of them.
_ROWS: Final = 256
_SCORES: Final = 1 << 22
_ARRAYS: Final = ("new_item_speaks", "new_item_heard", "new_item_likeness")


class NewItemWeights(NamedTuple):
    """What new items and those of the model have to do with each other, by the new items' content of length one.

    Attributes:
        speaks: float32 [n_items, c]; its products with content are how much each item speaks for a new one.
        heard: float32 [n_items, c]; its products with content are how much each item goes with a new one that is asked
            about.
        likeness: How much a new item speaks for another one of the same content.
    """

    speaks: FloatArray
    heard: FloatArray
    likeness: np.float32


@dataclass(frozen=True, slots=True)
class RelatedItemEncoder:
    """Makes the content of new items, and lists what they speak for; a `recipes.ports.NewItemEncoder`.

    Attributes:
        content: From columns to content.
        weights: What that has to do with the items of the model.
    """

    content: ContentVectors
    weights: NewItemWeights

    @property
    def columns(self) -> ContentColumns:
        """The columns that are read."""
        return columns_of(self.content)

    def encode(self, columns: Columns, *, n_rows: int) -> EncodedItems:
        """Make the content of some items, float32 [n_rows, c] of length one, and their neighbours."""
        content = self.content.of(columns, n_rows=n_rows)
        lengths = np.linalg.norm(content, axis=1, keepdims=True)
        content /= np.maximum(lengths, np.float32(1e-9))
        return EncodedItems(content, lengths[:, 0] > 0.0, self._neighbours(content))

    def _neighbours(self, content: FloatArray) -> Neighbours:
        """List the items that speak for content most, of those that do at all."""
        most = min(NEIGHBOURS, len(self.weights.heard))
        items, weights = np.full((len(content), most), -1, np.int32), np.zeros((len(content), most), np.float32)
        for begin in range(0, len(content), _ROWS):
            part = slice(begin, begin + _ROWS)
            self._fill_neighbours(content[part], items[part], weights[part])
        items[weights <= 0.0], weights[weights <= 0.0] = -1, 0.0
        return Neighbours(items, weights)

    def _fill_neighbours(self, content: FloatArray, items: ItemIndexes, weights: FloatArray) -> None:
        """Fill in the highest scores, float32 [rows, most], best first, and whose they are, int32 of the same shape.

        All new items are weighed beside some items of the model, then beside the next ones, so that these are read
        once: there are more of them than the processor's caches hold.
        """
        heard, most = self.weights.heard, items.shape[1]
        weights[:] = -np.inf
        size = max(1, _SCORES // len(content))
        for first in range(0, len(heard), size):
            for row, scores in enumerate(content @ heard[first : first + size].T):
                # Those of before first: of equals the first one counts.
                merged = np.concatenate([weights[row], scores])
                best = top_k(merged, most)
                items[row] = np.where(best < most, items[row, np.minimum(best, most - 1)], best + (first - most))
                weights[row] = merged[best]


def save_weights(encoder: RelatedItemEncoder, folder: Path) -> None:
    """Write what makes new items into an existing folder."""
    save_content(encoder.content, folder)
    speaks, heard, likeness = encoder.weights
    save_arrays(folder, dict(zip(_ARRAYS, (speaks, heard, np.array([likeness], np.float32)), strict=True)))


def load_weights(folder: Path, *, n_items: int) -> NewItemWeights | None:
    """Open what was saved; None where nothing was: artifacts of earlier releases have not, nor those without columns.

    Raises:
        CorruptArtifact: A file is missing or cannot be read, or the files do not belong together.
    """
    if not (folder / f"{_ARRAYS[0]}.npy").is_file():
        return None
    arrays = map_arrays(folder, _ARRAYS)
    speaks, heard, likeness = (arrays[name] for name in _ARRAYS)
    if speaks.ndim != 2 or len(speaks) != n_items:
        raise CorruptArtifact(f"`{_ARRAYS[0]}.npy`: got shape {speaks.shape}, want {n_items} rows")
    if heard.shape != speaks.shape:
        raise CorruptArtifact(f"`{_ARRAYS[1]}.npy`: got shape {heard.shape}, want {speaks.shape}")
    if likeness.shape != (1,):
        raise CorruptArtifact(f"`{_ARRAYS[2]}.npy`: got shape {likeness.shape}, want one number")
    return NewItemWeights(speaks, heard, np.float32(likeness[0]))
