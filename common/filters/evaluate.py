"""Evaluates filters: which rows of a table pass, for one user and one item.

What depends on the filter and its values only is worked out once, by `compile_filter`, and can be kept; what depends on
the request, the user's events and fields and the current item, is combined with it by a few operations on bitmaps.

Null, here and nowhere else: it is equal to nothing, in no list, and neither less nor greater. `!=` and `NOT IN` hold
exactly where `=` and `IN` do not, so that rows without a value pass them, and so that `EXCLUDE … IN` and
`INCLUDE … NOT IN` are the same filter, as Personalize's guide takes for granted. The same rule makes
`Interactions.EVENT_TYPE NOT IN ("click")` the items that the user has not clicked. Of several values in a row it is
enough that one is equal to one of the operands.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from pyroaring import FrozenBitMap

from common.filters.check import Filter
from common.filters.expression import (
    AllOf,
    Condition,
    Constant,
    CurrentItem,
    Dataset,
    Effect,
    Expression,
    Operand,
    Operator,
    Placeholder,
    Predicate,
    Scalar,
    Wildcard,
    conditions_of,
)
from common.filters.table import Rows, Table
from common.filters.values import FilterValues

__all__ = ["CompiledFilter", "RequestContext", "compile_filter", "event_key"]

_EVENTS: Final = (Dataset.INTERACTIONS, Dataset.ACTION_INTERACTIONS)
_NOTHING: Final = FrozenBitMap()


@dataclass(frozen=True, slots=True)
class RequestContext:
    """What a request adds to a filter and its values.

    Attributes:
        events: By event type, the rows that have such events: of items or actions those of the request's user, of users
            the users with such events. Event types are compared without regard to case.
        user: The values of the current user by column, none for null; None for a user of whom nothing is known.
        current_item: Row of the current item; None for none, or one that the table does not have.
    """

    events: Mapping[str, Rows] = field(default_factory=dict)
    user: Mapping[str, Sequence[Scalar]] | None = None
    current_item: int | None = None


#: Rows that depend on the request.
_Dynamic = Callable[[RequestContext], Rows]


@dataclass(frozen=True, slots=True)
class _Step:
    """An expression that depends on the request."""

    effect: Effect
    applies: Callable[[RequestContext], bool]
    rows: Rows | _Dynamic


@dataclass(frozen=True, slots=True)
class CompiledFilter:
    """A filter with the values of its parameters, bound to a table.

    Attributes:
        included: Rows that an INCLUDE without anything of the request keeps; None without such an expression.
        excluded: Rows that an EXCLUDE without anything of the request removes.
        passing: The rows that pass these two; all of them for no INCLUDE.
        steps: The other expressions.
        event_types: The types of events that requests must give, as `event_key` writes them; None for all.
    """

    included: Rows | None
    excluded: Rows
    passing: Rows
    steps: tuple[_Step, ...]
    event_types: frozenset[str] | None

    def removed(self, context: RequestContext) -> Rows | None:
        """Return the rows that no longer pass because of the request, and some that never did.

        It costs what the request has, whatever the table has. None where the request may let further rows pass.
        """
        steps = [step for step in self.steps if step.applies(context)]
        if any(step.effect is Effect.INCLUDE for step in steps):
            return None
        return _union(step.rows if isinstance(step.rows, FrozenBitMap) else step.rows(context) for step in steps)

    def rows(self, context: RequestContext) -> Rows:
        """Return the rows that pass."""
        included, excluded = list[Rows](), list[Rows]()
        for step in self.steps:
            if step.applies(context):
                rows = step.rows if isinstance(step.rows, FrozenBitMap) else step.rows(context)
                (included if step.effect is Effect.INCLUDE else excluded).append(rows)
        passing = self.passing
        if included:
            passing = _union([self.included or _NOTHING, *included]) - self.excluded
        for rows in excluded:
            passing -= rows
        return passing


def compile_filter(definition: Filter, table: Table, values: FilterValues) -> CompiledFilter:
    """Bind a filter to a table and to the values of its parameters.

    Args:
        definition: A filter that was checked against the schemas that the table's columns are of.
        table: The rows that it chooses from: of items, actions or users, as its target tells.
        values: Of its parameters, as `parse_filter_values` returns them; an EXCLUDE with a parameter that has none is
            left out.
    """
    return _Compiler(table, values).compile(definition.expressions)


class _Compiler:
    def __init__(self, table: Table, values: FilterValues) -> None:
        self._table = table
        self._values = values
        self._all = FrozenBitMap(range(table.n_rows))
        self._event_types: set[str] | None = set()

    def compile(self, expressions: Iterable[Expression]) -> CompiledFilter:
        fixed: dict[Effect, list[Rows]] = {effect: [] for effect in Effect}
        steps = []
        for expression in expressions:
            if not self._is_complete(expression):
                continue
            rows = self._predicate(expression.where)
            if isinstance(rows, FrozenBitMap) and not expression.when:
                fixed[expression.effect].append(rows)
            else:
                steps.append(_Step(expression.effect, self._when(expression.when), rows))
        included = _union(fixed[Effect.INCLUDE]) if fixed[Effect.INCLUDE] else None
        excluded = _union(fixed[Effect.EXCLUDE])
        passing = (self._all if included is None else included) - excluded
        event_types = None if self._event_types is None else frozenset(self._event_types)
        return CompiledFilter(included, excluded, passing, tuple(steps), event_types)

    def _is_complete(self, expression: Expression) -> bool:
        """Whether there is a value for each of its parameters."""
        return all(
            operand.name in self._values
            for condition in (*conditions_of(expression.where), *expression.when)
            for operand in condition.operands
            if isinstance(operand, Placeholder)
        )

    def _predicate(self, predicate: Predicate) -> Rows | _Dynamic:
        if isinstance(predicate, Condition):
            return self._condition(predicate)
        combine = _intersection if isinstance(predicate, AllOf) else _union
        fixed, dynamic = list[Rows](), list[_Dynamic]()
        for part in predicate.parts:
            rows = self._predicate(part)
            if isinstance(rows, FrozenBitMap):
                fixed.append(rows)
            else:
                dynamic.append(rows)
        if not dynamic:
            return combine(fixed)
        base = [combine(fixed)] if fixed else []
        return lambda context: combine([*base, *(rows(context) for rows in dynamic)])

    def _condition(self, condition: Condition) -> Rows | _Dynamic:
        rows = self._events(condition) if condition.field.dataset in _EVENTS else self._column(condition)
        if not condition.operator.is_negated:
            return rows
        if isinstance(rows, FrozenBitMap):
            return self._all - rows
        return lambda context: self._all - rows(context)

    def _column(self, condition: Condition) -> Rows | _Dynamic:
        """Return the rows that the condition holds for, or would without its negation."""
        column = self._table.columns.get(condition.field.name)
        if column is None:
            return _NOTHING
        operator, table = condition.operator, self._table
        fixed = _union([
            column.matching(operator, value) for operand in condition.operands for value in self._constants(operand)
        ])  # fmt: skip
        items = [operand.name for operand in condition.operands if isinstance(operand, CurrentItem)]
        if not items:
            return fixed

        def rows(context: RequestContext) -> Rows:
            values = (value for name in items for value in table.values_of(context.current_item, name))
            return _union([fixed, *(column.matching(operator, value) for value in values)])

        return rows

    def _events(self, condition: Condition) -> _Dynamic:
        dataset = condition.field.dataset
        types = {event_key(dataset, str(value)) for operand in condition.operands for value in self._constants(operand)}
        if "*" in types or any(isinstance(operand, Wildcard) for operand in condition.operands):
            self._event_types = None
            return lambda context: _union(context.events.values())
        if self._event_types is not None:
            self._event_types |= types
        return lambda context: _union(
            rows for name, rows in context.events.items() if event_key(dataset, name) in types
        )

    def _when(self, conditions: tuple[Condition, ...]) -> Callable[[RequestContext], bool]:
        """Return whether an expression with these conditions after IF applies to a request."""
        return lambda context: (
            not conditions
            or (context.user is not None and all(self._holds(condition, context) for condition in conditions))
        )

    def _holds(self, condition: Condition, context: RequestContext) -> bool:
        assert context.user is not None
        user_values = context.user.get(condition.field.name, ())
        others = [
            value
            for operand in condition.operands
            for value in (
                self._table.values_of(context.current_item, operand.name)
                if isinstance(operand, CurrentItem)
                else self._constants(operand)
            )
        ]
        is_any = any(_compare(value, condition.operator, other) for value in user_values for other in others)
        return is_any is not condition.operator.is_negated

    def _constants(self, operand: Operand) -> tuple[Scalar, ...]:
        """Return the values of an operand that does not depend on the request."""
        match operand:
            case Constant(value=value):
                return (value,)
            case Placeholder(name=name):
                return self._values[name]
        return ()


def event_key(dataset: Dataset, event_type: str) -> str:
    """Return what event types are compared by; Personalize writes those of actions with a space or with `_`."""
    key = event_type.casefold()
    return key.replace("_", " ") if dataset is Dataset.ACTION_INTERACTIONS else key


def _compare(value: Scalar | np.generic, operator: Operator, other: Any) -> bool:
    """Compare a user's value as `NumberColumn` compares a column's; negations as what they negate."""
    if isinstance(other, np.generic):
        other = other.item()
    if isinstance(value, np.integer):
        value = int(value)
    elif isinstance(value, float | np.floating):
        with np.errstate(over="ignore"):
            other = type(value)(other)
    match operator:
        case Operator.LESS:
            return bool(value < other)
        case Operator.LESS_OR_EQUAL:
            return bool(value <= other)
        case Operator.GREATER:
            return bool(value > other)
        case Operator.GREATER_OR_EQUAL:
            return bool(value >= other)
    return bool(value == other)


def _union(rows: Iterable[Rows]) -> Rows:
    sets = list(rows)
    if len(sets) < 2:
        return sets[0] if sets else _NOTHING
    return FrozenBitMap.union(*sets)


def _intersection(rows: Iterable[Rows]) -> Rows:
    return FrozenBitMap.intersection(*rows)
