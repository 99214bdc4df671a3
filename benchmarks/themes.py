"""Themes of lists of similar items: `python -m benchmarks.themes DATA`.

A recipe of similar items is fitted to what users did, and its 25 best items for each of some items are the lists, as a
batch inference job makes them. Themes are written of the items' names, texts and categories, and compared with the two
most frequent words of each list:

- distinct: share of different themes among the lists;
- coverage: share of a list's items that have a phrase of its theme, and the same of the whole catalogue;
- identified: share of themes that are more relevant to the items of their list, in the mean, than to those of any other
  list;
- AUC: how often an item of the list is more relevant to the theme than a random item of the catalogue.

Relevance is the cosine that jobs write beside the items, worked out the same way for both.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
import zipfile
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Final

import numpy as np

from benchmarks.quality.data import DATA_ROOT, Dataset, find_file, index, load
from benchmarks.report import markdown_table, publish
from common.errors import invalid
from inference.batch import catalogue_scores
from recipes.catalog import get_recipe
from recipes.components.themes.catalogue import ThemeCatalogue
from recipes.components.themes.phrase_writer import PhraseThemes
from recipes.components.themes.phrases import phrases_of, words_of
from recipes.components.themes.ports import DescribedItem, ThemeWriterFactory
from recipes.components.themes.stop_words import stop_words
from recipes.components.themes.themes import make_themes
from recipes.data.histories import Histories
from recipes.registry import make_fitter, read_config
from recipes.retrieval.top_k import top_k

__all__ = ["FrequentWords", "measure", "read_films", "read_reviews"]

_RECIPE: Final = "aws-similar-items"
_SIZE: Final = 25
#: Interactions that an item must have to be asked about.
_MIN_USES: Final = 5
_JOINED: Final = " & "


@dataclass(frozen=True, slots=True)
class Described:
    """Interactions, and what is said of each item, in the order of their indexes."""

    dataset: Dataset
    items: tuple[DescribedItem, ...]


class FrequentWords:
    """The baseline: the two words that most items of a list have; a `ThemeWriter`."""

    def __init__(self, catalogue: ThemeCatalogue) -> None:
        self._stop = stop_words(chain.from_iterable(map(words_of, catalogue.items)))

    def write(self, lists: Sequence[Sequence[DescribedItem]]) -> list[str]:
        """Return two words for each list."""
        return [self._theme(items) for items in lists]

    def _theme(self, items: Sequence[DescribedItem]) -> str:
        counts = Counter(chain.from_iterable(phrases_of(item, stop=self._stop) for item in items))
        ranked = sorted((phrase for phrase in counts if " " not in phrase), key=lambda word: (-counts[word], word))
        return _JOINED.join(ranked[:2])


def read_films(folder: Path) -> Described:
    """Read films with plots: `movies_extrainfos.dat.gz` of 11 fields, and `ratings_reconstructed.csv.gz`."""
    dataset = load(str(folder / "ratings_reconstructed.csv.gz"))
    said: dict[str, DescribedItem] = {}
    for line in (
        gzip.decompress((folder / "movies_extrainfos.dat.gz").read_bytes()).decode(errors="replace").split("\n")
    ):
        fields = line.split("::")
        if len(fields) == 11:
            categories = [name.strip() for place in (5, 6, 8) for name in fields[place].split(",")]
            said[fields[0]] = DescribedItem(fields[1], (fields[9],), tuple(filter(None, categories)))
    return Described(dataset, tuple(said.get(item, DescribedItem("")) for item in dataset.items))


def read_reviews(path: Path) -> Described:
    """Read reviews, JSON Lines in an archive: what an item's reviewers write is its text."""
    with zipfile.ZipFile(path) as files:
        rows = [json.loads(line) for name in files.namelist() for line in files.read(name).splitlines()]
    times = np.array([row["unixReviewTime"] for row in rows], np.int64)
    users, items = [row["reviewerID"] for row in rows], [row["asin"] for row in rows]
    dataset = index(path.name, users=users, items=items, timestamps=times)
    texts: defaultdict[str, list[str]] = defaultdict(list)
    for row in rows:
        texts[row["asin"]] += [row["summary"], row["reviewText"]]
    return Described(dataset, tuple(DescribedItem("", (". ".join(texts[item]),)) for item in dataset.items))


def measure(data: Described, *, lists: int, seed: int) -> dict[str, Any]:
    """Fit, make lists and themes, and return the figures of each writer by name."""
    places = _lists(data.dataset, lists=lists, seed=seed)
    items = [[data.items[place] for place in row] for row in places]
    began = time.process_time()
    catalogue = ThemeCatalogue.of(data.items, seed=seed)
    learning = time.process_time() - began
    writers: dict[str, ThemeWriterFactory] = {"most frequent words": FrequentWords, "phrases": PhraseThemes}
    runs = {name: _measured(catalogue, items, writer) for name, writer in writers.items()}
    return {"vectors_processor_seconds": round(learning, 2), "runs": runs}


