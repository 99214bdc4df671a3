"""What a fitted model can do, and what fits it: the ports between the algorithms and those who train and serve them.

Recipes of items are served in one way: the score of an item for a history is the inner product of the item's vector
with the vector that the scorer makes of the history, plus score deltas of a few items. So one index, one runtime and
one evaluation serve them all, and a bias of an item is a coordinate of its vector. Recipes that count events, and those
that rank users or actions, do more or something else: see docs/adr/0008 and 0009.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Sized
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from recipes.components.context import ContextTable
from recipes.components.user_features import UserFeatureTable
from recipes.data.columns import Columns
from recipes.data.histories import FloatArray, Histories, History, ItemIndexes
from recipes.data.training_data import TrainingData
from recipes.models.lsa.content_vectors import ContentVectors

__all__ = [
    "SECONDS_IN_ALL",
    "AcceptsItemBias",
    "AcceptsRankingInfluence",
    "ActionScorer",
    "Checkpoint",
    "Checkpoints",
    "ContentColumns",
    "EncodedItems",
    "EncodesNewItems",
    "FitProgress",
    "Fitter",
    "FitterFactory",
    "ItemScorer",
    "KeepsCheckpoints",
    "LearntContent",
    "Neighbours",
    "NewItemEncoder",
    "RelatesNewItems",
    "ScoreDelta",
    "ScoreDeltas",
    "ScoresManyUsers",
    "SupportsIncrementalUpdate",
    "TrendScorer",
    "UsesSideFeatures",
    "ignore_progress",
]

#: Name under which reports have how long the whole work takes at the speed that it has.
SECONDS_IN_ALL: Final = "seconds_in_all"


class FitProgress(Protocol):
    """Hears how a fit goes on; may raise to stop it (a lost lease, a stop asked for by the user)."""

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        """Take one report.

        Args:
            fraction: Share of the work that is done at most, 0 to 1; early stopping may end sooner.
            stage: What is going on, for a person, e.g. `epoch 3 of 100`.
            metrics: What was measured since the last report, e.g. `{"validation_ndcg_at_10": 0.17}`, and of fits that
                go by epochs: `epoch` and `epochs`, at most; `step` and `steps` of the epoch; `training_loss` of the
                last step or, at its end, of the epoch; `SECONDS_IN_ALL`, if early stopping saves no epoch.
        """


def ignore_progress(*, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
    """Hear nothing: the default."""


class Checkpoint(NamedTuple):
    """The state of a fit between two epochs.

    Attributes:
        arrays: By name; of any types but objects.
        facts: What else there is to know, as JSON can hold it.
    """

    arrays: Mapping[str, NDArray[Any]]
    facts: Mapping[str, Any]


class Checkpoints(Protocol):
    """Keeps checkpoints of fits where they survive the process, so that a fit that was killed goes on from there."""

    def is_due(self) -> bool:
        """Return whether the last checkpoint, or the beginning, is long enough ago for another one to be worth it."""

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Keep a checkpoint in place of the one before of the same key; all of it or nothing.

        A checkpoint that cannot be written is logged, and the fit goes on.
        """

    def load(self, key: str) -> Checkpoint | None:
        """Return the checkpoint of a key; None where there is none, or a damaged one, which is logged.

        Raises:
            Unavailable: The store cannot be reached.
        """


@runtime_checkable
class KeepsCheckpoints(Protocol):
    """A fitter whose fits can go on where they were killed."""

    def keep_checkpoints(self, checkpoints: Checkpoints) -> None:
        """Keep checkpoints there from now on, and begin from what is there; to be called before `fit`."""


@dataclass(frozen=True, slots=True)
class ScoreDelta:
    """What a history changes of the scores of a few items, beyond what vectors can tell.

    Attributes:
        items: int32 [k], all different.
        values: float32 [k], to be added to their scores.
    """

    items: ItemIndexes
    values: FloatArray

    @classmethod
    def nothing(cls) -> ScoreDelta:
        """Return an adjustment of no item."""
        return cls(np.empty(0, np.int32), np.empty(0, np.float32))


class ScoreDeltas(NamedTuple):
    """Those of many histories, one after another.

    Attributes:
        offsets: int64 [n + 1]; those of history h are `offsets[h]` to `offsets[h + 1] - 1`.
        items: int32 [total], of each history all different.
        values: float32 [total], to be added to their scores.
    """

    offsets: NDArray[np.int64]
    items: ItemIndexes
    values: FloatArray


