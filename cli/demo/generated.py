"""A made-up catalogue with planted tastes, for machines that cannot reach the package index, and for tests.

Each film belongs to one genre and one series; a user has a favourite genre and mostly watches along its series. So
there is something to learn that popularity does not know: who likes which genre, and what comes next.
"""

from __future__ import annotations

import random
from typing import Final

from cli.demo.items import DemoData, Item, User, Watch

__all__ = ["generate"]

_GENRES: Final = (
    "Comedy", "Crime", "Documentary", "Fantasy", "Horror", "Musical", "Romance", "Sci-Fi", "War", "Western",
)  # fmt: skip
_FIRST: Final = ("Amber", "Broken", "Crimson", "Distant", "Endless", "Frozen", "Golden", "Hidden", "Iron", "Jade")
_SECOND: Final = ("Harbour", "Orchard", "Signal", "Bridge", "Mirror", "Canyon", "Garden", "Voyage", "Lantern", "Tower")
_OCCUPATIONS: Final = ("artist", "doctor", "engineer", "farmer", "student", "teacher")
_SERIES_LENGTH: Final = 5
#: Share of a user's watches that come from their favourite genre.
_LOYALTY: Final = 0.8
_START: Final = 1_700_000_000
_DAY: Final = 86_400


def generate(*, users: int = 600, genres: int = 10, series: int = 8, seed: int = 1) -> DemoData:
    """Return a catalogue; the same arguments give the same data.

    Args:
        users: How many.
        genres: How many tastes, up to 10.
        series: Series per genre, of five films each, up to 10.
        seed: Of the random numbers.
    """
    chance = random.Random(seed)
    items: dict[str, Item] = {}
    shelves: dict[str, list[list[str]]] = {}
    for place, genre in enumerate(_GENRES[:genres]):
        shelves[genre] = []
        for number in range(series):
            name = f"{_FIRST[(place + number) % len(_FIRST)]} {_SECOND[number % len(_SECOND)]}"
            parts = []
            for part in range(1, _SERIES_LENGTH + 1):
                item_id = f"film-{len(items) + 1:04d}"
                items[item_id] = Item(f"The {name}, part {part}", (genre,), 1990 + (place * 7 + number * 3 + part) % 35)
                parts.append(item_id)
            shelves[genre].append(parts)
    people: dict[str, User] = {}
    watches: list[Watch] = []
    for number in range(1, users + 1):
        user_id = f"user-{number:04d}"
        people[user_id] = User(chance.randint(16, 75), chance.choice("FM"), chance.choice(_OCCUPATIONS))
        watches += _evenings(user_id, list(shelves)[number % genres], shelves=shelves, chance=chance)
    notice = "A generated catalogue with planted tastes: the films do not exist."
    return DemoData(name="generated", notice=notice, items=items, users=people, watches=watches)


def _evenings(user: str, favourite: str, *, shelves: dict[str, list[list[str]]], chance: random.Random) -> list[Watch]:
    wanted = chance.randint(20, 45)
    when = _START + chance.randint(0, 100) * _DAY
    seen: dict[str, int] = {}
    while len(seen) < wanted:
        loyal = chance.random() < _LOYALTY
        shelf = shelves[favourite] if loyal else shelves[chance.choice(list(shelves))]
        # Early series of a shelf are the famous ones.
        parts = shelf[min(chance.randrange(len(shelf)), chance.randrange(len(shelf)))]
        fresh = [item for item in parts if item not in seen]
        if not fresh and loyal and all(item in seen for series in shelf for item in series):
            break
        for item in fresh[: chance.randint(1, _SERIES_LENGTH)]:
            when += chance.randint(1, 3) * 3600
            seen[item] = when
        when += _DAY
    return [Watch(user, item, timestamp=moment, value=float(chance.choice((4, 5)))) for item, moment in seen.items()]
