"""Models of catalogues of any size, without a training that takes hours.

A small model is trained on generated data. Each further item is one of its items with some noise, and users go through
the same films by other items of the same kind, of which the n-th is taken in proportion to 1 / (n + 10); rules are
counted in these histories, and the index is made and measured as every training does. There is no regression of items
on items, which trained ones of up to 50,000 items may have, and which `benchmarks.request_steps` measures; otherwise
what serves cannot tell such an artifact from a trained one, and what it costs is the same.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import polars as pl
from numpy.typing import NDArray

from cli.demo.generated import generate
from cli.demo.items import EVENT, DemoData
from common import columns
from common.arrays import save_arrays
from common.artifacts import publish_artifact, read_feature_manifest, read_manifest
from common.errors import ResourceNotFound
from common.feature_folders import features_location
from common.features.publishing import publish_snapshot
from common.storage import Store
from common.tables import Table
from common.vocabulary import Vocabulary
from inference.past_events import PAST_ITEMS, PastEvents
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.catalog import get_recipe
from recipes.components.item_age import ItemAges
from recipes.components.item_regression.score import ItemRegression
from recipes.components.sequence_scorer import SequenceScorer
from recipes.components.sequential_rules import SequentialRules
from recipes.data.histories import FloatArray, Histories, ItemIndexes, offsets_of
from recipes.data.training_data import Interactions, TrainingData
from recipes.registry import make_fitter, open_scorer, read_config
from trainer.training.artifact_writer import write_index
from trainer.training.spec import TrainingOptions

__all__ = [
    "GENRE_COLUMN",
    "GENRE_SCHEMA",
    "RECIPE",
    "Planted",
    "genres_of_planted",
    "plant",
    "plant_genres",
    "plant_vectors",
]

RECIPE: Final = "aws-user-personalization-v2"
GENRE_COLUMN: Final = "GENRES"
GENRE_SCHEMA: Final = json.dumps(
    {
        "type": "record",
        "name": "Items",
        "fields": [
            {"name": columns.ITEM_ID, "type": "string"},
            {"name": GENRE_COLUMN, "type": ["null", "string"], "categorical": True},
        ],
    }
)
_EPOCHS: Final = 3
_STEPS: Final = 100
#: Noise of planted items, as a share of each coordinate's standard deviation.
_NOISE: Final = 0.5
#: Items of a kind that are about as popular as the first one.
_POPULAR: Final = 10
#: Of whom some ask.
_SHOWN_USERS: Final = 2_000
_DAY: Final = 86_400
#: Users whose histories are read at a time.
_BLOCK: Final = 20_000


@dataclass(frozen=True, slots=True)
class Planted:
    """A published artifact.

    Attributes:
        location: In the store.
        users: Ids of some users.
        chosen: The index that calibration chose.
        n_items: How many there are.
        seed: It was made with.
    """

    location: str
    users: list[str]
    chosen: str
    n_items: int
    seed: int


def plant(store: Store, *, n_items: int, n_users: int, seed: int = 1) -> Planted:
    """Publish an artifact of so many items and users, unless the store has it; the same arguments give the same.

    Raises:
        InvalidInput: There are fewer items than the trained model has.
    """
    location = f"artifacts/planted-{n_items}-{n_users}-{seed}"
    try:
        manifest = read_manifest(store, location)
    except ResourceNotFound:
        manifest = _publish(store, location, n_items=n_items, n_users=n_users, seed=seed)
    shown = np.random.default_rng(seed).permutation(n_users)[:_SHOWN_USERS].tolist()
    return Planted(location, [f"user-{user:08d}" for user in shown], manifest.index.chosen, n_items, seed)


def plant_genres(store: Store, planted: Planted) -> str:
    """Publish a snapshot of the items' genres, unless the store has it, and return its location."""
    table_location = f"datasets/planted-{planted.n_items}-{planted.seed}/items"
    location = features_location(table_location, 0)
    try:
        read_feature_manifest(store, location)
    except ResourceNotFound:
        genres = pl.Series([genre for item in generate().items.values() for genre in item.genres[:1]])
        kinds = _kinds(planted.n_items, len(genres), np.random.default_rng(planted.seed))
        rows = pl.DataFrame(
            {
                columns.ITEM_ID: list(_ids("item", planted.n_items)),
                GENRE_COLUMN: genres.gather(kinds),
                columns.SOURCE: pl.repeat(columns.SOURCE_BULK, planted.n_items, eager=True),
                columns.LOG_OFFSET: pl.repeat(None, planted.n_items, eager=True, dtype=pl.Int64),
            }
        )
        version = Table(store, table_location).append(rows)
        with tempfile.TemporaryDirectory() as name:
            publish_snapshot(
                store,
                table_location,
                GENRE_SCHEMA,
                dataset_type="ITEMS",
                version=version,
                folder=Path(name),
                check=lambda: None,
                confirm=lambda: None,
            )
    return location


def genres_of_planted() -> list[str]:
    """Return the genres of planted items."""
    return sorted({genre for item in generate().items.values() for genre in item.genres})


