"""Files of a learnt map from columns to vectors, so that rows that come after a training get vectors too."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import numpy as np

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from common.vocabulary import Vocabulary
from recipes.models.lsa.content_vectors import ContentVectors
from recipes.models.lsa.features import FeatureSpace, Numbers, Words

__all__ = ["load_content", "save_content"]

_COLUMNS: Final = "content_columns"
_ARRAYS: Final = (
    "content_kinds", "content_sizes", "content_weights", "content_knots", "content_projection", "content_centre",
)  # fmt: skip
#: Kinds of columns, in the order of their features.
_CATEGORIES, _TEXT, _NUMBER = 0, 1, 2


def save_content(content: ContentVectors, folder: Path) -> None:
    """Write a map into an existing folder."""
    space = content.space
    words = (*space.categories, *space.texts)
    names = [*(column.column for column in words), *(column.column for column in space.numbers)]
    Vocabulary.build(names).save(folder, _COLUMNS)
    for place, column in enumerate(words):
        Vocabulary.build(_texts(column)).save(folder, f"content_words_{place}")
    kinds = [_CATEGORIES] * len(space.categories) + [_TEXT] * len(space.texts) + [_NUMBER] * len(space.numbers)
    sizes = [*(len(column.weights) for column in words), *(len(column.knots) for column in space.numbers)]
    arrays = (
        np.array(kinds, np.int8),
        np.array(sizes, np.int64),
        np.concatenate([np.empty(0, np.float32), *(column.weights for column in words)]),
        np.concatenate([np.empty(0), *(column.knots for column in space.numbers)]),
        content.projection,
        content.centre,
    )
    save_arrays(folder, dict(zip(_ARRAYS, arrays, strict=True)))


def load_content(folder: Path) -> ContentVectors:
    """Read what was saved.

    Raises:
        CorruptArtifact: A file is missing or cannot be read, or the files do not belong together.
    """
    arrays = map_arrays(folder, _ARRAYS)
    columns = Vocabulary.load(folder, _COLUMNS)
    kinds, sizes, weights, knots = (arrays[name] for name in _ARRAYS[:4])
    if not len(columns) == len(kinds) == len(sizes):
        raise CorruptArtifact(f"`{_COLUMNS}`: got {len(columns)} columns, want {len(sizes)}")
    words: dict[int, list[Words]] = {_CATEGORIES: [], _TEXT: []}
    numbers: list[Numbers] = []
    first = first_weight = first_knot = 0
    for place, (kind, size) in enumerate(zip(kinds.tolist(), sizes.tolist(), strict=True)):
        name = columns.id(place)
        if kind == _NUMBER:
            numbers.append(Numbers(name, knots[first_knot : first_knot + size], first))
            first_knot += size
            first += size + 1  # one more for a missing value
        elif kind in words:
            learnt = Vocabulary.load(folder, f"content_words_{place}")
            of_column = weights[first_weight : first_weight + size]
            words[kind].append(Words(name, _places(learnt, size=size), of_column, first))
            first_weight += size
            first += size
        else:
            raise CorruptArtifact(f"`{_ARRAYS[0]}.npy`: got the kind {kind}, want {_CATEGORIES} to {_NUMBER}")
    projection = arrays["content_projection"]
    if len(projection) != first or first_weight != len(weights) or first_knot != len(knots):
        raise CorruptArtifact(f"`content_projection.npy`: got {len(projection)} features, want {first}")
    space = FeatureSpace(tuple(words[_CATEGORIES]), tuple(words[_TEXT]), tuple(numbers), first)
    return ContentVectors(space, projection, arrays["content_centre"])


def _texts(words: Words) -> list[str]:
    """Return the words of a column by their places, without that of rare ones, which is the last."""
    return [word for word, _ in sorted(words.places.items(), key=lambda entry: entry[1]) if word is not None]


def _places(learnt: Vocabulary, *, size: int) -> dict[str | None, int]:
    places: dict[str | None, int] = {word: place for place, word in enumerate(learnt.ids(range(len(learnt))))}
    if len(places) not in (size, size - 1):
        raise CorruptArtifact(f"`content_words`: got {len(places)} words, want {size}, or one less")
    if len(places) < size:
        places[None] = size - 1
    return places
