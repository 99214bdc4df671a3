"""Generated data with planted tastes, for machines that cannot reach the package index, and for tests.

Each film belongs to one genre and one series; a user has a favourite genre and mostly watches its series in order. So
models can learn what popularity does not show: who likes which genre, and which film comes next.
"""

from __future__ import annotations

import random
from typing import Final

from cli.demo.items import DemoData, Interaction, Item, User

__all__ = ["generate"]

_GENRES: Final = (
    "Comedy", "Crime", "Documentary", "Fantasy", "Horror", "Musical", "Romance", "Sci-Fi", "War", "Western",
)  # fmt: skip
_FIRST: Final = ("Amber", "Broken", "Crimson", "Distant", "Endless", "Frozen", "Golden", "Hidden", "Iron", "Jade")
_SECOND: Final = ("Harbour", "Orchard", "Signal", "Bridge", "Mirror", "Canyon", "Garden", "Voyage", "Lantern", "Tower")
_OCCUPATIONS: Final = ("artist", "doctor", "engineer", "farmer", "student", "teacher")
_SERIES_LENGTH: Final = 5
#: Share of a user's choices that fall on the favourite genre.
_FAVOURITE_SHARE: Final = 0.8
_START: Final = 1_700_000_000
_DAY: Final = 86_400


def generate(*, users: int = 600, genres: int = 10, series: int = 8, seed: int = 1) -> DemoData:
    """Return a data set; the same arguments give the same data.

    Args:
        users: Number of users.
        genres: Number of genres, up to 10.
        series: Series of each genre, up to 10; each has five films.
        seed: Seed of the random numbers.
    """
    rng = random.Random(seed)
    items: dict[str, Item] = {}
    series_by_genre: dict[str, list[list[str]]] = {}
    for place, genre in enumerate(_GENRES[:genres]):
        series_by_genre[genre] = []
        for number in range(series):
            name = f"{_FIRST[(place + number) % len(_FIRST)]} {_SECOND[number % len(_SECOND)]}"
            parts = []
            for part in range(1, _SERIES_LENGTH + 1):
                item_id = f"film-{len(items) + 1:04d}"
                items[item_id] = Item(f"The {name}, part {part}", (genre,), 1990 + (place * 7 + number * 3 + part) % 35)
                parts.append(item_id)
            series_by_genre[genre].append(parts)
    users_by_id: dict[str, User] = {}
    interactions: list[Interaction] = []
    for number in range(1, users + 1):
        user_id = f"user-{number:04d}"
        users_by_id[user_id] = User(rng.randint(16, 75), rng.choice("FM"), rng.choice(_OCCUPATIONS))
        interactions += _interactions(
            user_id, list(series_by_genre)[number % genres], series_by_genre=series_by_genre, rng=rng
        )
    notice = "A generated catalogue with planted tastes: the films do not exist."
    return DemoData(name="generated", notice=notice, items=items, users=users_by_id, interactions=interactions)


def _interactions(
    user: str, favourite: str, *, series_by_genre: dict[str, list[list[str]]], rng: random.Random
) -> list[Interaction]:
    item_count = rng.randint(20, 45)
    timestamp = _START + rng.randint(0, 100) * _DAY
    seen: dict[str, int] = {}
    while len(seen) < item_count:
        in_favourite_genre = rng.random() < _FAVOURITE_SHARE
        genre_series = (
            series_by_genre[favourite] if in_favourite_genre else series_by_genre[rng.choice(list(series_by_genre))]
        )
        # The least of two random numbers: the first series of a genre are the most popular ones.
        parts = genre_series[min(rng.randrange(len(genre_series)), rng.randrange(len(genre_series)))]
        unseen = [item for item in parts if item not in seen]
        if not unseen and in_favourite_genre and all(item in seen for series in genre_series for item in series):
            break
        for item in unseen[: rng.randint(1, _SERIES_LENGTH)]:
            timestamp += rng.randint(1, 3) * 3600
            seen[item] = timestamp
        timestamp += _DAY
    return [
        Interaction(user, item, timestamp=timestamp, value=float(rng.choice((4, 5))))
        for item, timestamp in seen.items()
    ]
