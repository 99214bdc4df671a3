"""Artifacts as a trainer makes them, of people of two tastes, and the names of what is served."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import polars as pl

from common import columns
from common.arrays import save_arrays
from common.artifacts import publish_artifact
from common.filters import Dataset
from common.settings import StoreSettings
from common.storage import Store
from common.storage.objects import open_store
from common.vocabulary import Vocabulary
from inference.past_events import PAST_ACTIONS, PAST_ITEMS
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.catalog import get_recipe
from recipes.components.item_age import ItemAges
from recipes.data.histories import FloatArray
from recipes.data.training_data import Interactions, TrainingData
from recipes.models.action_propensity.config import ActionPropensityConfig
from recipes.models.action_propensity.data import ActionData, ActionEvents
from recipes.models.action_propensity.data import Actions as DataActions
from recipes.models.action_propensity.fit import ActionPropensityFitter
from recipes.ports import ItemScorer
from recipes.registry import make_fitter, read_config
from recipes.retrieval.annoy import build_annoy
from recipes.retrieval.scan import build_scan
from recipes.retrieval.transforms import Transform
from runtime_service.serving.deployments import Assignment
from trainer.training.past_events import collect_events

PERSONAL = "aws-user-personalization-v2"
POPULAR = "aws-popularity-count"
RANKING = "aws-personalized-ranking-v2"
RELATED = "aws-sims"
ACTIONS = "aws-next-best-action"
GROUP = "arn:aws:personalize:us-east-1:000000000000:dataset-group/films"
N_USERS, N_ITEMS = 60, 40
#: What users do, and the number that histories carry for the first.
EVENT_TYPES, WATCH = ("watch", "buy"), 1
#: User, item or action, type of event and seconds.
PastEvent = tuple[str, str, str, int]
#: What was done too, and models do not learn from: of other types, of whom and with what they do not know.
MORE_EVENTS: tuple[PastEvent, ...] = (
    ("user-3", "item-0", "Click", 100),
    ("user-3", "item-25", "Purchase", 101),
    ("user-3", "gone", "click", 102),
    ("guest", "item-7", "Watch", 103),
)
#: Offset of the last event that artifacts contain.
WATERMARK = 10
#: Small and quick; what it learns is plain all the same.
SMALL = {"embedding_size": "8", "layers": "1", "max_length": "8", "learning_rate": "0.01", "epochs": "8"}


def campaign(name: str = "films") -> str:
    return f"arn:aws:personalize:us-east-1:000000000000:campaign/{name}"


def recommender(name: str) -> str:
    return f"arn:aws:personalize:us-east-1:000000000000:recommender/{name}"


def item(index: int) -> str:
    return f"item-{index}"


def user(index: int) -> str:
    return f"user-{index}"


def two_tastes() -> TrainingData:
    """Let users with even numbers use items of the lower half, one after another, the others of the upper half."""
    half, length = N_ITEMS // 2, 8
    users = np.repeat(np.arange(N_USERS), length)
    steps = np.tile(np.arange(length), N_USERS)
    items = (users // 2 * 3 + steps) % half + half * (users % 2)
    # Every third thing is bought.
    actions = np.where((users + steps) % 3 == 0, WATCH + 1, WATCH)
    interactions = Interactions.sort(users, item=items, timestamp=steps, event_type=actions)
    return TrainingData(interactions, N_USERS, N_ITEMS, EVENT_TYPES)


@dataclass(frozen=True)
class Fitted:
    """A fitted recipe with its data."""

    name: str
    scorer: ItemScorer
    data: TrainingData
    actions: tuple[str, ...] = ()


@cache
def fit(name: str) -> Fitted:
    """Return what a recipe learns, which no test changes; once in a process, as it takes seconds."""
    declared, data = get_recipe(name), two_tastes()
    # Few users and items: nobody is left out.
    everything = {"min_user_history_length_percentile": "0", "max_item_interaction_count_percentile": "1"}
    values = {PERSONAL: SMALL, RELATED: everything}.get(name, {})
    return Fitted(name, make_fitter(declared, read_config(declared, values), seed=5).fit(data), data)


@cache
def fit_actions() -> Fitted:
    """Let users with even numbers take `lower` and the others `upper`, and all of them leave `never`."""
    data, users = two_tastes(), np.arange(N_USERS)
    # Twice each, so that there are enough; nobody is shown anything after it.
    user = np.tile(users, 6)
    action = np.repeat([0, 1, 2], 2 * N_USERS)
    taken = (action < 2) & (user % 2 == action)
    when = np.repeat(np.arange(1000, 1006), N_USERS)
    events = ActionEvents.sort(user, action=action, taken=taken, timestamp=when)
    rules = DataActions(np.zeros(3, np.float32), np.full(3, -1), np.zeros(3, np.int64))
    made = ActionPropensityFitter(ActionPropensityConfig(), seed=5).fit(ActionData(data, rules, events))
    return Fitted(ACTIONS, made, data, ("lower", "upper", "never"))


def interaction_rows(data: TrainingData) -> pl.DataFrame:
    """Return interactions as their table has them, with some that models do not learn from."""
    rows = data.interactions
    listed = zip(rows.user.tolist(), rows.item.tolist(), rows.event_type.tolist(), rows.timestamp.tolist(), strict=True)
    learnt = [(user(who), item(what), data.event_types[kind - 1], when) for who, what, kind, when in listed]
    return table_rows([*learnt, *MORE_EVENTS], item_column=columns.ITEM_ID)


def action_rows() -> pl.DataFrame:
    """Return the action interactions of `fit_actions`."""
    events = [
        (user(who), ("lower", "upper", "never")[action], "Taken" if action == who % 2 else "Viewed", 1000 + time)
        for action in range(3)
        for time in range(2)
        for who in range(N_USERS)
    ]
    return table_rows(events, item_column=columns.ACTION_ID)


def table_rows(events: Sequence[PastEvent], *, item_column: str) -> pl.DataFrame:
    names = (columns.USER_ID, item_column, columns.EVENT_TYPE, columns.TIMESTAMP)
    frame = pl.DataFrame(
        events, schema=dict(zip(names, (pl.String, pl.String, pl.String, pl.Int64), strict=True)), orient="row"
    )
    return frame.with_columns(
        pl.lit(None, pl.String).alias(columns.EVENT_ID), pl.lit(None, pl.Int64).alias(columns.LOG_OFFSET)
    )


def write_files(folder: Path, fitted: Fitted) -> ArtifactManifest:
    """Write all files of an artifact, and return its manifest for publication."""
    scorer, histories = fitted.scorer, fitted.data.histories()
    scorer.save(folder)
    if get_recipe(fitted.name).exploration != "none":
        ItemAges.of(fitted.data, np.zeros(N_ITEMS, np.int64)).save(folder)
    Vocabulary.build([item(index) for index in range(N_ITEMS)]).save(folder, "items")
    users = Vocabulary.build([user(index) for index in range(N_USERS)])
    users.save(folder, "users")
    events = collect_events(interaction_rows(fitted.data), dataset=Dataset.INTERACTIONS)
    events.save(folder, PAST_ITEMS, users=users, items=Vocabulary.load(folder, "items"))
    if fitted.actions:
        actions = Vocabulary.build(fitted.actions)
        actions.save(folder, "actions")
        done = collect_events(action_rows(), dataset=Dataset.ACTION_INTERACTIONS)
        done.save(folder, PAST_ACTIONS, users=users, items=actions)
    queries = scorer.embed_histories(histories)
    save_arrays(
        folder,
        {
            "user_vectors": queries,
            "history_offsets": histories.offsets,
            "history_items": histories.items,
            "history_actions": histories.event_types,
            "history_times": histories.times,
        },
    )
    manifest = ArtifactManifest(
        recipe=fitted.name,
        n_items=N_ITEMS,
        n_users=N_USERS,
        dimensions=scorer.item_vectors.shape[1],
        event_types=fitted.data.event_types,
    )
    manifest.snapshot.event_watermark = WATERMARK
    _write_indexes(scorer.item_vectors, queries, folder)
    # Not what a machine happens to measure: what is served is to be the same each time.
    manifest.index.chosen = manifest.index.setting.index = "annoy"
    manifest.index.setting.search_k = 2000
    manifest.index.has_scan = True
    return manifest


def _write_indexes(item_vectors: FloatArray, user_vectors: FloatArray, folder: Path) -> None:
    transform = Transform.fit("whitened", item_vectors=item_vectors, user_vectors=user_vectors)
    build_annoy(item_vectors, folder, transform=transform, seed=1, trees=10)
    build_scan(item_vectors, folder, user_vectors=user_vectors)


def publish(
    store: Store,
    location: str,
    fitted: Fitted,
    *,
    shortened: str | None = None,
    event_types: Sequence[str] | None = None,
    without: str = "",
    **changed: Any,
) -> None:
    """Publish an artifact.

    Args:
        store: Where.
        location: Where in there.
        fitted: What.
        shortened: Name of an array to lose its last value.
        event_types: Instead of those of the data.
        without: Files to leave out, by a pattern.
        changed: Replaces other members of the manifest.
    """
    with TemporaryDirectory() as folder:
        manifest = write_files(Path(folder), fitted)
        for name, value in changed.items():
            setattr(manifest, name, value)
        if event_types is not None:
            manifest.event_types[:] = event_types
        if shortened is not None:
            path = Path(folder) / f"{shortened}.npy"
            np.save(path, np.load(path)[:-1])
        for path in Path(folder).glob(without) if without else ():
            path.unlink()
        publish_artifact(store, location, files=Path(folder), manifest=manifest)


def local_store(folder: Path) -> Store:
    return open_store(StoreSettings(store_url=str(folder)))


def assignment(
    name: str = "films", *, deployment: str = "d-1", location: str = "artifacts/one", **more: Any
) -> Assignment:
    return Assignment(
        campaign_arn=campaign(name),
        deployment_id=deployment,
        artifact_location=location,
        dataset_group_arn=GROUP,
        **{"event_type": None, **more},
    )
