"""Finds the writer of themes that a setting names."""

from __future__ import annotations

import importlib
from typing import Final, cast

from common.errors import invalid
from recipes.components.themes.ports import ThemeWriterFactory

__all__ = ["DEFAULT_WRITER", "load_writer"]

DEFAULT_WRITER: Final = "recipes.components.themes.phrase_writer:PhraseThemes"


def load_writer(path: str) -> ThemeWriterFactory:
    """Return what makes writers of themes.

    Args:
        path: `MODULE:ATTRIBUTE`.

    Raises:
        InvalidInput: There is no such module or attribute, or nothing that can be called.
    """
    module, _, attribute = path.partition(":")
    try:
        factory = getattr(importlib.import_module(module), attribute)
    except (ImportError, AttributeError, ValueError, TypeError) as error:  # the last of a module as `.x`
        want = f"MODULE:ATTRIBUTE of a factory of theme writers ({error})"
        raise invalid("TAILORBIRD_THEME_WRITER", got=path, want=want) from error
    if not callable(factory):
        raise invalid("TAILORBIRD_THEME_WRITER", got=path, want="MODULE:ATTRIBUTE of something that can be called")
    return cast("ThemeWriterFactory", factory)
