"""What a filter expression is made of, as the parser builds it and as the check and the evaluation read it.

Names, keywords and operators are in one spelling here, however they were written. Places in the text are kept for
messages and take no part in comparisons.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum

__all__ = [
    "AllOf", "AnyOf", "Condition", "Constant", "CurrentItem", "Dataset", "Effect", "Expression", "Field", "Operand",
    "Operator", "Placeholder", "Predicate", "Scalar", "Target", "Wildcard", "conditions_of",
]  # fmt: skip

#: One value of a field, a literal or a parameter.
Scalar = str | int | float


class Dataset(StrEnum):
    """The datasets whose fields conditions are about."""

    ITEMS = "Items"
    INTERACTIONS = "Interactions"
    USERS = "Users"
    ACTIONS = "Actions"
    ACTION_INTERACTIONS = "Action_Interactions"


class Effect(StrEnum):
    """What happens to the rows that match."""

    INCLUDE = "INCLUDE"
    EXCLUDE = "EXCLUDE"


class Target(StrEnum):
    """What a filter chooses from."""

    ITEM = "ItemID"
    ACTION = "ActionID"
    USER = "UserID"


class Operator(StrEnum):
    """How a field is compared with its operands."""

    EQUAL = "="
    NOT_EQUAL = "!="
    LESS = "<"
    LESS_OR_EQUAL = "<="
    GREATER = ">"
    GREATER_OR_EQUAL = ">="
    IN = "IN"
    NOT_IN = "NOT IN"

    @property
    def is_range(self) -> bool:
        """Whether it needs values that have an order."""
        return self.value[0] in "<>"

    @property
    def is_negated(self) -> bool:
        """Whether it holds exactly where `=` or `IN` does not."""
        return self in (Operator.NOT_EQUAL, Operator.NOT_IN)


@dataclass(frozen=True, slots=True)
class Field:
    """A column of a dataset; CurrentUser's are of Users."""

    dataset: Dataset
    name: str

    def __str__(self) -> str:
        return f"{self.dataset}.{self.name}"


@dataclass(frozen=True, slots=True)
class Constant:
    """A value that stands in the expression."""

    value: Scalar
    position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Placeholder:
    """A parameter whose values come with each request, written `$name`."""

    name: str
    position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class Wildcard:
    """The `*` that stands for every event type."""

    position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class CurrentItem:
    """The values that the item of the request has in a field, written `CurrentItem.NAME`."""

    name: str
    position: int = dataclasses.field(default=0, compare=False)


Operand = Constant | Placeholder | Wildcard | CurrentItem


@dataclass(frozen=True, slots=True)
class Condition:
    """A field, an operator and its operands: one, or any number for IN and NOT IN."""

    field: Field
    operator: Operator
    operands: tuple[Operand, ...]
    position: int = dataclasses.field(default=0, compare=False)


@dataclass(frozen=True, slots=True)
class AllOf:
    """Two or more predicates joined by AND, none of them an `AllOf`."""

    parts: tuple[Predicate, ...]


@dataclass(frozen=True, slots=True)
class AnyOf:
    """Two or more predicates joined by OR, none of them an `AnyOf`."""

    parts: tuple[Predicate, ...]


Predicate = Condition | AllOf | AnyOf


@dataclass(frozen=True, slots=True)
class Expression:
    """One link of the chain that `|` makes.

    Attributes:
        effect: Whether rows that match are kept or removed.
        target: What it chooses from.
        where: The predicate on rows of the target.
        when: Conditions on the current user, the part after IF; the expression applies where all of them hold.
        position: Where it begins in the text.
    """

    effect: Effect
    target: Target
    where: Predicate
    when: tuple[Condition, ...] = ()
    position: int = dataclasses.field(default=0, compare=False)


def conditions_of(predicate: Predicate) -> Iterator[Condition]:
    """Return the conditions of a predicate in the order in which they were written."""
    stack: list[Predicate] = [predicate]
    while stack:
        part = stack.pop()
        if isinstance(part, Condition):
            yield part
        else:
            stack.extend(reversed(part.parts))
