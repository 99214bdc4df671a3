"""Texts to terms, for the languages that Personalize names: Chinese, Japanese, and those that put blanks between words.

Chinese and Japanese have no blanks, so each two neighbouring signs are a term there: pairs of signs find most of what a
dictionary would, without one (Nie, Gao, Zhang and Zhou, "On the Use of Words and N-grams for Chinese Information
Retrieval", IRAL 2000).
"""

from __future__ import annotations

import re
import unicodedata

__all__ = ["terms"]

#: Han, Hiragana and Katakana, with the sign of repetition and the long vowel.
_UNSPACED = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
#: Not the marks of voiced kana, which are combining signs too but change the word.
_ACCENTS = re.compile("[\u0300-\u036f]")
_PARTS = re.compile(rf"([{_UNSPACED}]+)|([^\W_{_UNSPACED}]{{2,}})")


def terms(text: str) -> list[str]:
    """Return the terms of a text in their order, repetitions included.

    Case, accents and width of letters make no difference; words of one letter say nothing and are left out.
    """
    found: list[str] = []
    for signs, word in _PARTS.findall(_folded(text)):
        found += [word] if word else [signs[place : place + 2] for place in range(max(1, len(signs) - 1))]
    return found


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    # Compatibility forms first, then accents as signs of their own, which are dropped.
    return unicodedata.normalize("NFC", _ACCENTS.sub("", unicodedata.normalize("NFKD", text.casefold())))
