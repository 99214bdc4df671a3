"""A loaded artifact: everything that answers need, mapped, checked against each other and read once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays
from common.artifacts import Artifact
from common.errors import CorruptArtifact, OperationUnavailable
from common.host_copies import HostCopies
from common.logs import get_logger
from common.positions import Position
from common.storage import Store
from common.vocabulary import Vocabulary
from inference.new_items import MAX_NEW_ITEMS, NewItemList
from inference.past_events import PAST_ACTIONS, PAST_ITEMS, PastEvents
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest, IndexCalibration
from recipes.catalog import get_recipe
from recipes.components.item_age import ItemAges
from recipes.components.user_features import UserFeatureTable
from recipes.data.histories import FloatArray, Histories, History, ItemIndexes
from recipes.ports import AcceptsRankingInfluence, ActionScorer, ItemScorer, UsesSideFeatures
from recipes.registry import open_scorer
from recipes.retrieval.annoy import AnnoyIndex
from recipes.retrieval.interface import ItemIndex
from recipes.retrieval.lists import ListIndex
from recipes.retrieval.rescore import inner_products
from recipes.retrieval.scan import ScanIndex
from recipes.spec import RecipeKind, RecipeSpec

__all__ = ["IndexMode", "Model", "ModelLoader", "RankingInfluence", "open_index"]

IndexMode = Literal["auto", "exact", "scan", "lists", "annoy"]
#: More than any request wants.
_UNLIMITED = 1 << 30
#: What indexes were measured at before manifests said so.
_FORMER_DEPTH = 100
_NOTHING = History.of_items([])
_NO_IDS = Vocabulary.build([])
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Model:
    """What was trained; immutable, its arrays shared by all processes of the host.

    Attributes:
        recipe: Of the artifact.
        scorer: Makes embeddings of histories.
        index: Finds items by embeddings; None where all items are scored, which is exact.
        index_depth: How many of the best the index is good for; who wants more takes an exact way.
        scan: Finds the best of those items that a filter lets pass, exactly; None where all items are scored for that.
        items: Ids and indexes of the catalogue.
        item_ids: The same ids as a list: each answer reads many of them.
        users: Ids and indexes of the users known at the snapshot.
        user_vectors: float32 [n_users, d], embeddings of the users at the snapshot, with what their columns add.
        histories: Of the same users.
        event_types: Numbers of the event types that the model knows, as the histories carry them.
        watermark: Place in the event log of the last event that the snapshot contains.
        user_codes: int32 [n_users, k], the codes of each user's columns; None where the scorer knows none.
        ages: Of the items; None where the recipe explores nothing.
        action_ids: Ids of the actions, where the recipe recommends such.
        actions: The same ids with their indexes.
        past: What filters know of the interactions until the snapshot; None of a model that is in no artifact, or in
            one from before there was such a table.
        past_actions: The same of interactions with actions; None also where the recipe recommends none.
        new_items: Items that came after the training; all that is served from the model shares them.
    """

    recipe: RecipeSpec
    scorer: ItemScorer
    index: ItemIndex | None
    scan: ScanIndex | None
    items: Vocabulary
    item_ids: list[str]
    users: Vocabulary
    user_vectors: FloatArray
    histories: Histories
    event_types: Mapping[str, int]
    watermark: Position
    index_depth: int = _UNLIMITED
    user_codes: NDArray[np.int32] | None = None
    ages: ItemAges | None = None
    action_ids: list[str] = field(default_factory=list)
    actions: Vocabulary = field(default_factory=lambda: _NO_IDS, repr=False)
    past: PastEvents | None = None
    past_actions: PastEvents | None = None
    new_items: NewItemList = field(default_factory=lambda: NewItemList.behind(0))

    def item_index(self, item_id: str) -> int | None:
        """Return the index of an item, of the model or new since; None for one that nobody has named."""
        index = self.items.index(item_id)
        return self.new_items.ids.index(item_id) if index is None else index

    def item_indexes(self, item_ids: Iterable[str]) -> ItemIndexes:
        """Return the indexes of many items: int32, -1 where nobody has named one."""
        indexes = (self.item_index(item_id) for item_id in item_ids)
        return np.array([-1 if index is None else index for index in indexes], np.int32)

    def item_id(self, item: int) -> str:
        """Return the id of an item, of the model or new since."""
        return self.item_ids[item] if item < len(self.item_ids) else self.new_items.ids.id(item)


@dataclass(frozen=True, slots=True)
class RankingInfluence:
    """How much freshness and popularity count, where the recipe leaves that to campaigns; nothing unless said.

    Attributes:
        freshness: 0 to 1.
        popularity: 0 to 1.
    """

    freshness: float = 0.0
    popularity: float = 0.0

    @classmethod
    def read(cls, values: Mapping[str, float]) -> RankingInfluence:
        """Read a `rankingInfluence`, which the control plane has checked."""
        return cls(freshness=values.get("FRESHNESS", 0.0), popularity=values.get("POPULARITY", 0.0))

    def on(self, model: Model) -> Model:
        """Return the model as the campaign configures it; it may be shared with campaigns that want it otherwise."""
        if not isinstance(model.scorer, AcceptsRankingInfluence):
            return model
        return replace(model, scorer=model.scorer.influenced(freshness=self.freshness, popularity=self.popularity))


class ModelLoader:
    """Opens artifacts; called from any thread.

    Args:
        store: The shared store.
        cache: Local folder for copies from a store that is not local.
        index: Which index to serve with.
        most_new_items: Items at most that are put or imported after the training of a model and served with it.
    """

    def __init__(self, store: Store, *, cache: Path, index: IndexMode, most_new_items: int = MAX_NEW_ITEMS) -> None:
        self._copies = HostCopies(store, cache)
        self._index: IndexMode = index
        self._most_new_items = most_new_items

    def load(self, location: str) -> Model:
        """Fetch an artifact, verify it once for all of the host, open it, and read what a first request would wait for.

        Raises:
            ResourceNotFound: Nothing is published there, or its recipe is unknown here.
            CorruptArtifact: Its files differ from the manifest or do not belong together.
            OperationUnavailable: Its recipe answers another operation.
            Unavailable: The store cannot be reached.
            TimeoutError: Another process has been fetching it for ten minutes.
        """
        artifact = self._copies.open(location, ArtifactManifest)
        model = self._open(artifact)
        _check(model, artifact)
        _warm(model)
        return model

    def forget_others(self, locations: Collection[str]) -> None:
        """Remove the local copies of all artifacts but these."""
        gone = self._copies.forget_others(locations)
        if gone:
            _log.info("copies_removed", artifacts=gone)

    def _open(self, artifact: Artifact) -> Model:
        folder, manifest = artifact.folder, artifact.manifest
        recipe = get_recipe(manifest.recipe)
        if recipe.kind.operation is None:
            served = " or ".join(dict.fromkeys(kind.recipe_type for kind in RecipeKind if kind.operation))
            raise OperationUnavailable(
                f"`recipe`: got {recipe.name} of type {recipe.recipe_type}, want one of type {served}"
            )
        scorer = open_scorer(recipe, folder)
        arrays = map_arrays(
            folder, ("user_vectors", "history_offsets", "history_items", "history_actions", "history_times")
        )
        items, users = (Vocabulary.load(folder, name) for name in ("items", "users"))
        actions, mode, past_actions = _NO_IDS, self._index, None
        if isinstance(scorer, ActionScorer):
            actions, mode = Vocabulary.load(folder, "actions"), "exact"
            past_actions = _load_past(artifact, PAST_ACTIONS, users=users, n_items=len(actions))
        index, scan = open_index(folder, manifest.index, item_vectors=scorer.item_vectors, mode=mode)
        return Model(
            recipe=recipe,
            scorer=scorer,
            index=index,
            index_depth=_index_depth(index, scan, manifest.index),
            scan=scan,
            items=items,
            item_ids=items.ids(range(len(items))),
            users=users,
            user_vectors=arrays["user_vectors"],
            histories=Histories(
                arrays["history_offsets"],
                items=arrays["history_items"],
                event_types=arrays["history_actions"],
                times=arrays["history_times"],
            ),
            event_types={name: number for number, name in enumerate(manifest.event_types, start=1)},
            watermark=Position(manifest.snapshot.event_epoch, manifest.snapshot.event_watermark),
            user_codes=None if _user_features(scorer) is None else map_arrays(folder, ("user_codes",))["user_codes"],
            ages=None if recipe.exploration == "none" else ItemAges.load(folder, n_items=len(items)),
            action_ids=actions.ids(range(len(actions))),
            actions=actions,
            past=_load_past(artifact, PAST_ITEMS, users=users, n_items=len(items)),
            past_actions=past_actions,
            new_items=NewItemList.behind(len(items), most=self._most_new_items),
        )


def _index_depth(index: ItemIndex | None, scan: ScanIndex | None, calibration: IndexCalibration) -> int:
    if index is None or index is scan:
        return _UNLIMITED
    return calibration.setting.depth if calibration.setting.HasField("depth") else _FORMER_DEPTH


def _load_past(artifact: Artifact, name: str, *, users: Vocabulary, n_items: int) -> PastEvents | None:
    """Open what filters know of the past; None of an artifact from before there was such a table."""
    if all(file.path != f"{name}_user_groups.npy" for file in artifact.manifest.files):
        _log.warning(
            "past_not_in_artifact",
            folder=str(artifact.folder),
            table=name,
            cause="another version of Tailorbird wrote it; until a new training, filters read streamed events alone",
        )
        return None
    return PastEvents.load(artifact.folder, name, users=users, n_items=n_items)


def _user_features(scorer: ItemScorer) -> UserFeatureTable | None:
    return scorer.user_features if isinstance(scorer, UsesSideFeatures) else None


def _check(model: Model, artifact: Artifact) -> None:
    manifest, n_items = artifact.manifest, len(model.items)
    dimensions = model.scorer.item_vectors.shape[1]
    total = int(model.histories.offsets[-1]) if len(model.histories.offsets) else -1
    facts = {
        "items.*.npy": (n_items, manifest.n_items),
        "item_vectors.npy": (model.scorer.item_vectors.shape, (n_items, manifest.dimensions)),
        "users.*.npy": (len(model.users), manifest.n_users),
        "user_vectors.npy": (model.user_vectors.shape, (manifest.n_users, dimensions)),
        "history_offsets.npy": (model.histories.offsets.shape, (manifest.n_users + 1,)),
        "history_items.npy": (len(model.histories.items), total),
        "history_actions.npy": (len(model.histories.event_types), total),
        "history_times.npy": (len(model.histories.times), total),
    }
    codes, user_features = model.user_codes, _user_features(model.scorer)
    if codes is not None:
        facts["user_codes.npy"] = (codes.shape[:1], (manifest.n_users,))
    if isinstance(model.scorer, ActionScorer):
        facts["actions.*.npy"] = (len(model.action_ids), len(model.scorer.actions))
        facts["action_totals.npy"] = (len(model.scorer.totals), manifest.n_users)
    for name, (got, want) in facts.items():
        if got != want:
            raise CorruptArtifact(f"`{name}`: got {got}, want {want}, as the other files tell")
    if n_items == 0:
        raise CorruptArtifact("`items.*.npy`: got no items, want at least one to recommend")
    if total and int(model.histories.event_types.max()) > len(model.event_types):
        raise CorruptArtifact(f"`history_actions.npy`: got types out of range, want 0 to {len(model.event_types)}")
    if (
        user_features is not None
        and codes is not None
        and codes.size
        and not _within(codes, len(user_features.table.meaning))
    ):
        raise CorruptArtifact(
            f"`user_codes.npy`: got codes out of range, want 0 to {len(user_features.table.meaning) - 1}"
        )
    if total and not _within(model.histories.items, n_items):
        raise CorruptArtifact(f"`history_items.npy`: got indexes out of range, want 0 to {n_items - 1}")


def _within(indexes: NDArray[np.int32], count: int) -> bool:
    return 0 <= int(indexes.min()) <= int(indexes.max()) < count


def _warm(model: Model) -> None:
    """Score for nobody and for a known user, so that the first caller does not wait for the disk."""
    scorer = model.scorer
    embeddings = [scorer.embed_history(_NOTHING)]
    scorer.score_deltas(_NOTHING)
    if len(model.users):
        embeddings.append(model.user_vectors[0])
        scorer.score_deltas(model.histories.of(0))
    anything = np.ones(len(scorer.item_vectors), bool)
    if model.scan is not None:
        model.scan.narrowed(np.zeros(len(anything), bool))
    for embedding in embeddings:
        inner_products(scorer.item_vectors, np.zeros(1, np.int32), embedding)
        if model.scan is not None:
            model.scan.nearest(embedding, 1, anything)
        if model.index is None:
            scorer.item_vectors @ embedding
        else:
            model.index.nearest(embedding, 1)


def open_index(
    folder: Path, calibration: IndexCalibration, *, item_vectors: FloatArray, mode: IndexMode
) -> tuple[ItemIndex | None, ScanIndex | None]:
    """Open the index of an artifact, and the scan that finds what filters let pass.

    An artifact has the files of what its calibration chose, and of the scan; a mode that it has no files for is as
    `auto`, but `scan`, which is exact, as `exact`. One from before there were several indexes is scored whole, until
    the next training.

    Args:
        folder: Of the artifact.
        calibration: Of its manifest.
        item_vectors: float32 [n_items, d], those that it was built from.
        mode: `auto` takes the calibration's choice.

    Returns:
        The index, None where all items are scored; and the scan, None where the artifact has none or none is wanted.

    Raises:
        CorruptArtifact: A file is missing, unreadable or of another catalogue, or the choice is unknown.
    """
    chosen = calibration.chosen
    if chosen not in ("exact", "scan", "lists", "annoy"):
        raise CorruptArtifact(f"`index.chosen`: got {chosen!r}, want exact, scan, lists or annoy")
    if mode == "exact" or not calibration.HasField("setting"):
        if chosen != "exact":
            _log.info("index_not_used", chosen=chosen, mode=mode)
        return None, None
    scan = None
    if calibration.has_scan:
        if ScanIndex.is_former(folder):
            _log.warning(
                "scan_of_another_version", folder=str(folder), cause="filters score all items until a training"
            )
        else:
            scan = ScanIndex.open(folder, item_vectors)
    preferred, setting = (chosen if mode == "auto" else mode), calibration.setting
    available = {"exact", chosen, "scan"} - ({"scan"} if scan is None else set())
    # Whoever wants a scan wants exact answers.
    kind = next(name for name in (preferred, "exact" if preferred == "scan" else chosen, "exact") if name in available)
    if kind != preferred:
        _log.info("index_not_in_artifact", wanted=preferred, taken=kind)
    if kind == "annoy":
        return AnnoyIndex(folder, item_vectors, search_k=setting.search_k), scan
    if kind == "lists":
        return ListIndex.open(folder, item_vectors, probes=setting.probes), scan
    return (scan if kind == "scan" else None), scan
