"""Themes from the items' own words: the phrases that a list has more often than the catalogue, and that fit its items.

A phrase counts s ln(s / p), with s the share of the list's items that have it and p that of the catalogue's: its part
of the Kullback-Leibler divergence of the two. This is the class-based TF-IDF of Grootendorst, "BERTopic: Neural topic
modeling with a class-based TF-IDF procedure" (2022), with shares of items in place of counts of words, so that one
long text does not decide, and with a logarithm that is 0 for what the catalogue has as often. It is multiplied by the
cosine of the phrase's vector and the mean of the items', as by Grootendorst's KeyBERT, here with
the catalogue's own vectors; so a phrase that a few items share by accident gives way to what most of them are near.

A theme is two phrases, of which the second counts more the more items it adds. Where another list of the job has the
same theme, the second phrase is the next one, so that themes tell the lists of a page apart.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from itertools import chain
from typing import Final

import numpy as np

from recipes.components.themes.catalogue import ThemeCatalogue
from recipes.components.themes.phrases import phrases_of, words_of
from recipes.components.themes.ports import DescribedItem
from recipes.components.themes.stop_words import stop_words

__all__ = ["PhraseThemes"]

#: Share of a list's items that must have a phrase, and number of them, where there is such a phrase.
_MIN_SHARE: Final = 0.15
_MIN_ITEMS: Final = 2
#: Phrases whose vectors are looked at, the best by shares.
_COMPARED: Final = 200
#: How much of a second phrase counts whether or not it adds items.
_ANYWAY: Final = 0.5
#: Second phrases that are tried to tell two lists apart.
_TRIED: Final = 10
_AND: Final = " & "
#: Endings of forms of one word may differ by so many letters.
_ENDING: Final = 3


class PhraseThemes:
    """Makes themes of phrases; a `recipes.components.themes.ports.ThemeWriter`.

    Args:
        catalogue: What lists are compared with.
    """

    def __init__(self, catalogue: ThemeCatalogue) -> None:
        self._catalogue = catalogue
        self._stop = stop_words(chain.from_iterable(map(words_of, catalogue.items)))

    def write(self, lists: Sequence[Sequence[DescribedItem]]) -> list[str]:
        """Return a theme for each list: one phrase or two; empty where the items say nothing in common."""
        of_items = {item: phrases_of(item, stop=self._stop) for item in set(chain.from_iterable(lists))}
        read = [_ListPhrases([of_items[item] for item in items]) for items in lists]
        counts = self._count(frozenset(chain.from_iterable(phrases.shares for phrases in read)))
        themes: list[str] = []
        given: dict[str, int] = {}
        for place, (items, phrases) in enumerate(zip(lists, read, strict=True)):
            options = self._options(items, phrases, counts)
            # A list of the same items is about the same.
            theme = next((option for option in options if lists[given.get(option, place)] == items), "")
            theme = theme or next(iter(options), "")
            given.setdefault(theme, place)
            themes.append(theme)
        return themes

    def _count(self, phrases: frozenset[str]) -> Counter[str]:
        """Count the items of the catalogue that have each of some phrases."""
        counts: Counter[str] = Counter()
        for item in self._catalogue.items:
            counts.update(phrases & phrases_of(item, stop=self._stop).keys())
        return counts

    def _options(self, items: Sequence[DescribedItem], phrases: _ListPhrases, counts: Counter[str]) -> list[str]:
        """Return what a list may be called, best first."""
        ranked = self._ranked(items, phrases, counts)
        if not ranked:
            return []
        first, _ = ranked[0]
        covered = phrases.items_with(first)
        seconds = []
        for phrase, worth in ranked[1:]:
            if not _share_a_word(first, phrase):
                having = phrases.items_with(phrase)
                adds = len(having - covered) / len(having)
                seconds.append((worth * (_ANYWAY + (1 - _ANYWAY) * adds), phrase))
        seconds.sort(key=lambda entry: (-entry[0], entry[1]))
        beginning = phrases.written(first)
        return [_AND.join((beginning, phrases.written(second))) for _, second in seconds[:_TRIED]] or [beginning]

    def _ranked(
        self, items: Sequence[DescribedItem], phrases: _ListPhrases, counts: Counter[str]
    ) -> list[tuple[str, float]]:
        """Return the phrases of a list that say something of it, best first, and how much they count."""
        total = len(self._catalogue.items)
        worths = {
            phrase: share * math.log(share * (total + 1) / (counts[phrase] + 1))
            for phrase, share in phrases.shares.items()
        }
        # Of phrases that count alike the longest says most.
        order = sorted(worths, key=lambda phrase: (-worths[phrase], -len(phrase), phrase))[:_COMPARED]
        centre = self._catalogue.vectors_of(items).sum(axis=0)
        fits = self._catalogue.vectors.of(order) @ (centre / max(float(np.linalg.norm(centre)), 1e-9))
        ranked = [
            (phrase, worths[phrase] * fit)
            for phrase, fit in zip(order, fits.tolist(), strict=True)
            if worths[phrase] > 0 and fit > 0
        ]
        ranked.sort(key=lambda entry: -entry[1])
        # Nothing is near the middle where no word was learnt, as in a catalogue of few items.
        return ranked or [(phrase, worths[phrase]) for phrase in order]


class _ListPhrases:
    """The phrases of a list that enough of its items have.

    Args:
        of_items: Phrases by item, see `phrases_of`.

    Attributes:
        shares: By phrase the share of the items that have it.
    """

    def __init__(self, of_items: Sequence[dict[str, str]]) -> None:
        self._of_items = of_items
        counts = Counter(chain.from_iterable(of_items))
        thresholds = (max(_MIN_ITEMS, math.ceil(_MIN_SHARE * len(of_items))), min(_MIN_ITEMS, len(of_items)), 1)
        common = (_at_least(counts, number) for number in thresholds)
        self.shares = {phrase: counts[phrase] / len(of_items) for phrase in next(filter(None, common), ())}

    def items_with(self, phrase: str) -> set[int]:
        """Return the places of the items that have a phrase."""
        return {place for place, phrases in enumerate(self._of_items) if phrase in phrases}

    def written(self, phrase: str) -> str:
        """Return how a phrase is written most often, with a capital in the beginning."""
        forms = Counter(phrases[phrase] for phrases in self._of_items if phrase in phrases)
        most = max(forms.values())
        form = min(form for form, count in forms.items() if count == most)
        return form[:1].upper() + form[1:]


def _at_least(counts: Counter[str], number: int) -> list[str]:
    return [phrase for phrase, count in counts.items() if count >= number]


def _share_a_word(one: str, two: str) -> bool:
    """Return whether two phrases have a word in common, in whatever form."""
    return any(_is_form(word, another) for word in one.split() for another in two.split())


def _is_form(one: str, two: str) -> bool:
    shorter, longer = sorted((one, two), key=len)
    return longer.startswith(shorter) and len(longer) - len(shorter) <= _ENDING