def _publish(store: Store, location: str, *, n_items: int, n_users: int, seed: int) -> ArtifactManifest:
    data = generate()
    recipe = get_recipe(RECIPE)
    config = read_config(recipe, {"epochs": str(_EPOCHS)})
    trained, base = _trained(data), make_fitter(recipe, config, seed=seed)
    small = base.fit(trained)
    random = np.random.default_rng(seed)
    kinds = _kinds(n_items, trained.n_items, random)
    histories = _histories(trained, kinds, n_users=n_users, random=random)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        # What the small catalogue's items speak for says nothing of the planted ones.
        assert isinstance(small, SequenceScorer)  # as those of the recipe are
        small.with_regression(ItemRegression.nothing()).save(folder)
        vectors = plant_vectors(small.item_vectors, kinds, random)
        save_arrays(folder, {"item_vectors": vectors})
        SequentialRules.count(histories, n_items=n_items).save(folder)
        scorer = open_scorer(recipe, folder)
        items, users = (Vocabulary.build(ids) for ids in (_ids("item", n_items), _ids("user", n_users)))
        items.save(folder, "items")
        users.save(folder, "users")
        _past(histories, users, n_items=n_items).save(folder, PAST_ITEMS)
        _ages(histories, n_items).save(folder)
        save_arrays(
            folder,
            {
                "user_vectors": np.concatenate([scorer.embed_histories(block) for block in _blocks(histories)]),
                "history_offsets": histories.offsets,
                "history_items": histories.items,
                "history_actions": histories.event_types,
                "history_times": histories.times,
            },
        )
        half = np.arange(n_users // 2)
        index = write_index(
            scorer, folder, TrainingOptions(), held_out=histories.take(half), learnt=histories.take(half + len(half))
        )
        manifest = ArtifactManifest(
            recipe=RECIPE,
            n_items=n_items,
            n_users=n_users,
            dimensions=vectors.shape[1],
            index=index,
            event_types=[EVENT],
        )
        return publish_artifact(store, location, files=folder, manifest=manifest)


def _trained(data: DemoData) -> TrainingData:
    users = {user: number for number, user in enumerate(sorted({one.user for one in data.interactions}))}
    items = {item: number for number, item in enumerate(data.items)}
    rows = [(users[one.user], items[one.item], one.timestamp) for one in data.interactions]
    user, item, timestamp = (np.array(column) for column in zip(*rows, strict=True))
    interactions = Interactions.sort(user, item=item, timestamp=timestamp, event_type=np.ones(len(user), np.uint8))
    return TrainingData(interactions, len(users), len(items), event_types=(EVENT,))


def _kinds(n_items: int, n_trained: int, random: np.random.Generator) -> NDArray[np.int64]:
    """Return which trained item each item is like: int64 [n_items], the trained ones first."""
    return np.concatenate([np.arange(n_trained), random.integers(0, n_trained, n_items - n_trained)])


def plant_vectors(trained: FloatArray, kinds: NDArray[np.int64], random: np.random.Generator) -> FloatArray:
    """Return the vectors of items that are like trained ones: float32 [n_items, d].

    Args:
        trained: float32 [n, d], which come first, as they are.
        kinds: int64 [n_items], which trained item each is like; the first n are 0 to n - 1.
        random: Of the noise, half as large as each coordinate's own spread.
    """
    spread = (trained.std(axis=0) * _NOISE).astype(np.float32)
    vectors = random.standard_normal((len(kinds), trained.shape[1]), np.float32)
    vectors[: len(trained)] = 0.0
    vectors *= spread
    vectors += trained[kinds]
    return vectors


def _histories(data: TrainingData, kinds: NDArray[np.int64], *, n_users: int, random: np.random.Generator) -> Histories:
    """Let each user go through the newest films of one of the data, by some item of each kind, popular ones rather."""
    trained = data.interactions.histories(data.n_users).newest(_STEPS)
    followed = trained.take(random.integers(0, len(trained), n_users))
    order = np.argsort(kinds, kind="stable")
    counts = np.bincount(kinds)
    begins = np.cumsum(counts) - counts
    # Which of its kind: the inverse of the distribution whose density is 1 / (n + 10).
    ranks = _POPULAR * ((1.0 + counts[followed.items] / _POPULAR) ** random.random(len(followed.items)) - 1.0)
    chosen = begins[followed.items] + ranks.astype(np.int64)
    items: ItemIndexes = order[chosen].astype(np.int32)
    return Histories(offsets_of(followed.lengths()), items, followed.event_types, followed.times)


def _past(histories: Histories, users: Vocabulary, *, n_items: int) -> PastEvents:
    pairs = np.unique(histories.owners().astype(np.int64) * n_items + histories.items)
    user, item = pairs // n_items, pairs % n_items
    nothing = np.zeros(len(pairs), np.int64)
    return PastEvents.build(users, n_items=n_items, types=[EVENT.lower()], entries=(user, nothing, item, nothing))


def _ages(histories: Histories, n_items: int) -> ItemAges:
    """Let a thousandth of the items be new."""
    latest = int(histories.times.max())
    created = np.full(n_items, latest - 400 * _DAY, np.int64)
    created[:: max(1, n_items // max(1, n_items // 1000))] = latest
    return ItemAges(created, np.bincount(histories.items, minlength=n_items), latest)


def _blocks(histories: Histories) -> Iterator[Histories]:
    for begin in range(0, len(histories), _BLOCK):
        yield histories.take(np.arange(begin, min(begin + _BLOCK, len(histories))))


def _ids(prefix: str, count: int) -> Iterator[str]:
    return (f"{prefix}-{number:08d}" for number in range(count))
