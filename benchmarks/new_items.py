"""New items: what they add to a request, and what is made aside: `python -m benchmarks.new_items`.

Of generated vectors of users and items. "before" is how exploration worked until requests shared draws: noise for each
new item, and each on the list of what is scored. "explore" chooses what a request scores of the new items, "lift" adds
bonuses to those; "side list" is a whole request less one without items that came after the model, and "filtered" one
with them of which a filter lets one item of fifty pass.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.report import markdown_table, publish
from common.positions import START
from common.vocabulary import Vocabulary
from inference.candidates import EVERYTHING, Bitmap
from inference.model import Model
from inference.new_items import NewItemList, NewItems
from inference.pipelines import Pipeline
from inference.request import RecommendationRequest
from recipes.catalog import get_recipe
from recipes.components.cluster_lists import ClusterLists
from recipes.components.exploration import UcbExploration
from recipes.data.histories import FloatArray, Histories
from recipes.models.popularity.score import PopularityScorer

_SIZE: Final = 65
_USERS: Final = 2_000
_KINDS: Final = 50
_RESULTS: Final = 25
#: Share of the items that the filter lets pass.
_PASSING: Final = 0.02


def _vectors(count: int, random: np.random.Generator) -> FloatArray:
    """Draw vectors around those of some kinds, as users and items of a catalogue have them: float32 [count, d]."""
    kinds = np.random.default_rng(7).standard_normal((_KINDS, _SIZE))
    drawn = kinds[random.integers(0, _KINDS, count)] + 0.7 * random.standard_normal((count, _SIZE))
    vectors: FloatArray = (drawn / np.sqrt(_SIZE)).astype(np.float32)
    return vectors


def _micros(call: Callable[[int], object], repeats: int) -> float:
    """Return the median time of a call, in microseconds; it is told its number."""
    times = []
    for number in range(repeats):
        began = time.perf_counter()
        call(number)
        times.append(time.perf_counter() - began)
    return round(float(np.median(times)) * 1e6, 1)


def _model(vectors: FloatArray, users: FloatArray) -> Model:
    names = [f"item-{number}" for number in range(len(vectors))]
    return Model(
        recipe=get_recipe("aws-user-personalization-v2"),
        scorer=PopularityScorer(vectors),
        index=None,
        scan=None,
        items=Vocabulary.build(names),
        item_ids=names,
        users=Vocabulary.build(f"user-{number}" for number in range(len(users))),
        user_vectors=users,
        histories=Histories.of_items(np.zeros(len(users) + 1, np.int64), np.empty(0, np.int32)),
        event_types={},
        watermark=START,
        new_items=NewItemList.behind(len(vectors)),
    )


def _explored(n_new: int, users: FloatArray, random: np.random.Generator, repeats: int) -> dict[str, float]:
    """Measure exploration of new items of a model that has an index."""
    vectors, new = _vectors(n_new, random), np.arange(n_new, dtype=np.int32)
    clusters = ClusterLists.of_users(users)
    explorer = UcbExploration(
        new, np.zeros(n_new, np.int64), 30.0, 0, n_new, random,
        weight=0.3, score_gap=2.0, clusters=clusters, vectors=vectors,
    )  # fmt: skip
    everything = UcbExploration(new, np.zeros(n_new, np.int64), 30.0, 0, n_new, random, weight=0.3, score_gap=2.0)
    values, nearest = np.full(n_new, 0.6, np.float32), np.arange(0, n_new, max(1, n_new // 200), dtype=np.int32)

    def before(number: int) -> FloatArray:
        noise = values * (1.0 + 0.1 * random.standard_normal(n_new, np.float32))
        shortlist = np.unique(np.concatenate([nearest, new]))
        scores: FloatArray = vectors[shortlist] @ users[number % _USERS]
        scores[shortlist.searchsorted(new)] += noise
        return scores

    def explore(number: int) -> FloatArray:
        user = users[number % _USERS]
        bonus = explorer.bonus(user)
        shortlist = np.unique(np.concatenate([nearest, bonus.worthwhile]))
        scores: FloatArray = vectors[shortlist] @ user + bonus.of(shortlist)
        return scores

    began = time.perf_counter()
    explorer.redraw()
    aside = time.perf_counter() - began
    best = 0.0
    for user in users[:50]:
        bonus = explorer.bonus(user)
        top = np.argsort(-(vectors @ user + bonus.of(new)))[:_RESULTS]
        best += float(np.isin(top, bonus.worthwhile).mean()) / 50
    return {
        "before_us": _micros(before, repeats),
        "explore_us": _micros(explore, repeats),
        "all_scored_us": _micros(lambda number: everything.bonus(users[number % _USERS]), repeats),
        "share_of_best_25": round(best, 4),
        "aside_ms": round(aside * 1e3, 1),
    }


def _side_list(model: Model, n_new: int, random: np.random.Generator, repeats: int) -> dict[str, float]:
    """Measure whole requests with and without items that came after the model, one after the other."""
    new_items = NewItemList.behind(len(model.item_ids))
    new_items.ids.add(f"new-{number}" for number in range(n_new))
    items = np.arange(len(model.item_ids), len(model.item_ids) + n_new, dtype=np.int32)
    clusters = ClusterLists.of_users(model.user_vectors) if n_new > NewItems.SCANNED else None
    new_items.current = NewItems.of(
        items,
        vectors=_vectors(n_new, random),
        described=np.ones(n_new, bool),
        created=np.zeros(n_new, np.int64),
        clusters=clusters,
        first=len(model.item_ids),
    )
    with_them, narrow = Pipeline.make(replace(model, new_items=new_items)), random.random(int(items[-1]) + 1) < _PASSING
    pipelines = {
        "without": (Pipeline.make(model), EVERYTHING),
        "with": (with_them, EVERYTHING),
        "filtered": (with_them, Bitmap(narrow)),
    }
    times: dict[str, list[float]] = {name: [] for name in pipelines}
    for number in range(repeats):
        # One after the other, so that what else the machine does counts for all.
        for name, (pipeline, candidates) in pipelines.items():
            request = RecommendationRequest(_RESULTS, user_id=f"user-{number % _USERS}", candidates=candidates)
            began = time.perf_counter()
            pipeline.run(request)
            times[name].append(time.perf_counter() - began)
    added = np.array(times["with"]) - np.array(times["without"])
    return {
        "side_list_us": round(float(np.median(added)) * 1e6, 1),
        "request_us": round(float(np.median(times["with"])) * 1e6, 1),
        "filtered_us": round(float(np.median(times["filtered"])) * 1e6, 1),
    }


def main() -> None:
    """Read the command line, measure and report."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=10_000, help="items of the model")
    parser.add_argument("--new", type=int, nargs="+", default=[10, 1_000, 10_000, 100_000], help="numbers of new items")
    parser.add_argument("--repeats", type=int, default=500, help="measurements, of which the median counts")
    parser.add_argument("--output", type=Path, help="write every figure as JSON")
    options = parser.parse_args()
    random = np.random.default_rng(1)
    users = _vectors(_USERS, random)
    model = _model(_vectors(options.items, random), users)
    measurements = [
        {"new_items": n_new}
        | _explored(n_new, users, random, options.repeats)
        | _side_list(model, n_new, random, options.repeats)
        for n_new in options.new
    ]
    header = [
        "new items", "before µs", "explore µs", "bonus where all is scored µs", "share of the best 25", "made aside ms",
        "side list µs", "request µs", "filtered request µs",
    ]  # fmt: skip
    publish(
        {"items": options.items, "measurements": measurements},
        table=markdown_table(header, [list(measurement.values()) for measurement in measurements]),
        output=options.output,
    )


if __name__ == "__main__":
    main()
