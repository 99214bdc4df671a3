"""What a recipe is: the data it learns from, the fitter that learns, and the scorer that serves.

Recipes of items are served in one way: the score of an item for a history is the inner product of the item's vector
with the vector that the scorer makes of the history, plus an adjustment that is zero for all but a few items. So one
index, one runtime and one evaluation serve them all, and a bias of an item is a coordinate of its vector. Recipes that
count events, and those that rank users or actions, do more or something else: see docs/adr/0008 and 0009.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, ClassVar, Literal, Protocol, Self, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import FieldViolation, InvalidInput
from recipes.columns import Columns
from recipes.context import Context, ContextTable
from recipes.people import PeopleTable

__all__ = [
    "Actions",
    "Adjustment",
    "Domain",
    "Exploration",
    "Favouring",
    "FitProgress",
    "Fitter",
    "FitterFactory",
    "FloatArray",
    "Histories",
    "History",
    "Influenced",
    "Interactions",
    "ItemIndexes",
    "Offsets",
    "Recipe",
    "RecipeConfig",
    "RecipeType",
    "Scorer",
    "Situated",
    "Timestamps",
    "TrainingData",
    "Updatable",
    "ignore_progress",
]

FloatArray = NDArray[np.float32]
ItemIndexes = NDArray[np.int32]
Offsets = NDArray[np.int64]
Actions = NDArray[np.uint8]
Timestamps = NDArray[np.int64]

_ALGORITHM = "algorithmHyperParameters"

#: Personalize's types of recipes.
RecipeType = Literal[
    "USER_PERSONALIZATION",
    "POPULAR_ITEMS",
    "PERSONALIZED_RANKING",
    "RELATED_ITEMS",
    "USER_SEGMENTATION",
    "PERSONALIZED_ACTIONS",
]

#: Personalize's domains of dataset groups.
Domain = Literal["ECOMMERCE", "VIDEO_ON_DEMAND"]


#: Who explores new items: nobody, the service by itself, or the service as campaigns say.
Exploration = Literal["none", "managed", "configured"]


@dataclass(frozen=True, slots=True)
class History:
    """What one user did, oldest first.

    Attributes:
        items: int32 [m], item indexes.
        actions: uint8 [m], what was done with each item: places in `TrainingData.event_types`, counted from 1; 0 for
            types that the model does not know.
        times: int64 [m], seconds since 1970; all 0 where time is unknown.
    """

    items: ItemIndexes
    actions: Actions
    times: Timestamps

    @classmethod
    def of_items(cls, items: Sequence[int] | NDArray[np.integer[Any]]) -> History:
        """Return a history of which the items alone are known."""
        indexes = np.asarray(items, np.int32)
        return cls(indexes, np.zeros(len(indexes), np.uint8), np.zeros(len(indexes), np.int64))

    def __len__(self) -> int:
        return len(self.items)

    def newest(self, limit: int) -> History:
        """Return the newest `limit` steps."""
        return self if len(self.items) <= limit else self._at(slice(len(self.items) - limit, None))

    def known(self, n_items: int) -> History:
        """Return the steps with items below `n_items`; others are unknown to the model."""
        inside = (self.items >= 0) & (self.items < n_items)
        return self if inside.all() else self._at(inside)

    def _at(self, places: Any) -> History:
        return History(self.items[places], self.actions[places], self.times[places])


@dataclass(frozen=True, slots=True)
class Histories:
    """What many users did, one after another.

    Attributes:
        offsets: int64 [n_users + 1]; user u owns the steps `offsets[u]` to `offsets[u + 1] - 1`.
        items: int32 [total]; see `History`.
        actions: uint8 [total].
        times: int64 [total].
    """

    offsets: Offsets
    items: ItemIndexes
    actions: Actions
    times: Timestamps

    @classmethod
    def of_items(cls, offsets: Offsets, items: NDArray[np.integer[Any]]) -> Histories:
        """Return histories of which the items alone are known."""
        plain = History.of_items(items)
        return cls(offsets, plain.items, plain.actions, plain.times)

    @classmethod
    def gather(cls, histories: Sequence[History]) -> Histories:
        """Put single histories one after another."""
        offsets = _offsets(np.array([len(history) for history in histories], np.int64))
        if not histories:
            return cls.of_items(offsets, np.empty(0, np.int32))
        return cls(
            offsets,
            np.concatenate([history.items for history in histories]),
            np.concatenate([history.actions for history in histories]),
            np.concatenate([history.times for history in histories]),
        )

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, user: int) -> History:
        """Return one user's history."""
        own = slice(int(self.offsets[user]), int(self.offsets[user + 1]))
        return History(self.items[own], self.actions[own], self.times[own])

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of steps of each user: int64 [n_users]."""
        return np.diff(self.offsets)

    def owners(self) -> NDArray[np.int64]:
        """Return the user of each step: int64 [total]."""
        return np.repeat(np.arange(len(self)), self.lengths())

    def take(self, users: NDArray[np.integer[Any]]) -> Histories:
        """Return the histories of the given users, in the given order."""
        lengths = self.lengths()[users]
        return self._spans(self.offsets[users], lengths)

    def newest(self, limit: int) -> Histories:
        """Return the same histories with only the newest `limit` steps of each user."""
        kept = np.minimum(self.lengths(), limit)
        return self._spans(self.offsets[1:] - kept, kept)

    def before(self, users: NDArray[np.integer[Any]], lengths: NDArray[np.integer[Any]]) -> Histories:
        """Return the oldest `lengths[k]` steps of user `users[k]`, for each k."""
        return self._spans(self.offsets[users], lengths)

    def where(self, kept: NDArray[np.bool_]) -> Histories:
        """Return the same histories with only the steps where `kept`, bool [total], is true."""
        counts = np.concatenate([[0], np.cumsum(kept)])
        return Histories(counts[self.offsets], self.items[kept], self.actions[kept], self.times[kept])

    def _spans(self, begins: NDArray[np.integer[Any]], lengths: NDArray[np.integer[Any]]) -> Histories:
        offsets = _offsets(lengths)
        # Each wanted step is its place within its span plus where that span begins.
        places = np.repeat(begins - offsets[:-1], lengths) + np.arange(offsets[-1])
        return Histories(offsets, self.items[places], self.actions[places], self.times[places])


@dataclass(frozen=True, slots=True)
class Interactions:
    """Who used what when, sorted by user and then time, rows of one time in the order they came in.

    Attributes:
        user: int32 [n], user indexes.
        item: int32 [n], item indexes.
        timestamp: int64 [n], seconds since 1970.
        action: uint8 [n], event types; see `History.actions`.
        streamed: bool [n], which were sent one by one and not imported; None where nobody knows.
    """

    user: NDArray[np.int32]
    item: ItemIndexes
    timestamp: Timestamps
    action: Actions
    streamed: NDArray[np.bool_] | None = None

    @classmethod
    def sort(
        cls,
        user: NDArray[np.integer[Any]],
        *,
        item: NDArray[np.integer[Any]],
        timestamp: NDArray[np.integer[Any]],
        action: NDArray[np.integer[Any]] | None = None,
        streamed: NDArray[np.bool_] | None = None,
    ) -> Interactions:
        """Make interactions of columns in any order; the sort is stable."""
        order = np.lexsort((timestamp, user))
        actions = np.zeros(len(user), np.uint8) if action is None else action[order].astype(np.uint8)
        return cls(
            user[order].astype(np.int32),
            item[order].astype(np.int32),
            timestamp[order].astype(np.int64),
            actions,
            None if streamed is None else streamed[order],
        )

    def __len__(self) -> int:
        return len(self.user)

    def where(self, kept: NDArray[np.bool_]) -> Interactions:
        """Return the rows where `kept`, bool [n], is true."""
        streamed = None if self.streamed is None else self.streamed[kept]
        return Interactions(self.user[kept], self.item[kept], self.timestamp[kept], self.action[kept], streamed)

    def histories(self, n_users: int) -> Histories:
        """Return what every user did, users without interactions included."""
        offsets = _offsets(np.bincount(self.user, minlength=n_users))
        return Histories(offsets, self.item, self.action, self.timestamp)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Everything that a recipe may learn from.

    Attributes:
        interactions: Sorted interactions.
        n_users: Users are 0 .. n_users - 1, some perhaps without interactions.
        n_items: Items are 0 .. n_items - 1, some perhaps without interactions.
        event_types: What `Interactions.action` stands for, from 1 on.
        items: Metadata of the items, n_items rows.
        users: Metadata of the users, n_users rows.
        event_weights: float32 [len(event_types) + 1], how much an interaction counts as something to be foretold, by
            its action; None where all count alike. Only ratios matter to a fit.
        context: Of the interactions; None where they have none.
    """

    interactions: Interactions
    n_users: int
    n_items: int
    event_types: tuple[str, ...] = ()
    items: Columns = field(default_factory=Columns)
    users: Columns = field(default_factory=Columns)
    event_weights: FloatArray | None = None
    context: Context | None = None

    def target_weights(self) -> FloatArray:
        """Return how much each interaction counts as something to be foretold: float32 [interactions]."""
        if self.event_weights is None:
            return np.ones(len(self.interactions), np.float32)
        return self.event_weights[self.interactions.action]

    def histories(self) -> Histories:
        """Return what every user did, oldest first."""
        return self.interactions.histories(self.n_users)

    def where(self, kept: NDArray[np.bool_]) -> TrainingData:
        """Return the same users and items with the interactions where `kept`, bool [n], is true."""
        context = None if self.context is None else self.context.where(kept)
        return replace(self, interactions=self.interactions.where(kept), context=context)


