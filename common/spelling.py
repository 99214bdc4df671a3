"""Names that are meant to be the same and are written in another way."""

from __future__ import annotations

__all__ = ["normalise_spelling"]


def normalise_spelling(name: str) -> str:
    """Return a name without what is easily overlooked or written in another way: case, spaces, signs.

    A name of signs alone stays as it is.
    """
    return "".join(character for character in name if character.isalnum()).casefold() or name
