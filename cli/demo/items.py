"""The data of the demo: who watched what, with titles to show, and the CSV files it is imported from."""

from __future__ import annotations

import csv
import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Final

from common.columns import EVENT_TYPE, EVENT_VALUE, ITEM_ID, TIMESTAMP, USER_ID
from common.errors import invalid

__all__ = ["EVENT", "SCHEMAS", "DemoData", "Item", "Showcase", "User", "Watch"]

#: The one type of event there is.
EVENT: Final = "watch"
#: What "liked" means on the screen; training takes every watch.
LIKED_VALUE: Final = 4.0
_NAMESPACE: Final = "com.amazonaws.personalize.schema"
#: Users with fewer liked items show no taste, users with far more take too long to read.
_SHOWN_HISTORY: Final = range(20, 151)
_MIN_GENRE_ITEMS: Final = 20
_MIN_LIKED_OF_TASTE: Final = 8


@dataclass(frozen=True, slots=True)
class Item:
    """A film."""

    title: str
    genres: tuple[str, ...]
    year: int | None = None


@dataclass(frozen=True, slots=True)
class User:
    """A person."""

    age: int
    gender: str
    occupation: str


@dataclass(frozen=True, slots=True)
class Watch:
    """An interaction; `value` is a rating from 1 to 5, `timestamp` seconds since 1970."""

    user: str
    item: str
    timestamp: int
    value: float


@dataclass(frozen=True, slots=True)
class Showcase:
    """A user worth showing, and the genre that sets them apart."""

    user: str
    genre: str


def _schema(name: str, *fields: Mapping[str, object]) -> str:
    return json.dumps(
        {"type": "record", "name": name, "namespace": _NAMESPACE, "fields": list(fields), "version": "1.0"}
    )


#: Avro schema by dataset type.
SCHEMAS: Final = {
    "Interactions": _schema(
        "Interactions",
        {"name": USER_ID, "type": "string"},
        {"name": ITEM_ID, "type": "string"},
        {"name": TIMESTAMP, "type": "long"},
        {"name": EVENT_TYPE, "type": "string"},
        {"name": EVENT_VALUE, "type": ["null", "float"]},
    ),
    "Items": _schema(
        "Items",
        {"name": ITEM_ID, "type": "string"},
        {"name": "TITLE", "type": "string"},
        {"name": "GENRES", "type": ["null", "string"], "categorical": True},
        {"name": "YEAR", "type": ["null", "int"]},
    ),
    "Users": _schema(
        "Users",
        {"name": USER_ID, "type": "string"},
        {"name": "AGE", "type": "int"},
        {"name": "GENDER", "type": "string", "categorical": True},
        {"name": "OCCUPATION", "type": "string", "categorical": True},
    ),
}


@dataclass(frozen=True)
class DemoData:
    """Everything the demo needs to know of its data.

    Attributes:
        name: Short name, for file names and records.
        notice: Where it comes from and what must be said about it.
        items: By id.
        users: By id.
        watches: In any order.
    """

    name: str
    notice: str
    items: Mapping[str, Item]
    users: Mapping[str, User]
    watches: Sequence[Watch]

    @cached_property
    def liked(self) -> Mapping[str, tuple[str, ...]]:
        """Liked items by user, newest first."""
        by_user: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for watch in self.watches:
            if watch.value >= LIKED_VALUE:
                by_user[watch.user].append((watch.timestamp, watch.item))
        return {user: tuple(item for _, item in sorted(entries, reverse=True)) for user, entries in by_user.items()}

    @cached_property
    def popularity(self) -> Counter[str]:
        """Watches by item."""
        return Counter(watch.item for watch in self.watches)

    def write_csv(self, folder: Path) -> dict[str, Path]:
        """Write one CSV per dataset type.

        Returns:
            The file by dataset type.
        """
        folder.mkdir(parents=True, exist_ok=True)
        rows: dict[str, Iterable[Sequence[object]]] = {
            "Interactions": ((watch.user, watch.item, watch.timestamp, EVENT, watch.value) for watch in self.watches),
            "Items": (
                (item_id, item.title, "|".join(item.genres), "" if item.year is None else item.year)
                for item_id, item in self.items.items()
            ),
            "Users": ((user_id, user.age, user.gender, user.occupation) for user_id, user in self.users.items()),
        }
        written = {}
        for kind, lines in rows.items():
            written[kind] = folder / f"{kind.lower()}.csv"
            with written[kind].open("w", newline="", encoding="utf-8") as file:
                writer = csv.writer(file, lineterminator="\n")
                writer.writerow([field["name"] for field in json.loads(SCHEMAS[kind])["fields"]])
                writer.writerows(lines)
        return written

    def showcases(self, count: int) -> list[Showcase]:
        """Choose users with the strongest tastes, one for each of `count` genres.

        A taste is strong when the genre's share of what the user liked is many times its share of everything liked.

        Raises:
            InvalidInput: The data holds fewer tastes.
        """
        overall = self._genre_counts(item for items in self.liked.values() for item in items)
        total = sum(overall.values())
        ranked = []
        for user, items in self.liked.items():
            if len(items) not in _SHOWN_HISTORY:
                continue
            own = self._genre_counts(items)
            for genre, times in own.items():
                if times >= _MIN_LIKED_OF_TASTE:
                    lift = (times / sum(own.values())) / (overall[genre] / total)
                    ranked.append((-lift, user, genre))
        chosen: list[Showcase] = []
        for _, user, genre in sorted(ranked):
            if user not in {entry.user for entry in chosen} and genre not in {entry.genre for entry in chosen}:
                chosen.append(Showcase(user, genre))
            if len(chosen) == count:
                return chosen
        raise invalid("count", got=count, want=f"at most {len(chosen)}: the tastes in this data")

    def other_taste(self, user: str, *, count: int) -> tuple[str, list[str]]:
        """Choose what the user will watch: the most popular items, not seen yet, of the genre they liked least.

        Returns:
            The genre and `count` items.

        Raises:
            InvalidInput: No genre has that many unseen items.
        """
        own = self._genre_counts(self.liked.get(user, ()))
        seen = {watch.item for watch in self.watches if watch.user == user}
        # The rarest of the genres of an item is what sets it apart: three dramas are no taste of their own.
        sizes = self._genre_counts(self.items)
        by_genre: dict[str, list[str]] = defaultdict(list)
        for item_id, item in self.items.items():
            if item.genres and item_id not in seen:
                by_genre[min(item.genres, key=lambda genre: (sizes[genre], genre))].append(item_id)
        large = {
            genre: items
            for genre, items in by_genre.items()
            if len(items) >= max(count, 1) and sizes[genre] >= _MIN_GENRE_ITEMS
        }
        if not large:
            raise invalid("user", got=user, want=f"one who has not seen {count} items of some genre")
        # How much others watch it says how much the model knows of it.
        reach = {genre: sum(sorted(self.popularity[item] for item in items)[-count:]) for genre, items in large.items()}
        genre = min(large, key=lambda name: (own[name] / sizes[name] / (1 + reach[name]), name))
        newest = sorted(large[genre], key=lambda item: (-self.popularity[item], item))
        return genre, newest[:count]

    def _genre_counts(self, items: Iterable[str]) -> Counter[str]:
        return Counter(genre for item in items for genre in self.items[item].genres)