class FitProgress(Protocol):
    """Hears how a fit goes on; may raise to stop it (a lost lease, a stop asked for by the user)."""

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        """Take one report.

        Args:
            fraction: Share of the work that is done at most, 0 to 1; early stopping may end sooner.
            stage: What is going on, for a person, e.g. `epoch 3 of 100`.
            metrics: What was measured so far, e.g. `{"validation_ndcg_at_10": 0.17}`.
        """


def ignore_progress(*, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
    """Hear nothing: the default."""


class RecipeConfig(BaseModel):
    """Hyperparameters of a recipe: Personalize's names, ranges and defaults, then those that are our own.

    Attributes:
        feature_transformation: Names of those that solutions give as `featureTransformationParameters`; the others are
            `algorithmHyperParameters`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")
    feature_transformation: ClassVar[frozenset[str]] = frozenset()

    @classmethod
    def from_hyperparameters(cls, values: Mapping[str, str]) -> Self:
        """Read hyperparameters as they travel in the API, where every value is a string.

        Args:
            values: Those of both kinds together.

        Raises:
            InvalidInput: A name is not one of this recipe's, or a value is out of its range.
        """
        try:
            return cls.model_validate(dict(values))
        except ValidationError as error:
            known = ", ".join(cls.model_fields) or "no hyperparameters"
            violations = []
            for found in error.errors(include_url=False):
                name = ".".join(str(part) for part in found["loc"])
                want = f"one of {known}" if found["type"] == "extra_forbidden" else found["msg"]
                got = name if found["type"] == "extra_forbidden" else found["input"]
                member = "featureTransformationParameters" if name in cls.feature_transformation else _ALGORITHM
                violations.append(FieldViolation(f"{member}.{name}", f"got {got!r}, want {want}"))
            message = "; ".join(f"`{violation.field}`: {violation.description}" for violation in violations)
            raise InvalidInput(message, violations=violations) from error


@dataclass(frozen=True, slots=True)
class Adjustment:
    """What a history changes of the scores of a few items, beyond what vectors can tell.

    Attributes:
        items: int32 [k], all different.
        values: float32 [k], to be added to their scores.
    """

    items: ItemIndexes
    values: FloatArray

    @classmethod
    def nothing(cls) -> Adjustment:
        """Return an adjustment of no item."""
        return cls(np.empty(0, np.int32), np.empty(0, np.float32))


class Scorer(Protocol):
    """The serving side of a fitted recipe: NumPy only, immutable, safe to share between threads.

    Attributes:
        item_vectors: float32 [n_items, d].
    """

    item_vectors: FloatArray

    def query(self, history: History) -> FloatArray:
        """Make the vector of one history.

        Args:
            history: May be empty. Items that the model does not know (-1, or n_items and above) are passed over.

        Returns:
            float32 [d].
        """

    def queries(self, histories: Histories) -> FloatArray:
        """Make the vectors of many histories at once: float32 [number of histories, d]."""

    def adjust(self, history: History) -> Adjustment:
        """Work out which scores to change for a history: of items that were used already, or that often follow."""

    def save(self, folder: Path) -> None:
        """Write `item_vectors.npy` and this recipe's own `.npy` files into an existing folder."""


@runtime_checkable
class Updatable(Protocol):
    """A scorer that takes up new items and new histories without being fitted again."""

    def updated(self, before: NDArray[np.int64], histories: Histories) -> Scorer:
        """Return the same model for the catalogue as it is now.

        What was learnt stays as it is; what is merely counted is counted again.

        Args:
            before: int64 [n_items], the index that each item had when the model was fitted, -1 for new items.
            histories: What users did, by the present indexes; actions are numbered as they were.
        """


@runtime_checkable
class Favouring(Protocol):
    """A scorer that can be told to favour items."""

    def favouring(self, biases: FloatArray) -> Scorer:
        """Return the same model with float32 [n_items] added to every user's scores."""


@runtime_checkable
class Situated(Protocol):
    """A scorer that knows what context and users' columns add.

    Attributes:
        context: Of requests; None where nothing is known.
        people: Of users' columns; None where nothing is known. See `recipes.people`.
    """

    context: ContextTable | None
    people: PeopleTable | None


@runtime_checkable
class Influenced(Protocol):
    """A scorer that campaigns tell how much freshness and popularity count."""

    def influenced(self, *, freshness: float, popularity: float) -> Scorer:
        """Return the same model with these weights, 0 to 1, in place of those that it has."""


class Fitter(Protocol):
    """The learning side of a recipe, made for one training and used once.

    Attributes:
        report: What was measured on the way, e.g. `epochs`, `validation_ndcg_at_10`; filled by `fit`.
    """

    report: Mapping[str, float]

    def fit(self, data: TrainingData) -> Scorer:
        """Learn from the data; what validation needs is held out inside."""

    def extend(self, data: TrainingData) -> Scorer:
        """Continue from the fitted state on data that contain what was held out, for the model that is deployed.

        Call it after `fit`, with the same numbers of users and items.
        """


class FitterFactory(Protocol):
    """What a recipe's `fitter` path names."""

    def __call__(self, config: Any, *, seed: int, progress: FitProgress = ...) -> Fitter:
        """Make a fitter; the same seed, data, machine and versions give the same bytes."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """The declaration of a recipe: everything about it that can be known without loading its code.

    Attributes:
        name: Personalize's name, e.g. `aws-user-personalization-v2`.
        family: The folder under `recipes`.
        recipe_type: Personalize's type.
        config: The class of its hyperparameters.
        fitter: `module:attribute` of its `FitterFactory`. A path, because its module imports JAX, which serving does
            not have.
        scorer: `module:attribute` of the function that opens a saved scorer.
        returns_scores: Whether responses carry scores.
        uses_history: Whether a user's history changes the recommendations, hence whether events do at once.
        max_history: Newest interactions of a user that the scorer can make use of, more than a network reads, so that
            older items are known as repeats too; stored for every user.
        exploration: Who explores new items, if anybody.
        uses_context: Whether metadata columns of the interactions are learnt from, and requests may give them.
        uses_users: Whether the users' columns are learnt from; users who have some are known without interactions too.
        counts_events: Whether the recommendations follow from what everybody did a moment ago: a runtime then counts
            events by item and asks the scorer's `trend`; see `recipes.trending.score`.
        fit_metrics: Metrics that the fitter measures on newest data that it hides itself, by their names in its report;
            those of the popularity baseline stand beside them with `popularity_` in front.
        domain: For recommenders of this domain only; None for custom solutions.
        event_type: The only type of interactions that it learns from, in any case; None for all.
        needs_items: Whether there must be an Items dataset.
        learns_from: What a training cannot do without: interactions, or items with names and texts.
    """

    name: str
    family: str
    recipe_type: RecipeType
    config: type[RecipeConfig]
    fitter: str
    scorer: str
    returns_scores: bool = False
    uses_history: bool = False
    max_history: int = 1000
    exploration: Exploration = "none"
    uses_context: bool = False
    uses_users: bool = False
    counts_events: bool = False
    fit_metrics: tuple[str, ...] = ()
    domain: Domain | None = None
    event_type: str | None = None
    needs_items: bool = False
    learns_from: Literal["interactions", "items"] = "interactions"


def _offsets(lengths: NDArray[np.integer[Any]]) -> Offsets:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
