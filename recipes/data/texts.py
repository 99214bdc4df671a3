"""Texts as models read them: without markup, so that a training and whoever serves it read the same."""

from __future__ import annotations

import html
import re
from typing import Final

__all__ = ["clean_text"]

#: A tag begins with a letter, `/` or `!`: "a < b" is text.
_TAG: Final = re.compile(r"<[a-zA-Z/!][^<>]*>")


def clean_text(text: str) -> str:
    """Strip tags and entities of HTML and fold blanks."""
    return " ".join(html.unescape(_TAG.sub(" ", text)).split())
