"""What themes are made of, and by whom: the port that a language model can be plugged in at.

The setting TAILORBIRD_THEME_WRITER names a `ThemeWriterFactory`; `phrase_writer.PhraseThemes`, the default, needs no
model. Relevance scores are worked out from the words of the theme, whoever wrote it: see `themes.relate`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Protocol

if TYPE_CHECKING:
    from recipes.components.themes.catalogue import ThemeCatalogue

__all__ = ["DescribedItem", "ThemeWriter", "ThemeWriterFactory"]


#: Characters of an item that its vector is made of, at most.
_TEXT_LENGTH: Final = 4_000


@dataclass(frozen=True, slots=True)
class DescribedItem:
    """What is said of an item.

    Attributes:
        name: Empty for none.
        texts: Its texts, without markup; those that it has.
        categories: The values of its categorical columns.
    """

    name: str
    texts: tuple[str, ...] = ()
    categories: tuple[str, ...] = ()

    def passages(self) -> Iterator[str]:
        """Return its name and texts, those that are not empty."""
        return filter(None, (self.name, *self.texts))

    def text(self) -> str:
        """Return what is said of it as one text, the categories first; of long texts the beginning."""
        return ". ".join((*self.categories, *self.passages()))[:_TEXT_LENGTH]


class ThemeWriter(Protocol):
    """Says what lists of items are about."""

    def write(self, lists: Sequence[Sequence[DescribedItem]]) -> Sequence[str]:
        """Return a theme for each list, a few words; empty where nothing can be said.

        Called once a part of a job with all of its lists, at most 100, so that a writer can tell them apart.

        Raises:
            Unavailable: A service that it needs cannot be reached now; the job is tried again.
            TailorbirdError: Another attempt would not help; the message becomes the job's failureReason.
        """


class ThemeWriterFactory(Protocol):
    """What the setting names."""

    def __call__(self, catalogue: ThemeCatalogue) -> ThemeWriter:
        """Make a writer for the lists of one job."""
