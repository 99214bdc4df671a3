"""How much data a training needs at least and may hold at most, and Personalize's words when it is otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from common.errors import InvalidInput
from common.spelling import normalise_spelling
from trainer.domain.configuration import EventParameters

__all__ = [
    "MAX_EVENT_TYPES",
    "check_event_types",
    "check_sufficient",
    "check_times",
    "describe_filters",
    "near_spellings_warning",
]

_MIN_INTERACTIONS: Final = 1000
_MIN_USERS: Final = 25
_MIN_SHARE: Final = 0.01
MAX_EVENT_TYPES: Final = 10
_SHOWN: Final = 10
#: Names that Personalize keeps for columns, so that no value may be one of them.
_RESERVED: Final = frozenset(
    {
        "USER_ID", "ITEM_ID", "TIMESTAMP", "EVENT_TYPE", "EVENT_VALUE", "IMPRESSION", "RECOMMENDATION_ID",
        "EVENT_ATTRIBUTION_SOURCE",
    }
)  # fmt: skip


def describe_filters(*, event_type: str | None, threshold: float | None, events: Sequence[EventParameters] = ()) -> str:
    """Say by what interactions were chosen; empty when all were taken.

    Args:
        event_type: The only type that counts, None for all.
        threshold: Least event value, None for all.
        events: Settings by type; the only types that count where there are any.
    """
    types = event_type
    if events:
        types = ", ".join(
            item.event_type + ("" if item.threshold is None else f" (event value: {item.threshold:g} or more)")
            for item in events
        )
    text = "" if types is None else f" after filtering by event type: {types}"
    if threshold is not None:
        text += f"{' and' if text else ' after filtering'} by event value: {threshold:g} or more"
    return text


def near_spellings_warning(present: Mapping[str, int], *, chosen: Sequence[str]) -> str:
    """Name the event types that a filter leaves out though they are spelled nearly as one that it names.

    Args:
        present: How many interactions have each type, before any are chosen.
        chosen: The types that the solution names, spelled as they must be found; none for all.

    Returns:
        A sentence; empty where there are none.
    """
    named = {normalise_spelling(name): name for name in chosen}
    near = [
        (name, named[normalise_spelling(name)])
        for name in present
        if name not in chosen and normalise_spelling(name) in named
    ]
    if not near:
        return ""
    near.sort(key=lambda pair: (-present[pair[0]], pair))
    sentences = [f"{present[name]:,} of {name!r}, which is not {meant!r}" for name, meant in near]
    return f"Interactions are left out because event types are compared exactly: {_listed(sentences, between='; ')}."


def check_sufficient(
    *, interactions: int, users: int, users_with_two: int, filters: str = "", left_out: str = ""
) -> None:
    """Check what is left after the filters of the solution.

    Args:
        interactions: Different interactions.
        users: Users with at least one of them.
        users_with_two: Users with at least two.
        filters: From `describe_filters`.
        left_out: From `near_spellings_warning`.

    Raises:
        InvalidInput: It is too little to learn from.
    """
    more = f" {left_out}" if left_out else ""
    if interactions < _MIN_INTERACTIONS:
        raise InvalidInput(
            f"Create failed. Dataset has fewer than {_MIN_INTERACTIONS} interactions{filters}. It has {interactions:,}."
            f"{more}"
        )
    if users_with_two < _MIN_USERS:
        raise InvalidInput(
            f"Create failed. Dataset has fewer than {_MIN_USERS} users with at least 2 interactions each{filters}. "
            f"It has {users_with_two:,}.{more}"
        )
    if users_with_two < _MIN_SHARE * users:
        raise InvalidInput(
            f"Create failed. Dataset has {users_with_two:,} users with at least 2 interactions each{filters}, which is "
            f"less than {_MIN_SHARE:.0%} of its {users:,} users.{more}"
        )


def check_event_types(present: Sequence[str], *, chosen: Sequence[str]) -> None:
    """Check the types of the events that a solution chooses from.

    Args:
        present: The different types that interactions have, the most frequent first, before any are chosen.
        chosen: The types that the solution names, spelled as they must be found; none for all.

    Raises:
        InvalidInput: There are too many to learn from, or none that could be chosen.
    """
    if not chosen:
        if len(present) > MAX_EVENT_TYPES:
            raise InvalidInput(
                f"Create failed. Dataset has more than {MAX_EVENT_TYPES} event types: {_listed(present)}. Choose some "
                "with eventType or eventsConfig of the solution."
            )
        return
    if all(name.upper() in _RESERVED for name in present):
        raise InvalidInput(
            "Create failed. All values in the event_type column are either reserved keywords or null, so none is "
            f"{_listed(chosen)}."
        )
    spelled = {normalise_spelling(name): name for name in reversed(present) if name not in chosen}
    for name in chosen:
        other = spelled.get(normalise_spelling(name))
        if name not in present and other is not None:
            raise InvalidInput(
                f"Create failed. Dataset has no interactions of event type {name}, but of {other!r}: a solution's "
                "event types are compared exactly."
            )


def check_times(*, first: int, last: int) -> None:
    """Check that there is a before and an after to segment users by.

    Args:
        first: The earliest timestamp.
        last: The latest.

    Raises:
        InvalidInput: All interactions have one timestamp.
    """
    if first == last:
        raise InvalidInput(
            f"Create failed. All interactions have the same timestamp, {first}: recipes of type USER_SEGMENTATION "
            "learn from what users did before and after."
        )


def _listed(names: Sequence[str], *, between: str = ", ") -> str:
    return between.join(names[:_SHOWN]) + (f"{between}..." if len(names) > _SHOWN else "")