class ItemScorer(Protocol):
    """The serving side of a fitted recipe: NumPy only, immutable, safe to share between threads.

    Its scores for a history are the inner products of `item_vectors` and the history's embedding, plus score deltas.
    """

    @property
    def item_vectors(self) -> FloatArray:
        """The vectors of the items: float32 [n_items, d]."""

    def embed_history(self, history: History) -> FloatArray:
        """Make the vector of one history.

        Args:
            history: May be empty. Items that the model does not know (-1, or n_items and above) are passed over.

        Returns:
            float32 [d].
        """

    def embed_histories(self, histories: Histories) -> FloatArray:
        """Make the vectors of many histories at once: float32 [number of histories, d]."""

    def score_deltas(self, history: History) -> ScoreDelta:
        """Work out which scores to change for a history: of items that were used already, or that often follow."""

    def save(self, folder: Path) -> None:
        """Write `item_vectors.npy` and this recipe's own `.npy` files into an existing folder."""


@runtime_checkable
class ScoresManyUsers(Protocol):
    """A scorer that works out the score deltas of many users at once, where one by one takes longer."""

    def score_deltas_of(self, histories: Histories, users: NDArray[np.int64]) -> ScoreDeltas:
        """Work out what `score_deltas` says, to the same bits, of some of the users of histories: int64 [n]."""


@runtime_checkable
class TrendScorer(ItemScorer, Protocol):
    """A scorer of items by what everybody did a moment ago, counted by time buckets of 900 seconds."""

    def popular(self) -> FloatArray:
        """Return the embedding by which items are popular, for when nothing happened lately: float32 [d]."""

    def first_bucket(self, now: float) -> int:
        """Return the oldest time bucket, seconds since 1970 by 900, that matters at a moment in seconds since 1970."""

    def trend(
        self, buckets: NDArray[np.int64], items: ItemIndexes, counts: NDArray[np.int32], *, n_items: int, now: float
    ) -> FloatArray | None:
        """Score the items as they trend at a moment.

        Args:
            buckets: int64 [k], when.
            items: int32 [k], what; items beyond those of the model are new since.
            counts: int32 [k], how often.
            n_items: Items, new ones included.
            now: Seconds since 1970.

        Returns:
            float32 [n_items]; None when nothing happened lately.
        """


