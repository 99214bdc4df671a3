"""From events to what is learnt from: the state of a user at an event, and whether the action was taken soon."""

from __future__ import annotations

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recipes.data.histories import FloatArray, Histories
from recipes.models.action_propensity.data import DAY, ActionData, ActionEvents
from recipes.models.action_propensity.features import features, item_states, past_of

__all__ = ["Samples", "make_samples"]

#: States computed at once; each needs a copy of its history.
_CHUNK: Final = 4096


class Samples(NamedTuple):
    """Rows to learn from, in the order of their time.

    Attributes:
        rows: float64 [n, f], see `features.features`.
        taken: bool [n], the labels.
        action: int32 [n].
        user: int32 [n].
    """

    rows: NDArray[np.float64]
    taken: NDArray[np.bool_]
    action: NDArray[np.int32]
    user: NDArray[np.int32]

    def where(self, kept: NDArray[np.bool_]) -> Samples:
        """Return the rows where `kept`, bool [n], is true."""
        return Samples(self.rows[kept], self.taken[kept], self.action[kept], self.user[kept])


def make_samples(data: ActionData, item_vectors: FloatArray, user_features: FloatArray, *, period_days: int) -> Samples:
    """Make a sample of each event.

    An action that was shown and taken within the period is one sample, the taking; the showing before is left out.

    Args:
        data: What users did with items and actions.
        item_vectors: float32 [n_items, d].
        user_features: float32 [n_users, c], the content of the users' columns.
        period_days: The optimization period.
    """
    events, n_actions = data.events, len(data.actions)
    past = past_of(events, n_actions=n_actions, user_features=user_features)
    rows = features(_states_before(data, item_vectors), past, now=events.timestamp.astype(float))
    samples = Samples(rows, events.taken, events.action, events.user)
    return samples.where(events.taken | ~_taken_soon(events, n_actions=n_actions, seconds=period_days * DAY))


def _states_before(data: ActionData, item_vectors: FloatArray) -> FloatArray:
    """Return the item state of each event's user just before it: float32 [n, d + 2]."""
    events, histories = data.events, data.items.histories()
    lengths = _steps_before(events, histories)
    states = [
        item_states(histories.before(events.user[part], lengths[part]), item_vectors)
        for part in (slice(begin, begin + _CHUNK) for begin in range(0, len(events), _CHUNK))
    ]
    return np.concatenate([np.empty((0, item_vectors.shape[1] + 2), np.float32), *states])


def _steps_before(events: ActionEvents, histories: Histories) -> NDArray[np.int64]:
    """Count the steps of each event's user that are older than the event: int64 [n]."""
    times = np.concatenate([histories.times, events.timestamp])
    if not len(times):
        return np.empty(0, np.int64)
    first, span = int(times.min()), int(np.ptp(times)) + 1
    # Steps are sorted by user and then time, so one number orders them, and events are looked up in it.
    keys = histories.owners() * span + (histories.times - first)
    places = np.searchsorted(keys, events.user.astype(np.int64) * span + (events.timestamp - first))
    return places - histories.offsets[events.user]


def _taken_soon(events: ActionEvents, *, n_actions: int, seconds: int) -> NDArray[np.bool_]:
    """Say of each event whether its user takes its action after it, at most so many seconds later: bool [n]."""
    pair = events.user.astype(np.int64) * n_actions + events.action
    order = np.argsort(pair, kind="stable")
    never = np.iinfo(np.int64).max
    # Backwards through each pair's events: the time of the nearest later taking.
    times = np.where(events.taken[order], events.timestamp[order], never)[::-1]
    groups = np.cumsum(np.diff(pair[order][::-1], prepend=-1) != 0)
    later = np.full(len(order), never)
    nearest: dict[int, int] = {}
    for place, (group, time) in enumerate(zip(groups.tolist(), times.tolist(), strict=True)):
        later[place] = nearest.get(group, never)
        if time != never:
            nearest[group] = time
    soon = np.empty(len(order), bool)
    soon[order] = (later[::-1] != never) & (later[::-1] - events.timestamp[order] <= seconds)
    return soon
