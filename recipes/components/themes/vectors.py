"""Vectors of texts that items and themes have in common, by which both are compared.

They are those of `recipes.models.lsa.decomposition`, learnt from what the catalogue says of its items: words are alike
that occur together.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from recipes.data.columns import Columns
from recipes.data.histories import FloatArray
from recipes.models.lsa.content_vectors import ContentVectors
from recipes.models.lsa.decomposition import learn_vectors
from recipes.models.lsa.learnt_texts import scaled

__all__ = ["TextVectors"]

#: Coordinates: enough to tell a few hundred themes apart.
_SIZE: Final = 64
_COLUMN: Final = "text"


@dataclass(frozen=True, slots=True)
class TextVectors:
    """A map from texts to vectors.

    Attributes:
        content: What was learnt.
    """

    content: ContentVectors

    @classmethod
    def learn(cls, texts: Sequence[str], *, seed: int) -> TextVectors:
        """Learn from some texts.

        Args:
            texts: At least one.
            seed: Decides the random start; the same seed and texts give the same vectors.
        """
        content, _ = learn_vectors(_columns(texts), n_rows=len(texts), size=_SIZE, seed=seed)
        return cls(content)

    @property
    def size(self) -> int:
        """Coordinates of a vector."""
        return int(self.content.projection.shape[1])

    def of(self, texts: Sequence[str]) -> FloatArray:
        """Return the vectors of any texts: float32 [n, c], of length 1; 0 where no word of a text was learnt."""
        return scaled(self.content.of(_columns(texts), n_rows=len(texts)))


def _columns(texts: Sequence[str]) -> Columns:
    return Columns(textual={_COLUMN: tuple(texts)})
