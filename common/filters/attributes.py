"""Reads the attribute expressions of segment jobs: `ITEMS.genres = "Comedy" AND ITEMS.year = 1995`.

They are conditions of the filter language, of which only `=` and AND are taken, as by Personalize.
"""

from __future__ import annotations

from typing import Final, NamedTuple

from common.errors import invalid
from common.filters.check import MAX_LENGTH
from common.filters.expression import AllOf, Condition, Constant, Dataset, Field, Operator, Predicate, Scalar
from common.filters.parser import MalformedExpression, parse_predicate

__all__ = ["ItemAttribute", "parse_item_attributes"]

_FIELD: Final = "itemAttributes"
_WANT: Final = 'conditions as ITEMS.COLUMN = "value", joined by AND'


class ItemAttribute(NamedTuple):
    """A column of Items, as it was written, and the value that items must have in it."""

    column: str
    value: Scalar


def parse_item_attributes(text: str) -> tuple[ItemAttribute, ...]:
    """Read an attribute expression.

    Raises:
        InvalidInput: It is none.
    """
    if len(text) > MAX_LENGTH:
        raise invalid(_FIELD, got=f"{len(text)} characters", want=f"at most {MAX_LENGTH}")
    try:
        predicate = parse_predicate(text)
    except MalformedExpression as error:
        raise invalid(_FIELD, got=text, want=f"{_WANT}; see character {error.position + 1}") from error
    parts = predicate.parts if isinstance(predicate, AllOf) else (predicate,)
    return tuple(_attribute(part, text) for part in parts)


def _attribute(part: Predicate, text: str) -> ItemAttribute:
    match part:
        case Condition(Field(Dataset.ITEMS, name), Operator.EQUAL, (Constant(value),)):
            return ItemAttribute(name, value)
    raise invalid(_FIELD, got=text, want=_WANT)
