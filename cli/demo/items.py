"""The data of the demo: films, users and interactions, and the CSV files that they are imported from."""

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

__all__ = ["EVENT", "SCHEMAS", "DemoData", "Interaction", "Item", "TasteProfile", "User"]

#: The event type of all interactions.
EVENT: Final = "watch"
#: Least value of an interaction that is shown as liked; trainings learn from all interactions.
_LIKED_VALUE: Final = 4.0
_NAMESPACE: Final = "com.amazonaws.personalize.schema"
#: How many liked items the shown users have: fewer show no taste, far more take too long to read.
_LIKED_ITEMS_RANGE: Final = range(20, 151)
_MIN_GENRE_ITEMS: Final = 20
_MIN_LIKED_ITEMS_OF_GENRE: Final = 8


@dataclass(frozen=True, slots=True)
class Item:
    """A film."""

    title: str
    genres: tuple[str, ...]
    year: int | None = None


@dataclass(frozen=True, slots=True)
class User:
    """What the data knows of a user; `age` in years."""

    age: int
    gender: str
    occupation: str


@dataclass(frozen=True, slots=True)
class Interaction:
    """An interaction; `value` is a rating from 1 to 5, `timestamp` seconds since 1970."""

    user: str
    item: str
    timestamp: int
    value: float


@dataclass(frozen=True, slots=True)
class TasteProfile:
    """A user with a strong taste.

    Attributes:
        user: Id of the user.
        genre: The genre that the user likes much more than others do.
    """

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
    """A data set for the demo.

    Attributes:
        name: Short name, for file names and records.
        notice: Its source, and its licence's terms.
        items: Films by item id.
        users: Users by user id.
        interactions: All interactions, in any order.
    """

    name: str
    notice: str
    items: Mapping[str, Item]
    users: Mapping[str, User]
    interactions: Sequence[Interaction]

    @cached_property
    def liked(self) -> Mapping[str, tuple[str, ...]]:
        """Ids of the liked items by user id, newest first."""
        by_user: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for interaction in self.interactions:
            if interaction.value >= _LIKED_VALUE:
                by_user[interaction.user].append((interaction.timestamp, interaction.item))
        return {user: tuple(item for _, item in sorted(entries, reverse=True)) for user, entries in by_user.items()}

    @cached_property
    def popularity(self) -> Counter[str]:
        """Number of interactions by item id."""
        return Counter(interaction.item for interaction in self.interactions)

    def write_csv(self, folder: Path) -> dict[str, Path]:
        """Write a CSV file for each dataset type.

        Returns:
            The files by dataset type.
        """
        folder.mkdir(parents=True, exist_ok=True)
        rows: dict[str, Iterable[Sequence[object]]] = {
            "Interactions": (
                (interaction.user, interaction.item, interaction.timestamp, EVENT, interaction.value)
                for interaction in self.interactions
            ),
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

    def strongest_tastes(self, count: int) -> list[TasteProfile]:
        """Return the `count` users with the strongest tastes, each for another genre.

        The strength of a taste is the genre's share of what the user liked, over its share of what all users liked.

        Raises:
            InvalidInput: The data has fewer such users.
        """
        overall = self._genre_counts(item for items in self.liked.values() for item in items)
        total = sum(overall.values())
        ranked = []
        for user, items in self.liked.items():
            if len(items) not in _LIKED_ITEMS_RANGE:
                continue
            user_genres = self._genre_counts(items)
            for genre, times in user_genres.items():
                if times >= _MIN_LIKED_ITEMS_OF_GENRE:
                    lift = (times / sum(user_genres.values())) / (overall[genre] / total)
                    ranked.append((-lift, user, genre))
        chosen: list[TasteProfile] = []
        for _, user, genre in sorted(ranked):
            if user not in {entry.user for entry in chosen} and genre not in {entry.genre for entry in chosen}:
                chosen.append(TasteProfile(user, genre))
            if len(chosen) == count:
                return chosen
        raise invalid("count", got=count, want=f"at most {len(chosen)}: the tastes in this data")

    def unfamiliar_genre(self, user: str, *, count: int) -> tuple[str, list[str]]:
        """Choose popular items that a user does not know, of the genre that the user likes least.

        Returns:
            The genre, and the ids of `count` items of it, most popular first.

        Raises:
            InvalidInput: No genre has that many unseen items.
        """
        user_genres = self._genre_counts(self.liked.get(user, ()))
        seen = {interaction.item for interaction in self.interactions if interaction.user == user}
        # An item counts for the rarest of its genres, which says most about it: nearly every film is a drama.
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
        # The model has learnt more about items with more interactions.
        popularity_sums = {
            genre: sum(sorted(self.popularity[item] for item in items)[-count:]) for genre, items in large.items()
        }
        genre = min(large, key=lambda name: (user_genres[name] / sizes[name] / (1 + popularity_sums[name]), name))
        newest = sorted(large[genre], key=lambda item: (-self.popularity[item], item))
        return genre, newest[:count]

    def _genre_counts(self, items: Iterable[str]) -> Counter[str]:
        return Counter(genre for item in items for genre in self.items[item].genres)
