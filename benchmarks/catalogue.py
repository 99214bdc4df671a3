"""Generated data of any number of items, as popular as those of real catalogues, for measurements of serving.

The n-th item is used in proportion to 1 / (n + 10), half of what a user does lies near a place of the user's own, and
items that are near one another share a genre. So histories have as many different items, and items as many followers,
as those of real data of this size; that every item is used is not promised.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from cli.demo.items import DemoData, Interaction, Item, User

__all__ = ["catalogue"]

_GENRES: Final = tuple(f"Genre {number}" for number in range(1, 21))
_START: Final = 1_700_000_000
#: Half of what a user does is at most so many items away from the user's place.
_NEAR: Final = 200


def catalogue(items: int, *, users: int = 4000, events: int = 50, seed: int = 1) -> DemoData:
    """Return the data; the same arguments give the same.

    Args:
        items: Number of items.
        users: Number of users.
        events: Of each user, at most: an item is counted once.
        seed: Seed of the random numbers.
    """
    random = np.random.default_rng(seed)
    chances = 1.0 / (np.arange(items) + 10.0)
    popular = random.choice(items, (users, events), p=chances / chances.sum())
    near = random.integers(0, items, (users, 1)) + random.integers(-_NEAR, _NEAR, (users, events))
    chosen = np.where(random.random((users, events)) < 0.5, near % items, popular).tolist()
    names = [f"item-{number}" for number in range(items)]
    return DemoData(
        name=f"generated, {items} items",
        notice="Generated: the films do not exist.",
        items={
            name: Item(f"Film {number}", (_GENRES[number * len(_GENRES) // items],), 1990 + number % 35)
            for number, name in enumerate(names)
        },
        users={f"user-{number}": User(16 + number % 60, "FM"[number % 2], "student") for number in range(users)},
        interactions=[
            Interaction(f"user-{number}", names[item], timestamp=_START + 3600 * step, value=5.0)
            for number, row in enumerate(chosen)
            for step, item in enumerate(dict.fromkeys(row))
        ],
    )
