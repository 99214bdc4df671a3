"""What the rows of a dataset say before anything is trained on them: who, what, when, how often, and what fits.

Distinct values are counted by hashes of 64 bits, so that memory does not hold the values themselves.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any, Final

import polars as pl

from common.avro import AvroField, AvroSchema
from common.columns import EVENT_TYPE, ITEM_ID, TIMESTAMP, USER_ID
from common.data_files.values import EVENT_DATASETS, id_columns

__all__ = ["Insights", "date"]

#: What trainings need, and what Personalize's own insights warn of.
_MIN_INTERACTIONS: Final = 1000
_MIN_USERS: Final = 25
_MAX_EVENT_TYPES: Final = 10
_MAX_CATEGORIES: Final = 1000
_COMPLETE: Final = 0.7
_COMPLETE_TEXT: Final = 0.85
#: Event types of fewer rows than this share are called rare.
_RARE: Final = 0.01
_MANY_REPEATS: Final = 0.2
_KEY, _COUNT = "key", "count"
#: Different keys of a column that are gathered before they are added up.
_FEW_KEYS: Final = 500_000


@dataclass(slots=True)
class Insights:
    """Gathers figures over batches of rows.

    Attributes:
        schema: The schema of the dataset.
        dataset_type: E.g. `INTERACTIONS`.
        rows: How many rows were added.
    """

    schema: AvroSchema
    dataset_type: str
    rows: int = 0
    _nulls: dict[str, int] = field(default_factory=dict)
    _counts: dict[str, list[pl.DataFrame]] = field(default_factory=dict)
    _first: int | None = None
    _last: int | None = None

    def add(self, rows: pl.DataFrame) -> None:
        """Take some checked rows.

        Args:
            rows: The schema's columns.
        """
        self.rows += len(rows)
        for name, nulls in rows.null_count().row(0, named=True).items():
            self._nulls[name] = self._nulls.get(name, 0) + nulls
        ids = id_columns(self.dataset_type)
        for name in ids:
            self._count(name, rows[name].hash().alias(_KEY))
        for column in self.schema.fields:
            if column.categorical:
                self._count(column.name, rows[column.name].drop_nulls().str.split("|").explode().alias(_KEY))
        if self.dataset_type in EVENT_DATASETS:
            self._count("pairs", rows.select(ids).hash_rows().alias(_KEY))
            self._count("rows", rows.hash_rows().alias(_KEY))
            if EVENT_TYPE in rows.columns:
                self._count(EVENT_TYPE, rows[EVENT_TYPE].drop_nulls().alias(_KEY))
            if len(rows):
                least, greatest = rows.select(pl.col(TIMESTAMP).min(), pl.col(TIMESTAMP).max().alias("max")).row(0)
                self._first = least if self._first is None else min(self._first, least)
                self._last = greatest if self._last is None else max(self._last, greatest)

    def as_json(self) -> dict[str, Any]:
        """Return all figures, warnings and suggestions."""
        ids = id_columns(self.dataset_type)
        figures: dict[str, Any] = {
            "rows": self.rows,
            "distinct": {name: self._distinct(name) for name in ids},
            "completeness": {
                name: round(1 - nulls / max(1, self.rows), 4) for name, nulls in self._nulls.items()
            },
            "categories": {item.name: self._distinct(item.name) for item in self.schema.fields if item.categorical},
        }  # fmt: skip
        if self.dataset_type in EVENT_DATASETS:
            figures |= {
                "firstTimestamp": self._first,
                "lastTimestamp": self._last,
                "identicalRows": self.rows - self._distinct("rows"),
                "shareOfRepeats": self._share_of_repeats(),
                "eventTypes": self._event_types(),
                "usersWithTwoOrMore": self._users_with_two(),
            }
        return {**figures, "warnings": self._warnings(), "suggestions": self._suggestions()}

    def _count(self, name: str, keys: pl.Series) -> None:
        """Count keys; what was counted before is only added to when as much is new, or every batch would cost more."""
        counts = self._counts.setdefault(name, [])
        counts.append(pl.DataFrame([keys]).group_by(_KEY).agg(pl.len().cast(pl.Int64).alias(_COUNT)))
        if sum(map(len, counts[1:])) > max(_FEW_KEYS, len(counts[0])):
            self._counts[name] = [_joined(counts)]

    def _counted(self, name: str) -> pl.DataFrame | None:
        """Return how often each key occurs; None where none was counted."""
        counts = self._counts.get(name)
        if counts is None:
            return None
        if len(counts) > 1:
            self._counts[name] = counts = [_joined(counts)]
        return counts[0]

    def _distinct(self, name: str) -> int:
        counted = self._counted(name)
        return 0 if counted is None else len(counted)

    def _share_of_repeats(self) -> float:
        """Return the share of events of a user and an item that had an event before."""
        return round(1 - self._distinct("pairs") / max(1, self.rows), 4)

    def _event_types(self) -> dict[str, int]:
        counted = self._counted(EVENT_TYPE)
        return {} if counted is None else dict(counted.sort([_COUNT, _KEY], descending=[True, False]).rows())

    def _users_with_two(self) -> int:
        counted = self._counted(USER_ID)
        return 0 if counted is None else int((counted[_COUNT] >= 2).sum())

    def _warnings(self) -> list[str]:
        warnings = [warning for item in self.schema.fields if (warning := self._incomplete(item)) is not None]
        warnings += [
            f"{item.name}: {count:,} categories, more than {_MAX_CATEGORIES:,} seldom help"
            for item in self.schema.fields
            if item.categorical and (count := self._distinct(item.name)) > _MAX_CATEGORIES
        ]
        types = self._event_types()
        if len(types) > _MAX_EVENT_TYPES:
            warnings.append(f"{EVENT_TYPE}: {len(types)} event types, trainings take at most {_MAX_EVENT_TYPES}")
        warnings += [
            f"{EVENT_TYPE}: {name!r} is rare, {count:,} of {self.rows:,} rows"
            for name, count in types.items()
            if count < _RARE * self.rows
        ]
        if self._last is not None and self._last > datetime.now(UTC).timestamp():
            warnings.append(f"{TIMESTAMP}: the last is in the future, {date(self._last)}")
        if self._first is not None and self._first == self._last and self.rows > 1:
            warnings.append(f"{TIMESTAMP}: all are the same, so that nothing comes before anything else")
        return warnings

    def _incomplete(self, item: AvroField) -> str | None:
        share = 1 - self._nulls.get(item.name, 0) / max(1, self.rows)
        limit = _COMPLETE_TEXT if item.textual else _COMPLETE
        if share >= limit:
            return None
        return f"{item.name}: {share:.0%} of the rows have a value, want {limit:.0%} to learn from it"

    def _suggestions(self) -> list[str]:
        if self.dataset_type == "ITEMS":
            texts = [item.name for item in self.schema.fields if item.textual]
            return [f"aws-semantic-similarity: {texts[0]} is free text"] if texts else []
        if self.dataset_type == "ACTION_INTERACTIONS":
            return ["aws-next-best-action: which action a user is likely to take"]
        if self.dataset_type != "INTERACTIONS":
            return []
        users, with_two = self._distinct(USER_ID), self._users_with_two()
        if self.rows < _MIN_INTERACTIONS or with_two < _MIN_USERS:
            want = f"want {_MIN_INTERACTIONS:,} and {_MIN_USERS}"
            return [f"Too little to train on: {self.rows:,} interactions, {with_two:,} users with two or more; {want}"]
        suggestions = ["aws-user-personalization-v2: items for a user"]
        if 2 * with_two < users:
            lone = f"{users - with_two:,} of {users:,} users"
            suggestions = [f"aws-similar-items: {lone} have a single interaction, so items say more than users"]
        suggestions.append("aws-popularity-count: what a better recipe must be compared with")
        if self._share_of_repeats() > _MANY_REPEATS:
            suggestions.append(
                f"{self._share_of_repeats():.0%} of the interactions are with an {ITEM_ID} that the user had before: "
                "decide by a filter whether recommendations may have those"
            )
        return suggestions


def _joined(counts: list[pl.DataFrame]) -> pl.DataFrame:
    return pl.concat(counts).group_by(_KEY).agg(pl.col(_COUNT).sum())


def date(seconds: int) -> str:
    """Return a time as text."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
