"""A user's state as numbers: what is known at a moment about the user, items and one action.

The part that follows from items is a vector that the runtime makes of the history, as of any recipe: the mean of the
vectors of the newest items, the logarithm of their number, and the day of the last one. The rest is about actions and
follows from tables.
"""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipes.data.columns import NO_TIME
from recipes.data.histories import FloatArray, Histories, Timestamps
from recipes.models.action_propensity.data import DAY, ActionEvents

__all__ = ["ACTION_FEATURES", "NEWEST", "Past", "features", "item_states", "past_of", "past_of_all"]

#: Newest items whose vectors are averaged.
NEWEST: Final = 50
#: Features besides those of the item state: the intercept, recency of items, of actions, and counts of actions.
ACTION_FEATURES: Final = 8


class Past(NamedTuple):
    """What was done with actions before a moment, for each row.

    Attributes:
        taken: float32 [n], number of actions that the user took.
        others: float32 [n], number of actions that the user saw and did not take.
        own_taken: float32 [n], how often the user took this action.
        own_others: float32 [n], how often the user saw it and did not take it.
        own_last: int64 [n], when the user last saw or took this action, in seconds since 1970; `NO_TIME` for never.
        content: float32 [n, c], the content of the user's columns, which does not change; 0 where nothing is known.
    """

    taken: FloatArray
    others: FloatArray
    own_taken: FloatArray
    own_others: FloatArray
    own_last: Timestamps
    content: FloatArray


def item_states(histories: Histories, item_vectors: FloatArray) -> FloatArray:
    """Make the states of many histories.

    Args:
        histories: Of known items only.
        item_vectors: float32 [n_items, d].

    Returns:
        float32 [number of histories, d + 2]: the mean vector of the newest items, log(1 + number of steps), and the
        day since 1970 of the last step, 0 without any.
    """
    newest = histories.newest(NEWEST)
    width, lengths = item_vectors.shape[1], newest.lengths()
    states = np.zeros((len(histories), width + 2), np.float32)
    used = np.flatnonzero(lengths)
    if len(used):
        sums = np.add.reduceat(item_vectors[newest.items], newest.offsets[used], axis=0)
        states[used, :width] = sums / lengths[used, None]
        states[used, width + 1] = newest.times[newest.offsets[used + 1] - 1] / DAY
    states[:, width] = np.log1p(histories.lengths())
    return states


def features(states: FloatArray, past: Past, *, now: NDArray[np.float64]) -> NDArray[np.float64]:
    """Put the features together.

    Args:
        states: float32 [n, s], from `item_states`.
        past: What was done with actions before, of the same rows.
        now: float64 [n], seconds since 1970.

    Returns:
        float64 [n, s - 1 + c + ACTION_FEATURES].
    """
    days = now / DAY
    # By the number of steps: the day is 0 also for those of the first of January 1970.
    seen = states[:, -2] > 0
    silence = np.where(seen, np.log1p(np.clip(days - states[:, -1], 0, None)), 0.0)
    had_contact = past.own_last != NO_TIME
    pause = np.where(had_contact, np.log1p(np.clip(days - past.own_last / DAY, 0, None)), 0.0)
    return np.column_stack(
        [
            states[:, :-1], past.content, np.ones(len(states)), silence, np.log1p(past.taken), np.log1p(past.others),
            np.log1p(past.own_taken), np.log1p(past.own_others), had_contact, pause,
        ]
    )  # fmt: skip


def past_of(events: ActionEvents, *, n_actions: int, user_features: FloatArray) -> Past:
    """Return what each event's user had done before it with actions and with its action.

    Args:
        events: What users did with actions, by time.
        n_actions: Number of actions.
        user_features: float32 [n_users, c], the content of the users' columns.
    """
    pair = events.user.astype(np.int64) * n_actions + events.action
    own_taken, own_others, own_last = _before(pair, events)
    taken, others, _ = _before(events.user.astype(np.int64), events)
    return Past(taken, others, own_taken, own_others, own_last, user_features[events.user])


def past_of_all(events: ActionEvents, *, n_users: int, n_actions: int) -> tuple[FloatArray, ActionEvents, FloatArray]:
    """Summarise what all users did, for serving.

    Returns:
        float32 [n_users, 2], actions taken and not taken; the last event of each pair of user and action, by pair; and
        float32 [pairs, 2], how often it was taken and not.
    """
    totals = np.stack(
        [np.bincount(events.user[events.taken == taken], minlength=n_users) for taken in (True, False)], axis=1
    ).astype(np.float32)
    pair = events.user.astype(np.int64) * n_actions + events.action
    order = np.argsort(pair, kind="stable")
    ends = np.flatnonzero(np.diff(pair[order], append=-1))
    ids = np.repeat(np.arange(len(ends)), np.diff(ends, prepend=-1))
    taken = events.taken[order]
    counts = np.stack(
        [np.bincount(ids[taken], minlength=len(ends)), np.bincount(ids[~taken], minlength=len(ends))], axis=1
    ).astype(np.float32)
    last = order[ends]
    return (
        totals,
        ActionEvents(events.user[last], events.action[last], events.taken[last], events.timestamp[last]),
        counts,
    )


def _before(key: NDArray[np.int64], events: ActionEvents) -> tuple[FloatArray, FloatArray, Timestamps]:
    """Count, for each event, the earlier events of the same key: taken, not taken, and when the last one was."""
    order = np.argsort(key, kind="stable")
    sorted_key, taken = key[order], events.taken[order].astype(np.int64)
    begins = np.diff(sorted_key, prepend=-1) != 0
    first = np.maximum.accumulate(np.where(begins, np.arange(len(order)), 0))
    sums = np.concatenate([[0], np.cumsum(taken)])
    earlier_taken = sums[:-1] - sums[first]
    earlier = np.arange(len(order)) - first
    shifted = np.concatenate([[NO_TIME], events.timestamp[order][:-1]]) if len(order) else NO_TIME
    last = np.where(begins, NO_TIME, shifted)
    counts = [np.empty(len(order), np.float32), np.empty(len(order), np.float32)]
    counts[0][order], counts[1][order] = earlier_taken, earlier - earlier_taken
    times = np.empty(len(order), np.int64)
    times[order] = last
    return counts[0], counts[1], times
