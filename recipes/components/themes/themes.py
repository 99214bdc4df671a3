"""Gives lists of items their themes, and each item how much it is about the theme of its list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from common.errors import invalid
from recipes.components.themes.catalogue import ThemeCatalogue
from recipes.components.themes.ports import DescribedItem, ThemeWriter

__all__ = ["CATALOGUE_SAMPLE", "Theme", "make_themes"]

#: Items of the catalogue that lists are compared with, at most.
CATALOGUE_SAMPLE: Final = 5_000
#: Decimals of relevance scores, as of all scores in outputs.
_DECIMALS: Final = 7


@dataclass(frozen=True, slots=True)
class Theme:
    """What a list is about.

    Attributes:
        text: A few words; empty where nothing can be said.
        relevance: Of each item, -1 to 1.
    """

    text: str
    relevance: tuple[float, ...]


def make_themes(
    lists: Sequence[Sequence[DescribedItem]], catalogue: ThemeCatalogue, *, writer: ThemeWriter
) -> list[Theme]:
    """Return the theme of each list.

    The relevance of an item is the cosine of its vector and the theme's, both of their texts; see
    `recipes.components.themes.vectors`. Where no word of a theme was learnt, as may be with those of a language model,
    the theme's vector is the mean of the items'.

    Args:
        lists: Items of each.
        catalogue: Items that they are compared with; see `CATALOGUE_SAMPLE`.
        writer: Writes them.

    Raises:
        InvalidInput: It writes something else than a text for each list.
        TailorbirdError: As of the writer.
    """
    texts = writer.write(lists)
    if not _are_texts(texts, len(lists)):
        want = f"a writer that returns {len(lists)} texts, one for each list"
        raise invalid("TAILORBIRD_THEME_WRITER", got=texts, want=want)
    return [Theme(text, _relevance(text, items, catalogue)) for text, items in zip(texts, lists, strict=True)]


def _are_texts(written: object, count: int) -> bool:
    """Tell whether a writer, which may be anybody's, has returned what it should."""
    if isinstance(written, str) or not isinstance(written, Sequence):
        return False
    return len(written) == count and all(isinstance(text, str) for text in written)


def _relevance(text: str, items: Sequence[DescribedItem], catalogue: ThemeCatalogue) -> tuple[float, ...]:
    if not items or not text:
        return (0.0,) * len(items)
    of_items, of_theme = catalogue.vectors_of(items), catalogue.vectors.of([text])[0]
    if not of_theme.any():
        mean = of_items.mean(axis=0)
        of_theme = mean / max(float(np.linalg.norm(mean)), 1e-9)
    return tuple(round(float(score), _DECIMALS) for score in of_items @ of_theme)
