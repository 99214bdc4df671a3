"""What Semantic-Similarity has learnt of a catalogue's names and texts, kept so that it can be applied to new items.

The terms of each field with their weights, the directions that they are projected to, and the digests of the texts that
the items had. So an update makes the vectors of new items and of those whose texts have changed, and of no others.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact, invalid
from common.vocabulary import Vocabulary
from recipes.data.columns import Columns
from recipes.data.histories import FloatArray
from recipes.models.lsa.content_vectors import ContentVectors
from recipes.models.lsa.features import FeatureSpace, Words

__all__ = ["LearntTexts", "scaled", "texts_of"]

#: Bytes of a digest: enough that two texts never share one.
_DIGEST: Final = 16
_FIELDS: Final = "learnt_fields"
#: Before the names of textual columns.
_TEXT: Final = "texts."
_ARRAYS: Final = ("learnt_projection", "learnt_centre", "learnt_weights", "learnt_digests", "learnt_ages")


@dataclass(frozen=True, slots=True)
class LearntTexts:
    """What was learnt, and of which texts.

    Attributes:
        content: Makes vectors of texts.
        digests: uint8 [n_items, 16], of each item's name and texts.
        ages: int64 [2], the times of creation, seconds since 1970, whose freshness is 0 and 1.
    """

    content: ContentVectors
    digests: NDArray[np.uint8]
    ages: NDArray[np.int64]

    @classmethod
    def of(cls, content: ContentVectors, texts: Columns, *, n_items: int, ages: NDArray[np.int64]) -> LearntTexts:
        """Return what is kept of a map.

        Args:
            content: The map.
            texts: What it was learnt from, see `texts_of`.
            n_items: Number of items.
            ages: As the attribute.
        """
        return cls(content, _digests(texts, n_items=n_items), ages)

    def updated(self, items: Columns, before: NDArray[np.int64], vectors: FloatArray) -> tuple[LearntTexts, FloatArray]:
        """Apply what was learnt to the catalogue as it is now.

        Args:
            items: Columns of the items.
            before: int64 [n_items], the index that each item had, -1 for new items.
            vectors: float32 [items before, c], the vectors that they had.

        Returns:
            The same for the present items, and their vectors, float32 [n_items, c]: those that they had where the texts
            are what they were.

        Raises:
            InvalidInput: A field that was learnt from is not there any more, or too few items have it.
        """
        fields = self._fields()
        present = texts_of(items).textual
        if lacking := sorted(set(fields) - present.keys()):
            raise invalid("items", got=f"no {', '.join(lacking)}", want="all fields that the version has learnt from")
        texts = Columns(textual={field: present[field] for field in fields})
        digests = _digests(texts, n_items=len(before))
        is_same = before >= 0
        is_same[is_same] = (self.digests[before[is_same]] == digests[is_same]).all(axis=1)
        made = np.empty((len(before), vectors.shape[1]), np.float32)
        made[is_same] = vectors[before[is_same]]
        other = np.flatnonzero(~is_same)
        changed = {field: tuple(values[row] for row in other) for field, values in texts.textual.items()}
        made[other] = scaled(self.content.of(Columns(textual=changed), n_rows=len(other)))
        return replace(self, digests=digests), made

    def text_names(self) -> list[str]:
        """Return the names of the textual columns that were learnt from."""
        return [field.removeprefix(_TEXT) for field in self._fields() if field.startswith(_TEXT)]

    def encode(self, items: Columns, *, n_rows: int) -> FloatArray:
        """Return the vectors of some items by their names and texts: float32 [n_rows, c], of length 1 or 0."""
        return scaled(self.content.of(_as_texts(items), n_rows=n_rows))

    def _fields(self) -> list[str]:
        return [words.column for words in self.content.space.texts]

    def save(self, folder: Path) -> None:
        """Write everything into an existing folder."""
        space = self.content.space
        for number, words in enumerate(space.texts):
            Vocabulary.build(_terms(words)).save(folder, f"learnt_terms_{number}")
        weights = [words.weights for words in space.texts]
        kept = (self.content.projection, self.content.centre, np.concatenate(weights), self.digests, self.ages)
        save_arrays(folder, dict(zip(_ARRAYS, kept, strict=True)))
        Vocabulary.build(words.column for words in space.texts).save(folder, _FIELDS)

    @classmethod
    def is_in(cls, folder: Path) -> bool:
        """Return whether a folder has what was learnt: artifacts of earlier releases have not."""
        return (folder / f"{_ARRAYS[0]}.npy").is_file()

    @classmethod
    def load(cls, folder: Path) -> LearntTexts:
        """Read what was saved.

        Raises:
            CorruptArtifact: A file is missing or cannot be read, or the files do not belong together.
        """
        arrays = map_arrays(folder, _ARRAYS)
        fields = Vocabulary.load(folder, _FIELDS)
        texts, size = [], 0
        for number, field in enumerate(fields.ids(range(len(fields)))):
            terms = Vocabulary.load(folder, f"learnt_terms_{number}")
            places: dict[str | None, int] = {term: place for place, term in enumerate(terms.ids(range(len(terms))))}
            texts.append(Words(field, places, arrays["learnt_weights"][size : size + len(places)], first=size))
            size += len(places)
        if not size == len(arrays["learnt_weights"]) == len(arrays["learnt_projection"]):
            raise CorruptArtifact(f"`learnt_terms`: got {size} terms, want as many as weights and directions")
        space = FeatureSpace((), tuple(texts), (), size)
        content = ContentVectors(space, arrays["learnt_projection"], arrays["learnt_centre"])
        return cls(content, arrays["learnt_digests"], arrays["learnt_ages"])


def texts_of(items: Columns) -> Columns:
    """Return the names and texts of items as columns of texts.

    Raises:
        InvalidInput: There are no names, or no texts.
    """
    if items.names is None or not any(items.names):
        raise invalid("items", got="no names", want="an Items dataset with a field of the attribute itemName")
    if not items.textual:
        raise invalid("items", got="no texts", want="a textual field that at least 85% of the items have")
    return _as_texts(items)


def _as_texts(items: Columns) -> Columns:
    names = {} if items.names is None else {"names": items.names}
    return Columns(textual={**names, **{f"{_TEXT}{key}": text for key, text in items.textual.items()}})


def _terms(words: Words) -> list[str]:
    """Return the terms of a text by their places; texts have no place for what is rare."""
    return [term for term, _ in sorted(words.places.items(), key=lambda entry: entry[1]) if term is not None]


def _digests(texts: Columns, *, n_items: int) -> NDArray[np.uint8]:
    """Return digests of what each item says in all fields: uint8 [n_items, 16]."""
    fields: list[Sequence[str | None]] = [texts.textual[name] for name in sorted(texts.textual)]
    digests = bytearray()
    for row in range(n_items):
        said = json.dumps([values[row] for values in fields]).encode()
        digests += hashlib.blake2b(said, digest_size=_DIGEST).digest()
    return np.frombuffer(bytes(digests), np.uint8).reshape(n_items, _DIGEST)


def scaled(vectors: FloatArray) -> FloatArray:
    """Return vectors of length 1, or 0 where they are 0: float32 [n, c]."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: FloatArray = (vectors / np.maximum(lengths, np.float32(1e-9))).astype(np.float32)
    return unit
