"""What a recipe is: the data it learns from, the fitter that learns, and the scorer that serves.

Every recipe is served in one way: the score of an item for a history is the inner product of the item's vector with the
vector that the scorer makes of the history, plus `repeat_bias` where the item is already in the history. So one index,
one runtime and one evaluation serve all recipes, and a bias of an item is a coordinate of its vector.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, Protocol, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from common.errors import FieldViolation, InvalidInput

__all__ = [
    "FitProgress",
    "Fitter",
    "FitterFactory",
    "FloatArray",
    "Histories",
    "Interactions",
    "ItemIndexes",
    "Offsets",
    "Recipe",
    "RecipeConfig",
    "RecipeType",
    "Scorer",
    "TrainingData",
    "ignore_progress",
]

FloatArray = NDArray[np.float32]
ItemIndexes = NDArray[np.int32]
Offsets = NDArray[np.int64]

#: Personalize's types of recipes.
RecipeType = Literal[
    "USER_PERSONALIZATION", "POPULAR_ITEMS", "PERSONALIZED_RANKING", "RELATED_ITEMS", "USER_SEGMENTATION"
]


@dataclass(frozen=True, slots=True)
class Histories:
    """The items of many users, one after another.

    Attributes:
        offsets: int64 [n_users + 1]; user u owns `items[offsets[u]:offsets[u + 1]]`.
        items: int32 [total], item indexes, oldest first.
    """

    offsets: Offsets
    items: ItemIndexes

    def __len__(self) -> int:
        return len(self.offsets) - 1

    def of(self, user: int) -> ItemIndexes:
        """Return one user's items, oldest first: int32 [m]."""
        return self.items[self.offsets[user] : self.offsets[user + 1]]

    def lengths(self) -> NDArray[np.int64]:
        """Return the number of items of each user: int64 [n_users]."""
        return np.diff(self.offsets)

    def take(self, users: NDArray[np.integer[Any]]) -> Histories:
        """Return the histories of the given users, in the given order."""
        lengths = self.lengths()[users]
        offsets = _offsets(lengths)
        # Each wanted position is its place within its user plus where that user begins.
        starts = np.repeat(self.offsets[users] - offsets[:-1], lengths)
        return Histories(offsets, self.items[starts + np.arange(offsets[-1])])

    def newest(self, limit: int) -> Histories:
        """Return the same histories with only the newest `limit` items of each user."""
        lengths = self.lengths()
        kept = np.minimum(lengths, limit)
        offsets = _offsets(kept)
        starts = np.repeat(self.offsets[1:] - kept - offsets[:-1], kept)
        return Histories(offsets, self.items[starts + np.arange(offsets[-1])])


@dataclass(frozen=True, slots=True)
class Interactions:
    """Who used what when, sorted by user and then time, rows of one time in the order they came in.

    Attributes:
        user: int32 [n], user indexes.
        item: int32 [n], item indexes.
        timestamp: int64 [n], seconds since 1970.
    """

    user: NDArray[np.int32]
    item: ItemIndexes
    timestamp: NDArray[np.int64]

    @classmethod
    def sort(
        cls, user: NDArray[np.integer[Any]], *, item: NDArray[np.integer[Any]], timestamp: NDArray[np.integer[Any]]
    ) -> Interactions:
        """Make interactions of columns in any order; the sort is stable."""
        order = np.lexsort((timestamp, user))
        return cls(user[order].astype(np.int32), item[order].astype(np.int32), timestamp[order].astype(np.int64))

    def __len__(self) -> int:
        return len(self.user)

    def where(self, kept: NDArray[np.bool_]) -> Interactions:
        """Return the rows where `kept`, bool [n], is true."""
        return Interactions(self.user[kept], self.item[kept], self.timestamp[kept])

    def histories(self, n_users: int) -> Histories:
        """Return every user's items, users without interactions included."""
        return Histories(_offsets(np.bincount(self.user, minlength=n_users)), self.item)


@dataclass(frozen=True, slots=True)
class TrainingData:
    """Everything that a recipe may learn from.

    Attributes:
        interactions: Sorted interactions.
        n_users: Users are 0 .. n_users - 1, some perhaps without interactions.
        n_items: Items are 0 .. n_items - 1, some perhaps without interactions.
    """

    interactions: Interactions
    n_users: int
    n_items: int

    def histories(self) -> Histories:
        """Return every user's items, oldest first."""
        return self.interactions.histories(self.n_users)


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
    """Hyperparameters of a recipe: Personalize's names, ranges and defaults, then those that are our own."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    @classmethod
    def from_hyperparameters(cls, values: Mapping[str, str]) -> Self:
        """Read hyperparameters as they travel in the API, where every value is a string.

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
                violations.append(FieldViolation(f"algorithmHyperParameters.{name}", f"got {got!r}, want {want}"))
            message = "; ".join(f"`{violation.field}`: {violation.description}" for violation in violations)
            raise InvalidInput(message, violations=violations) from error


class Scorer(Protocol):
    """The serving side of a fitted recipe: NumPy only, immutable, safe to share between threads.

    Attributes:
        item_vectors: float32 [n_items, d].
        repeat_bias: Added to the score of items that are already in the history. Learnt from the data: clearly negative
            where users never come back to an item, about zero where the vectors tell it all, positive where they do.
    """

    item_vectors: FloatArray
    repeat_bias: float

    def query(self, history: ItemIndexes) -> FloatArray:
        """Make the vector of one history.

        Args:
            history: int32 [m], item indexes, oldest first; may be empty. Indexes that the model does not know (-1, or
                n_items and above) are passed over.

        Returns:
            float32 [d].
        """

    def queries(self, histories: Histories) -> FloatArray:
        """Make the vectors of many histories at once: float32 [number of histories, d]."""

    def save(self, folder: Path) -> None:
        """Write `item_vectors.npy` and this recipe's own `.npy` files into an existing folder."""


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
        max_history: Newest interactions of a user that the scorer can make use of; stored for every user.
    """

    name: str
    family: str
    recipe_type: RecipeType
    config: type[RecipeConfig]
    fitter: str
    scorer: str
    returns_scores: bool
    uses_history: bool
    max_history: int


def _offsets(lengths: NDArray[np.integer[Any]]) -> Offsets:
    offsets = np.zeros(len(lengths) + 1, np.int64)
    np.cumsum(lengths, out=offsets[1:])
    return offsets
