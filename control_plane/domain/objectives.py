"""What a solution optimises beside relevance (`solutionConfig.optimizationObjective`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from common.avro import AvroSchema
from common.errors import invalid

__all__ = ["check_objective", "check_objective_column"]

_FIELD: Final = "solutionConfig.optimizationObjective"
_MAX_NAME: Final = 150
_NUMERIC: Final = frozenset({"int", "long", "float", "double"})


def check_objective(objective: Mapping[str, Any], *, takes_objective: bool, recipe: str) -> None:
    """Check an objective by itself; the sensitivity is an enum of the contract, and OFF when it is left out.

    Raises:
        InvalidInput: The recipe takes none, or the attribute is missing or too long.
    """
    if not takes_objective:
        want = f"none: {recipe} takes no objective; aws-user-personalization and aws-personalized-ranking do"
        raise invalid(_FIELD, got=objective, want=want)
    name = objective.get("itemAttribute") or ""
    if not 1 <= len(name) <= _MAX_NAME:
        raise invalid(f"{_FIELD}.itemAttribute", got=name, want=f"a column of the items, 1 to {_MAX_NAME} characters")


def check_objective_column(objective: Mapping[str, Any], *, items: str | None) -> None:
    """Make sure that items have the column, as numbers without gaps.

    Args:
        objective: Checked by itself.
        items: Schema of the Items dataset; None without one.

    Raises:
        InvalidInput: They have not.
    """
    name = objective["itemAttribute"]
    column = None if items is None else AvroSchema.parse(items).field(name)
    if column is None or column.type not in _NUMERIC or column.nullable:
        found = "no such column" if column is None else f"{column.type}{' or null' if column.nullable else ''}"
        want = f"a numeric column without null of the Items dataset, which has {found}"
        raise invalid(f"{_FIELD}.itemAttribute", got=name, want=want)