@runtime_checkable
class ActionScorer(ItemScorer, Protocol):
    """A scorer of Personalize's actions; a history's embedding is the user's state as far as it follows from items.

    Attributes:
        actions: As many as there are actions.
        totals: float32 [n_users, 2], actions that each user took and did not take.
    """

    @property
    def actions(self) -> Sized:
        """A collection whose length is the number of actions."""

    @property
    def totals(self) -> FloatArray:
        """float32 [n_users, 2], actions that each user took and did not take."""

    def recommend(
        self, state: FloatArray, *, user: int | None, now: float, limit: int, since: Mapping[int, int] = ...
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Return the actions to recommend, most likely first, and how likely each is taken, 0 to 1.

        Args:
            state: float32 [d], from `embed_history`.
            user: Index of the user; None for one who was not known at the training.
            now: Seconds since 1970.
            limit: Actions at most.
            since: By action when the user last had to do with it after the training, in seconds since 1970.
        """


class LearntContent(NamedTuple):
    """What the columns of a training's items say of them.

    Attributes:
        encoder: The map from columns to vectors, for items that come later.
        vectors: float32 [n_items, c], those of the training's items; zero where nothing is known of one.
    """

    encoder: ContentVectors
    vectors: FloatArray


@runtime_checkable
class SupportsIncrementalUpdate(Protocol):
    """A scorer that takes up new items and new histories without being fitted again."""

    def updated(
        self, before: NDArray[np.int64], data: TrainingData, *, content: LearntContent | None, seed: int
    ) -> ItemScorer:
        """Return the same model for the catalogue as it is now.

        What was learnt stays as it is; what is merely counted is counted again, and what can be predicted of new items
        by their columns is predicted.

        Args:
            before: int64 [n_items], the index that each item had when the model was fitted, -1 for new items.
            data: All that there is now, by the present indexes; event types are numbered as they were.
            content: What the items' columns say of them; None without columns.
            seed: Decides the draws of what is compared.
        """


class ContentColumns(NamedTuple):
    """The columns that vectors are made of, by their names in the Items dataset.

    Attributes:
        categorical: Of categories.
        numeric: Of numbers.
        textual: Of texts.
        names: Whether the column of the items' names is read too, whatever it is called.
    """

    categorical: Sequence[str] = ()
    numeric: Sequence[str] = ()
    textual: Sequence[str] = ()
    names: bool = False


class Neighbours(NamedTuple):
    """The items of a model that new items speak for, where that is not known by their vectors.

    Attributes:
        items: int32 [m, k], of each new item all different; -1 behind the last.
        weights: float32 [m, k], above 0; 0 behind the last.
    """

    items: ItemIndexes
    weights: FloatArray


class EncodedItems(NamedTuple):
    """Vectors of new items.

    Attributes:
        vectors: float32 [m, d], in the space of the model's own; of a scorer that relates new items, see
            `RelatesNewItems`, float32 [m, c] in that of theirs.
        described: bool [m], whether an item's columns say anything of it.
        neighbours: Of a scorer that relates new items; else None.
    """

    vectors: FloatArray
    described: NDArray[np.bool_]
    neighbours: Neighbours | None = None


class NewItemEncoder(Protocol):
    """Makes vectors of items that came after a training."""

    @property
    def columns(self) -> ContentColumns:
        """The columns that are read."""

    def encode(self, columns: Columns, *, n_rows: int) -> EncodedItems:
        """Make the vectors of some items by their columns, with their times of creation where they have some."""


@runtime_checkable
class EncodesNewItems(Protocol):
    """A scorer that knows items that came after its training by their columns."""

    def new_item_encoder(self) -> NewItemEncoder | None:
        """Return what makes their vectors, which may read files; None where they have none.

        Raises:
            CorruptArtifact: The files are damaged.
        """

    def with_new_items(self, vectors: FloatArray, neighbours: Neighbours | None) -> ItemScorer:
        """Return the same model that reads histories with new items too.

        Args:
            vectors: float32 [m, d], of the items n_items to n_items + m - 1, as they were encoded.
            neighbours: Of the same items, as they were encoded.
        """


@runtime_checkable
class RelatesNewItems(ItemScorer, EncodesNewItems, Protocol):
    """A scorer that knows of pairs of items how much they have to do with each other, and has no vectors for that.

    New items have vectors in a space of their own, of c dimensions. Their scores for a history are the inner products
    with what `embed_for_new_items` makes of it.
    """

    @property
    def new_item_queries(self) -> FloatArray:
        """What is made of the history of each single item of the model: float32 [n_items, c]."""

    def embed_for_new_items(self, history: History) -> FloatArray:
        """Make the vector that new items are scored by for a history: float32 [c]."""


@runtime_checkable
class AcceptsItemBias(Protocol):
    """A scorer whose scores of items can be shifted for all users alike."""

    def with_item_bias(self, biases: FloatArray) -> ItemScorer:
        """Return the same model with float32 [n_items] added to every user's scores."""


@runtime_checkable
class UsesSideFeatures(Protocol):
    """A scorer that knows what context and users' columns add.

    Attributes:
        context: Of requests; None where nothing is known.
        user_features: Of users' columns; None where nothing is known. See `recipes.components.user_features`.
    """

    context: ContextTable | None
    user_features: UserFeatureTable | None


@runtime_checkable
class AcceptsRankingInfluence(Protocol):
    """A scorer that campaigns tell how much freshness and popularity count."""

    def influenced(self, *, freshness: float, popularity: float) -> ItemScorer:
        """Return the same model with these weights, 0 to 1, in place of those that it has."""


class Fitter(Protocol):
    """The learning side of a recipe, made for one training and used once.

    Attributes:
        report: What was measured on the way, e.g. `epochs`, `validation_ndcg_at_10`; filled by `fit`.
    """

    report: Mapping[str, float]

    def fit(self, data: TrainingData) -> ItemScorer:
        """Learn from the data; what validation needs is held out inside."""

    def extend(self, data: TrainingData) -> ItemScorer:
        """Continue from the fitted state on data that contain what was held out, for the model that is deployed.

        Call it after `fit`, with the same numbers of users and items.
        """


class FitterFactory(Protocol):
    """What a recipe's `fitter` path names."""

    def __call__(self, config: Any, *, seed: int, progress: FitProgress = ...) -> Fitter:
        """Make a fitter; the same seed, data, machine and versions give the same bytes."""