def _lists(dataset: Dataset, *, lists: int, seed: int) -> list[list[int]]:
    """Return the items most like each of some items that are drawn at random among those in use."""
    data, recipe = dataset.data, get_recipe(_RECIPE)
    scorer = make_fitter(recipe, read_config(recipe, {}), seed=seed).fit(data)
    uses = np.bincount(data.interactions.item, minlength=data.n_items)
    queries = np.random.default_rng(seed).permutation(np.flatnonzero(uses >= _MIN_USES))[:lists]
    histories = Histories(
        np.arange(len(queries) + 1),
        items=queries.astype(np.int32),
        event_types=np.zeros(len(queries), np.uint8),
        times=np.zeros(len(queries), np.int64),
    )
    scores = catalogue_scores(scorer, histories)(slice(0, len(queries)))
    scores[np.arange(len(queries)), queries] = -np.inf
    return [top_k(row, min(_SIZE, data.n_items - 1)).tolist() for row in scores]


def _measured(
    catalogue: ThemeCatalogue, lists: Sequence[Sequence[DescribedItem]], factory: ThemeWriterFactory
) -> dict[str, Any]:
    vectors = catalogue.vectors
    began = time.process_time()
    themes = make_themes(lists, catalogue, writer=factory(catalogue))
    seconds = time.process_time() - began
    texts = [theme.text for theme in themes]
    directions = vectors.of(texts)
    of_lists = [catalogue.vectors_of(items) for items in lists]
    means = np.array([rows.mean(axis=0) for rows in of_lists]) @ directions.T
    background = catalogue.vectors_of(catalogue.items) @ directions.T
    higher = [(rows @ directions[place])[:, None] > background[:, place] for place, rows in enumerate(of_lists)]
    scores = np.concatenate([theme.relevance for theme in themes])
    phrases = [_phrases(item) for item in catalogue.items]
    return {
        "distinct": len(set(texts)) / len(texts),
        "coverage": float(
            np.mean([_coverage(text, map(_phrases, items)) for text, items in zip(texts, lists, strict=True)])
        ),
        "catalogue_coverage": float(np.mean([_coverage(text, phrases) for text in texts])),
        "identified": float((means.argmax(axis=0) == np.arange(len(texts))).mean()),
        "auc": float(np.mean([each.mean() for each in higher])),
        "relevance_percentiles": {str(at): round(float(np.percentile(scores, at)), 3) for at in (1, 50, 99)},
        "processor_seconds": round(seconds, 2),
        "themes": texts,
    }


def _phrases(item: DescribedItem) -> frozenset[str]:
    return frozenset(phrases_of(item, stop=frozenset()))


def _coverage(theme: str, phrases: Iterable[frozenset[str]]) -> float:
    """Return the share of items that have one of a theme's phrases."""
    parts = theme.casefold().split(_JOINED)
    return float(np.mean([any(part in of_item for part in parts) for of_item in phrases]))


def main() -> None:
    """Run and print; the figures as JSON with `--output`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", help=f"folder of films or archive of reviews, perhaps below ${DATA_ROOT}")
    parser.add_argument("--lists", type=int, default=100)
    parser.add_argument("--output", type=Path, help="file for the figures, as JSON")
    arguments = parser.parse_args()
    if arguments.data.endswith(".zip"):
        data = read_reviews(find_file(arguments.data))
    else:
        data = read_films(find_file(f"{arguments.data}/movies_extrainfos.dat.gz").parent)
    if arguments.lists < 1:
        raise invalid("--lists", got=arguments.lists, want="at least 1")
    measured = measure(data, lists=arguments.lists, seed=0)
    figures = {"data": data.dataset.name, "items": len(data.items), "lists": arguments.lists, **measured}
    publish(figures, table=_table(figures, figures["runs"]), output=arguments.output)


def _table(figures: Mapping[str, Any], runs: Mapping[str, Mapping[str, Any]]) -> str:
    header = ("themes", "distinct", "coverage", "catalogue", "identified", "AUC", "relevance 1 / 50 / 99 %", "CPU s")
    rows = [
        (
            name,
            f"{run['distinct']:.2f}",
            f"{run['coverage']:.2f}",
            f"{run['catalogue_coverage']:.2f}",
            f"{run['identified']:.2f}",
            f"{run['auc']:.3f}",
            " / ".join(f"{value:.2f}" for value in run["relevance_percentiles"].values()),
            run["processor_seconds"],
        )
        for name, run in runs.items()
    ]
    shown = [(name, "; ".join(run["themes"][:8])) for name, run in runs.items()]
    about = "{data}: {items:,} items, {lists} lists; vectors in {vectors_processor_seconds} s\n\n".format(**figures)
    return about + markdown_table(header, rows) + "\n" + markdown_table(("themes", "the first"), shown)


if __name__ == "__main__":
    main()
