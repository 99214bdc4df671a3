"""How much data a training needs at least, and Personalize's words when there is less."""

from __future__ import annotations

from typing import Final

from common.errors import InvalidInput

__all__ = ["check_sufficient"]

_MIN_INTERACTIONS: Final = 1000
_MIN_USERS: Final = 25
_MIN_SHARE: Final = 0.01


def check_sufficient(
    *, interactions: int, users: int, users_with_two: int, event_type: str | None, threshold: float | None
) -> None:
    """Check what is left after the filters of the solution.

    Args:
        interactions: Different interactions.
        users: Users with at least one of them.
        users_with_two: Users with at least two.
        event_type: The only type that counts, None for all.
        threshold: Least event value, None for all.

    Raises:
        InvalidInput: It is too little to learn from.
    """
    if interactions < _MIN_INTERACTIONS:
        told = f"Create failed. Dataset has fewer than {_MIN_INTERACTIONS} interactions"
        if event_type is not None:
            told += f" after filtering by event type: {event_type}"
        if threshold is not None:
            told += f"{' and' if event_type is not None else ' after filtering'} by event value: {threshold:g} or more"
        raise InvalidInput(f"{told}. It has {interactions:,}.")
    if users_with_two < _MIN_USERS:
        raise InvalidInput(
            f"Create failed. Dataset has fewer than {_MIN_USERS} users with at least 2 interactions each. "
            f"It has {users_with_two:,}."
        )
    if users_with_two < _MIN_SHARE * users:
        raise InvalidInput(
            f"Create failed. Dataset has {users_with_two:,} users with at least 2 interactions each, which is less "
            f"than {_MIN_SHARE:.0%} of its {users:,} users."
        )
