"""Phrases of texts that can stand as a theme: one to three words in a row, none of them a stop word.

Words are taken as written, signs of Chinese and Japanese two to four at a time, as these put no blanks between words.
Phrases that differ in case alone are the same, and so are a word and a category.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Final

from recipes.components.themes.ports import DescribedItem

__all__ = ["phrases_of", "words_of"]

#: Words of a text that are read: what a text is about it says in the beginning.
_MAX_WORDS: Final = 400
_LONGEST: Final = 3
_SIGNS: Final = range(2, 5)
#: Letters of a word that stands for itself.
_MIN_LETTERS: Final = 3
_UNSPACED: Final = "\u3005\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff"
_WORD: Final = re.compile(rf"[{_UNSPACED}]+|[^\W_{_UNSPACED}]+(?:['’\-][^\W_{_UNSPACED}]+)*")
#: Between two words of a phrase there is nothing but blanks.
_BREAK: Final = re.compile(r"[^\w\s'’\-]+")
_POSSESSIVE: Final = re.compile(r"['’]s$", re.IGNORECASE)
_IS_UNSPACED: Final = re.compile(f"[{_UNSPACED}]")


def words_of(item: DescribedItem) -> Iterator[str]:
    """Return the words of an item's name and texts in lower case, repetitions included."""
    return (word.casefold() for passage in item.passages() for run in _runs(passage) for word in run)


def phrases_of(item: DescribedItem, *, stop: frozenset[str]) -> dict[str, str]:
    """Return the phrases of an item: by the form that they are compared by the one that they were written in.

    Args:
        item: Its categories are phrases as they are.
        stop: Words in lower case that say nothing.
    """
    phrases = {category.casefold(): category for category in item.categories}
    for passage in item.passages():
        for run in _runs(passage):
            for words in _grams(run, stop):
                written = " ".join(words)
                phrases.setdefault(written.casefold(), written)
    return phrases


def _runs(text: str) -> Iterator[list[str]]:
    """Return the words between two signs of punctuation."""
    read = 0
    for part in _BREAK.split(text):
        run = [_POSSESSIVE.sub("", word) for word in _WORD.findall(part)][: _MAX_WORDS - read]
        read += len(run)
        if run:
            yield run


def _grams(run: list[str], stop: frozenset[str]) -> Iterator[list[str]]:
    says = [word.casefold() not in stop and len(word) >= _MIN_LETTERS for word in run]
    for begin, word in enumerate(run):
        if _IS_UNSPACED.match(word):
            yield from ([word[at : at + size]] for size in _SIGNS for at in range(len(word) - size + 1))
            continue
        for size in range(1, _LONGEST + 1):
            end = begin + size
            if end > len(run) or not says[end - 1] or _IS_UNSPACED.match(run[end - 1]):
                break
            # A number says something beside a word only.
            if size > 1 or not word.isdigit():
                yield run[begin:end]
