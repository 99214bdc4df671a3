"""What users did until the training, each item once for every type of event: what filters know of the past.

Models learn from a part of the interactions, of some types or of the newest of each user. Filters count all of them, so
artifacts carry this table beside the histories: of everybody who did anything, with everything that anything was done
with, also where the model knows neither. Of each entry it says how many events of its user and type came later, so that
a window of the newest events can be laid over it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from common.vocabulary import Vocabulary
from recipes.data.histories import ItemIndexes

__all__ = ["MAX_LATER", "PAST_ACTIONS", "PAST_ITEMS", "PastEvents"]

#: What the names of the files begin with: of interactions with items, and with actions.
PAST_ITEMS: Final = "past"
PAST_ACTIONS: Final = "past_action"
#: Later events are counted up to this number.
MAX_LATER: Final = 65_535
_ARRAYS: Final = ("user_groups", "group_types", "group_starts", "items", "later")
_USERS, _ITEMS, _TYPES = "users", "things", "types"


@dataclass(frozen=True, slots=True, eq=False)
class PastEvents:
    """See the module. The entries of one user and one type are a group; those of a user lie beside each other.

    Build one with `PastEvents.build`, or open a saved one with `PastEvents.load`.

    Attributes:
        users: Ids of the model, which own the first groups.
        other_users: Ids of users whom the model does not know, which own the others.
        n_items: Items, or actions, that the model knows.
        other_items: Ids of those that it does not know: item `n_items` + k is the k-th of them.
        types: Types of events as filters compare them; the type of a group is a place in it.
        user_groups: int64 [users and other users + 1]; user u owns the groups `user_groups[u]` to
            `user_groups[u + 1] - 1`.
        group_types: uint16 [groups].
        group_starts: int64 [groups + 1]; group g owns the entries `group_starts[g]` to `group_starts[g + 1] - 1`.
        items: int32 [entries], ascending in each group, each once.
        later: uint16 [entries], how many events of the user and the type came after the last with the item.
    """

    users: Vocabulary
    other_users: Vocabulary
    n_items: int
    other_items: Vocabulary
    types: tuple[str, ...]
    user_groups: NDArray[np.int64]
    group_types: NDArray[np.uint16]
    group_starts: NDArray[np.int64]
    items: ItemIndexes
    later: NDArray[np.uint16]

    @classmethod
    def build(
        cls,
        users: Vocabulary,
        *,
        n_items: int,
        other_users: Sequence[str] = (),
        other_items: Sequence[str] = (),
        types: Sequence[str] = (),
        entries: tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]] | None = None,
    ) -> PastEvents:
        """Put entries into groups.

        Args:
            users: Ids of the model.
            n_items: Items that the model knows.
            other_users: Ids that it does not know, numbered behind those.
            other_items: The same of items.
            types: Types of events, 65,536 at most.
            entries: User, place of the type, item and later events of each entry, int [entries]; all different but for
                the last. None for no entries.
        """
        nothing = np.empty(0, np.int64)
        user, kind, item, later = entries or (nothing,) * 4
        order = np.lexsort((item, kind, user))
        user, kind = user[order], kind[order]
        begins = np.ones(len(order), bool)
        begins[1:] = (user[1:] != user[:-1]) | (kind[1:] != kind[:-1])
        starts = np.flatnonzero(begins)
        owners = np.bincount(user[starts], minlength=len(users) + len(other_users))
        return cls(
            users,
            Vocabulary.build(other_users),
            n_items,
            Vocabulary.build(other_items),
            tuple(types),
            np.concatenate([np.zeros(1, np.int64), np.cumsum(owners, dtype=np.int64)]),
            kind[starts].astype(np.uint16),
            np.append(starts, len(order)).astype(np.int64),
            item[order].astype(np.int32),
            np.minimum(later[order], MAX_LATER).astype(np.uint16),
        )

    def of_user(
        self, user_id: str, types: frozenset[str] | None, *, window: int | None, newer: Mapping[str, int]
    ) -> dict[str, ItemIndexes]:
        """Return the items that a user had to do with, by type of event: int32 [k] each.

        Args:
            user_id: The user, known or not.
            types: The types to return; None for all.
            window: The newest events of each type alone count; None for all.
            newer: By type how many of them came after the training.
        """
        user = self.users.index(user_id)
        if user is None:
            other = self.other_users.index(user_id)
            if other is None:
                return {}
            user = len(self.users) + other
        first, last = self.user_groups[user : user + 2].tolist()
        by_type = {}
        for kind, start, stop in zip(
            self.group_types[first:last].tolist(),
            self.group_starts[first:last].tolist(),
            self.group_starts[first + 1 : last + 1].tolist(),
            strict=True,
        ):
            name = self.types[kind]
            if types is not None and name not in types:
                continue
            items = self.items[start:stop]
            if window is not None:
                items = items[self.later[start:stop] < max(0, window - newer.get(name, 0))]
            by_type[name] = items
        return by_type

    def save(self, folder: Path, name: str) -> None:
        """Write the files, whose names begin with `name`, into an existing folder."""
        self.other_users.save(folder, f"{name}_{_USERS}")
        self.other_items.save(folder, f"{name}_{_ITEMS}")
        Vocabulary.build(self.types).save(folder, f"{name}_{_TYPES}")
        save_arrays(folder, {f"{name}_{part}": getattr(self, part) for part in _ARRAYS})

    @classmethod
    def load(cls, folder: Path, name: str, *, users: Vocabulary, n_items: int) -> PastEvents:
        """Map a saved table; its pages are read when they are first needed.

        Args:
            folder: Of the files.
            name: What their names begin with.
            users: Ids of the model.
            n_items: Items that the model knows.

        Raises:
            CorruptArtifact: A file is missing or unreadable, or they do not belong together.
        """
        arrays = map_arrays(folder, [f"{name}_{part}" for part in _ARRAYS])
        other_users, other_items, types = (
            Vocabulary.load(folder, f"{name}_{part}") for part in (_USERS, _ITEMS, _TYPES)
        )
        groups, kinds, starts, items, later = arrays.values()
        n_groups = int(groups[-1]) if len(groups) else -1
        n_entries = int(starts[-1]) if len(starts) else -1
        facts = {
            "user_groups": (groups.shape, (len(users) + len(other_users) + 1,)),
            "group_types": (kinds.shape, (n_groups,)),
            "group_starts": (starts.shape, (n_groups + 1,)),
            "items": (items.shape, (n_entries,)),
            "later": (later.shape, (n_entries,)),
        }
        for part, (got, want) in facts.items():
            if got != want:
                raise CorruptArtifact(f"`{name}_{part}.npy`: got {got}, want {want}, as the other files tell")
        for part, numbers, count in (
            ("group_types", kinds, len(types)),
            ("items", items, n_items + len(other_items)),
        ):
            if len(numbers) and not 0 <= int(numbers.min()) <= int(numbers.max()) < count:
                raise CorruptArtifact(f"`{name}_{part}.npy`: got numbers out of range, want 0 to {count - 1}")
        return cls(
            users, other_users, n_items, other_items, tuple(types.ids(range(len(types)))), groups, kinds, starts,
            items, later,
        )  # fmt: skip
