"""What Next-Best-Action learns from besides item interactions: actions, and who took or did not take them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from recipes.data.columns import NO_TIME
from recipes.data.histories import FloatArray, Timestamps
from recipes.data.training_data import TrainingData

__all__ = ["DAY", "ActionData", "ActionEvents", "Actions", "trainable_actions"]

DAY: Final = 86_400
#: Events of each kind that an action needs, and the days before the newest action event that they must lie in.
_NEEDED, _WINDOW_DAYS = 50, 42


@dataclass(frozen=True, slots=True)
class Actions:
    """The actions' own rules.

    Attributes:
        value: float32 [n_actions], 1 to 10, 0 where there is none; breaks ties.
        expiration: int64 [n_actions], seconds since 1970 from which on the action is not recommended; -1 for never.
        repeat_days: int64 [n_actions], days after an interaction during which it is not recommended again; 0 for none.
    """

    value: FloatArray
    expiration: Timestamps
    repeat_days: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.value)


@dataclass(frozen=True, slots=True)
class ActionEvents:
    """Who did what with which action when, sorted by time.

    Attributes:
        user: int32 [n].
        action: int32 [n].
        taken: bool [n], TAKEN; otherwise NOT_TAKEN or VIEWED.
        timestamp: int64 [n], seconds since 1970.
    """

    user: NDArray[np.int32]
    action: NDArray[np.int32]
    taken: NDArray[np.bool_]
    timestamp: Timestamps

    @classmethod
    def sort(
        cls, user: NDArray[Any], *, action: NDArray[Any], taken: NDArray[np.bool_], timestamp: NDArray[Any]
    ) -> ActionEvents:
        """Make events of columns in any order."""
        order = np.argsort(timestamp, kind="stable")
        return cls(
            user[order].astype(np.int32), action[order].astype(np.int32), taken[order],
            timestamp[order].astype(np.int64),
        )  # fmt: skip

    def __len__(self) -> int:
        return len(self.user)

    def where(self, kept: NDArray[np.bool_]) -> ActionEvents:
        """Return the rows where `kept`, bool [n], is true."""
        return ActionEvents(self.user[kept], self.action[kept], self.taken[kept], self.timestamp[kept])


@dataclass(frozen=True, slots=True)
class ActionData:
    """What users did with items and with actions.

    Attributes:
        items: Interactions of all users with items; some users may have none.
        actions: The actions' own rules.
        events: What users did with actions.
    """

    items: TrainingData
    actions: Actions
    events: ActionEvents

    def of_users(self, kept: NDArray[np.bool_]) -> ActionData:
        """Return the same users with what those did for whom `kept`, bool [n_users], is true."""
        return replace(
            self,
            items=self.items.where(kept[self.items.interactions.user]),
            events=self.events.where(kept[self.events.user]),
        )


def trainable_actions(events: ActionEvents, *, n_actions: int) -> NDArray[np.bool_]:
    """Return which actions have enough events to learn from: bool [n_actions].

    Personalize's rule: 50 that were TAKEN and 50 that were not, within six weeks before the newest action event.
    """
    late = events.timestamp.max(initial=NO_TIME) - events.timestamp <= _WINDOW_DAYS * DAY
    taken = np.bincount(events.action[late & events.taken], minlength=n_actions)
    others = np.bincount(events.action[late & ~events.taken], minlength=n_actions)
    enough: NDArray[np.bool_] = (taken >= _NEEDED) & (others >= _NEEDED)
    return enough
