"""Serving Next-Best-Action: the propensity of a user for each action, and the actions that may be recommended now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.data.columns import NO_TIME
from recipes.data.histories import FloatArray, Histories, History, Offsets, Timestamps
from recipes.models.action_propensity.data import DAY, Actions
from recipes.models.action_propensity.features import ACTION_FEATURES, Past, features, item_states
from recipes.models.action_propensity.logistic_regression import sigmoid
from recipes.ports import ScoreDelta

__all__ = ["ActionPropensityScorer", "load"]

_ARRAYS: Final = (
    "item_vectors", "coefficients", "bounds", "trained", "action_value", "action_expiration", "action_repeat_days",
    "action_totals", "own_offsets", "own_actions", "own_counts", "own_last", "user_content",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class ActionPropensityScorer:
    """See `recipes.ports.ItemScorer`: a history's vector is the user's state as far as it follows from items.

    Attributes:
        item_vectors: float32 [n_items, d + 2]; the last two coordinates are 0, as they describe histories.
        coefficients: float32 [n_actions, d + 1 + c + ACTION_FEATURES]; see `features.features`.
        bounds: float32 [2, d + 1 + c + ACTION_FEATURES], least and largest of each feature that was learnt from.
        trained: bool [n_actions], those with enough events; the others have propensity 0.
        actions: Their own rules.
        totals: float32 [n_users, 2], actions that each user took and did not take.
        own_offsets: int64 [n_users + 1]; user u owns the entries `own_offsets[u]` to `own_offsets[u + 1] - 1`.
        own_actions: int32 [entries], actions that the user had to do with.
        own_counts: float32 [entries, 2], how often it was taken and not.
        own_last: int64 [entries], when last, in seconds since 1970.
        user_content: float32 [n_users, c], the content of each user's columns; 0 where nothing is known.
    """

    item_vectors: FloatArray
    coefficients: FloatArray
    bounds: FloatArray
    trained: NDArray[np.bool_]
    actions: Actions
    totals: FloatArray
    own_offsets: Offsets
    own_actions: NDArray[np.int32]
    own_counts: FloatArray
    own_last: Timestamps
    user_content: FloatArray

    def embed_history(self, history: History) -> FloatArray:
        """Make the state of one history: float32 [d + 2]."""
        state: FloatArray = self.embed_histories(Histories.gather([history]))[0]
        return state

    def embed_histories(self, histories: Histories) -> FloatArray:
        """Make the states of many histories: float32 [number of histories, d + 2]."""
        in_catalogue = (histories.items >= 0) & (histories.items < len(self.item_vectors))
        inside = histories if in_catalogue.all() else histories.where(in_catalogue)
        return item_states(inside, self.item_vectors[:, :-2])

    def score_deltas(self, history: History) -> ScoreDelta:  # noqa: ARG002 -- the port's signature
        """Return no deltas: a history changes no score here."""
        return ScoreDelta.nothing()

    def propensities(self, state: FloatArray, *, user: int | None, now: float) -> FloatArray:
        """Return how likely a user takes each action.

        Args:
            state: float32 [d + 2], from `embed_history`.
            user: Index of the user; None for one who was not known at the training.
            now: Seconds since 1970.

        Returns:
            float32 [n_actions], 0 to 1, each for itself; 0 for actions with too few events.
        """
        n_actions = len(self.actions)
        rows = features(np.broadcast_to(state, (n_actions, len(state))), self._past(user), now=np.full(n_actions, now))
        return self.shares(rows, np.arange(n_actions)).astype(np.float32)

    def shares(self, rows: NDArray[np.float64], action: NDArray[np.integer[Any]]) -> NDArray[np.float64]:
        """Return how likely actions are taken, given the features.

        Nothing is known beyond what was learnt from, so features are cut to that range: a longer pause than any that
        was seen counts as the longest.

        Args:
            rows: float64 [n, f], see `features.features`.
            action: int [n].

        Returns:
            float64 [n].
        """
        scores = (np.clip(rows, *self.bounds) * self.coefficients[action]).sum(axis=1)
        return np.where(self.trained[action], sigmoid(scores), 0.0)

    def recommend(
        self,
        state: FloatArray,
        *,
        user: int | None,
        now: float,
        limit: int,
        since: Mapping[int, int] = MappingProxyType({}),
    ) -> tuple[NDArray[np.int64], FloatArray]:
        """Return the actions to recommend, most likely first, equally likely ones by value, and their propensities.

        Expired actions, and those that the user had to do with less than their REPEAT_FREQUENCY ago, are left out.
        """
        scores = self.propensities(state, user=user, now=now)
        rules, last = self.actions, self._past(user).own_last
        for action, seconds in since.items():
            last[action] = max(last[action], seconds)
        allowed = (rules.expiration < 0) | (rules.expiration > now)
        allowed &= (last == NO_TIME) | (now - last >= rules.repeat_days * DAY)
        order = np.lexsort((-rules.value, -scores))
        chosen = order[allowed[order]][:limit]
        return chosen, scores[chosen]

    def _past(self, user: int | None) -> Past:
        n_actions = len(self.actions)
        counts, last = np.zeros((n_actions, 2), np.float32), np.full(n_actions, NO_TIME)
        taken, others = np.float32(0.0), np.float32(0.0)
        content = np.zeros(self.user_content.shape[1], np.float32)
        if user is not None:
            span = slice(int(self.own_offsets[user]), int(self.own_offsets[user + 1]))
            counts[self.own_actions[span]], last[self.own_actions[span]] = self.own_counts[span], self.own_last[span]
            (taken, others), content = self.totals[user], self.user_content[user]
        return Past(
            np.full(n_actions, taken, np.float32), np.full(n_actions, others, np.float32), counts[:, 0], counts[:, 1],
            last, np.broadcast_to(content, (n_actions, len(content))),
        )  # fmt: skip

    def save(self, folder: Path) -> None:
        """Write the arrays into an existing folder."""
        rules = self.actions
        arrays: tuple[NDArray[Any], ...] = (
            self.item_vectors, self.coefficients, self.bounds, self.trained, rules.value, rules.expiration,
            rules.repeat_days, self.totals, self.own_offsets, self.own_actions, self.own_counts, self.own_last,
            self.user_content,
        )  # fmt: skip
        save_arrays(folder, dict(zip(_ARRAYS, arrays, strict=True)))


def load(folder: Path) -> ActionPropensityScorer:
    """Open a saved scorer.

    Raises:
        CorruptArtifact: A file is missing, cannot be read or does not fit the others.
    """
    arrays = map_arrays(folder, _ARRAYS).values()
    (
        vectors,
        coefficients,
        bounds,
        trained,
        value,
        expiration,
        repeat,
        totals,
        offsets,
        user_actions,
        user_counts,
        last_contact,
        user_features,
    ) = arrays
    width = vectors.shape[1] - 1 + user_features.shape[-1] + ACTION_FEATURES
    entries = int(offsets[-1]) if len(offsets) else -1
    facts = {
        "coefficients.npy": (coefficients.shape, (len(value), width)),
        "bounds.npy": (bounds.shape, (2, coefficients.shape[-1])),
        "trained.npy": (trained.shape, value.shape),
        "action_expiration.npy": (expiration.shape, value.shape),
        "action_repeat_days.npy": (repeat.shape, value.shape),
        "action_totals.npy": (totals.shape, (len(offsets) - 1, 2)),
        "own_actions.npy": (user_actions.shape, (entries,)),
        "own_counts.npy": (user_counts.shape, (entries, 2)),
        "own_last.npy": (last_contact.shape, (entries,)),
        "user_content.npy": (user_features.shape[:1], (len(offsets) - 1,)),
    }
    for name, (got, want) in facts.items():
        if got != want:
            raise CorruptArtifact(f"`{name}`: got {got}, want {want}, as the other files tell")
    return ActionPropensityScorer(
        vectors, coefficients, bounds, trained, Actions(value, expiration, repeat), totals, offsets, user_actions,
        user_counts, last_contact, user_features,
    )  # fmt: skip
