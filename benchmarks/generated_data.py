"""Generated data sets of any size, for measurements that published ones are too small for; and what is held out of one.

`catalogue` is for the cost of serving: as popular as the items of real catalogues, so that histories have as many
different items, and items as many followers, as those of real data of this size; that every item is used is not
promised. `planted_tastes` is for the quality of what is recommended: there is something to learn.
"""

from __future__ import annotations

from typing import Final

import numpy as np
from numpy.typing import NDArray

from cli.demo.items import DemoData, Interaction, Item, User

__all__ = ["catalogue", "hold_out_last", "planted_tastes"]

_START: Final = 1_700_000_000
#: Half of what a user does is at most so many items away from the user's place.
_NEAR: Final = 200
_ITEMS_OF_CLUSTER: Final = 50
_CLUSTERS_OF_USER: Final = 3
#: Of a user's choices; the rest is drawn from everything.
_FAVOURITE_SHARE: Final = 0.9
_GENRES: Final = (
    "Comedy",
    "Crime",
    "Documentary",
    "Fantasy",
    "Horror",
    "Musical",
    "Romance",
    "Sci-Fi",
    "War",
    "Western",
)


def catalogue(items: int, *, users: int = 4000, events: int = 50, seed: int = 1) -> DemoData:
    """Return data in which the n-th item is used in proportion to 1 / (n + 10); the same arguments give the same.

    Half of what a user does lies near a place of the user's own, and items that are near one another share a genre.

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


def planted_tastes(*, items: int, users: int, events: int, seed: int = 1) -> DemoData:
    """Return a data set whose users choose mostly from a few clusters of items, popular ones more often (Zipf's law).

    The order of a user's choices says nothing, so that methods without a sense of it are at no disadvantage.

    Args:
        items: Number of items, in clusters of fifty.
        users: Number of users.
        events: Interactions of each user, all with different items.
        seed: Of the random numbers.
    """
    rng = np.random.default_rng(seed)
    n_clusters = -(-items // _ITEMS_OF_CLUSTER)
    names = [f"item-{place:07d}" for place in range(items)]
    cluster_shares = _zipf(n_clusters)
    item_shares = _zipf(_ITEMS_OF_CLUSTER)
    interactions = []
    for number in range(users):
        favourites = rng.choice(n_clusters, _CLUSTERS_OF_USER, p=cluster_shares)
        # Twice as many as wanted, since some come twice.
        drawn = rng.choice(favourites, 2 * events)
        strays = rng.random(2 * events) >= _FAVOURITE_SHARE
        drawn[strays] = rng.choice(n_clusters, int(strays.sum()), p=cluster_shares)
        places = drawn * _ITEMS_OF_CLUSTER + rng.choice(_ITEMS_OF_CLUSTER, 2 * events, p=item_shares)
        chosen = list(dict.fromkeys(places[places < items].tolist()))[:events]
        interactions += [
            Interaction(f"user-{number:06d}", names[place], timestamp=_START + 3600 * step + number % 3600, value=5.0)
            for step, place in enumerate(chosen)
        ]
    return DemoData(
        name=f"planted-{items}",
        notice="A generated catalogue with planted tastes: the films do not exist.",
        items={
            name: Item(f"Film {place}", (_GENRES[place // _ITEMS_OF_CLUSTER % len(_GENRES)],), 1990 + place % 35)
            for place, name in enumerate(names)
        },
        users={f"user-{number:06d}": User(20 + number % 50, "FM"[number % 2], "engineer") for number in range(users)},
        interactions=interactions,
    )


def hold_out_last(data: DemoData) -> tuple[DemoData, dict[str, str]]:
    """Return the data without each user's last interaction, and its item by user.

    Users with a single interaction keep it, and so do those whose last item has no other interaction: nobody could
    find it.
    """
    last: dict[str, Interaction] = {}
    count: dict[str, int] = {}
    for interaction in data.interactions:
        count[interaction.user] = count.get(interaction.user, 0) + 1
        if interaction.user not in last or interaction.timestamp >= last[interaction.user].timestamp:
            last[interaction.user] = interaction
    popularity = data.popularity
    held = {user: item for user, item in last.items() if count[user] > 1 and popularity[item.item] > 1}
    removed = {id(interaction) for interaction in held.values()}
    kept = [interaction for interaction in data.interactions if id(interaction) not in removed]
    left = {interaction.item for interaction in kept}
    rest = DemoData(name=data.name, notice=data.notice, items=data.items, users=data.users, interactions=kept)
    return rest, {user: interaction.item for user, interaction in held.items() if interaction.item in left}


def _zipf(count: int) -> NDArray[np.float64]:
    weights: NDArray[np.float64] = 1 / np.arange(1, count + 1)
    shares: NDArray[np.float64] = weights / weights.sum()
    return shares
