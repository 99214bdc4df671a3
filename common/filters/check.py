"""Checks filter expressions against the schemas of a dataset group: from a text to a `Filter` that can be evaluated.

Everything that CreateFilter refuses is refused here, with the place in the text. Where Personalize's wording is known
it comes first.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final, Literal, Never

from common.avro import AvroSchema
from common.columns import EVENT_TYPE
from common.errors import FieldViolation, InvalidInput, invalid
from common.filters.expression import (
    AllOf,
    AnyOf,
    Condition,
    Constant,
    CurrentItem,
    Dataset,
    Effect,
    Expression,
    Field,
    Operand,
    Operator,
    Placeholder,
    Predicate,
    Scalar,
    Target,
    Wildcard,
    conditions_of,
)
from common.filters.parser import MalformedExpression, parse_chain

__all__ = ["MAX_FIELDS", "MAX_LENGTH", "Filter", "Parameter", "ValueType", "filter_target", "parse_filter"]

#: Characters of an expression, by Personalize's limit.
MAX_LENGTH: Final = 2500
#: Different fields of one filter, by Personalize's default quota.
MAX_FIELDS: Final = 10

ValueType = Literal["text", "number"]

_FIELD: Final = "filterExpression"
_DATASETS: Final[Mapping[Target, tuple[Dataset, Dataset]]] = {
    Target.ITEM: (Dataset.ITEMS, Dataset.INTERACTIONS),
    Target.ACTION: (Dataset.ACTIONS, Dataset.ACTION_INTERACTIONS),
    Target.USER: (Dataset.USERS, Dataset.INTERACTIONS),
}
_EVENTS: Final = (Dataset.INTERACTIONS, Dataset.ACTION_INTERACTIONS)
#: Applied to every recommendation of actions, and nothing to filter by.
_AUTOMATIC: Final = ("EXPIRATION_TIMESTAMP", "ACTION_EXPIRATION_TIMESTAMP", "REPEAT_FREQUENCY")
_SHOWN: Final = 60


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a request passes for `$name`.

    Attributes:
        name: Without the `$`.
        type: Of each value.
        is_single: It takes exactly one value, as it stands beside a comparison; otherwise any number from one.
        is_required: A request without it is refused, as it stands in an INCLUDE; otherwise the expressions with it
            are skipped.
    """

    name: str
    type: ValueType
    is_single: bool
    is_required: bool


@dataclass(frozen=True, slots=True)
class Filter:
    """An expression that fits the schemas.

    Attributes:
        text: As it was written.
        expressions: The chain, every name as the schema spells it.
        target: What it chooses from.
        fields: The fields it reads, CurrentUser's and CurrentItem's as those of Users and Items.
        parameters: What requests pass, by name.
        needs_user: It reads the events or the fields of the request's user.
        needs_item: It reads fields of the request's item.
    """

    text: str
    expressions: tuple[Expression, ...]
    target: Target
    fields: frozenset[Field]
    parameters: Mapping[str, Parameter]
    needs_user: bool
    needs_item: bool


def parse_filter(text: str, schemas: Mapping[Dataset, AvroSchema], *, max_fields: int = MAX_FIELDS) -> Filter:
    """Read and check a filter expression.

    Args:
        text: The expression.
        schemas: Of the datasets that the group has.
        max_fields: Different fields it may read.

    Raises:
        InvalidInput: It is too long, malformed, or does not fit the schemas; names the place and what would fit.
    """
    if not 1 <= len(text) <= MAX_LENGTH:
        raise invalid(_FIELD, got=f"{len(text)} characters", want=f"1 to {MAX_LENGTH}")
    try:
        chain = parse_chain(text)
        return _Check(schemas).check(text, chain, max_fields)
    except MalformedExpression as error:
        raise _invalid(text, error) from error


def filter_target(text: str) -> Target:
    """Return what a filter chooses from, whose expression `parse_filter` has accepted before."""
    return parse_chain(text)[0].target


def _invalid(text: str, error: MalformedExpression) -> InvalidInput:
    line = text.count("\n", 0, error.position) + 1
    column = error.position - text.rfind("\n", 0, error.position)
    got = repr(_shortened(error.got)) if error.got else "the end"
    description = f"got {got} at line {line}, column {column}, want {error.want}"
    message = f"Could not create filter. Invalid Expression: `{_FIELD}`: {description}"
    return InvalidInput(message, violations=[FieldViolation(_FIELD, description)])


def _shortened(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _reject(place: Condition | Operand | Expression, *, got: object, want: str) -> Never:
    raise MalformedExpression(place.position, got=str(got), want=want)


class _Check:
    """The check of one filter: goes through its conditions, gives names the schema's spelling and collects uses."""

    def __init__(self, schemas: Mapping[Dataset, AvroSchema]) -> None:
        self._schemas = schemas
        self._fields: set[Field] = set()
        self._parameters: dict[str, Parameter] = {}
        self._needs_user = False
        self._needs_item = False

    def check(self, text: str, chain: tuple[Expression, ...], max_fields: int) -> Filter:
        target = chain[0].target
        for expression in chain:
            if expression.target is not target:
                _reject(expression, got=expression.target, want=f"{target}, as in the first expression")
        expressions = tuple(self._expression(expression) for expression in chain)
        if len(self._fields) > max_fields:
            names = ", ".join(sorted(map(str, self._fields)))
            raise invalid(_FIELD, got=f"{len(self._fields)} fields: {names}", want=f"at most {max_fields}")
        return Filter(
            text=text,
            expressions=expressions,
            target=target,
            fields=frozenset(self._fields),
            parameters=self._parameters,
            needs_user=self._needs_user,
            needs_item=self._needs_item,
        )

    def _expression(self, expression: Expression) -> Expression:
        first, *others = conditions_of(expression.where)
        allowed = _DATASETS[expression.target]
        if first.field.dataset not in allowed:
            want = f"for {expression.target} a field of {' or '.join(allowed)}"
            _reject(first, got=first.field, want=want)
        for condition in others:
            if condition.field.dataset is not first.field.dataset:
                want = f"a field of {first.field.dataset} as in the first condition; join expressions by | for others"
                _reject(condition, got=condition.field, want=want)
        if first.field.dataset in _EVENTS and expression.target is not Target.USER:
            self._needs_user = True
        if expression.when:
            self._needs_user = True
            if expression.target is Target.USER:
                want = "no IF: there is no current user where users are chosen"
                _reject(expression.when[0], got=f"CurrentUser.{expression.when[0].field.name}", want=want)
        return dataclasses.replace(
            expression,
            where=self._predicate(expression.where, expression),
            when=tuple(self._condition(condition, expression) for condition in expression.when),
        )

    def _predicate(self, predicate: Predicate, expression: Expression) -> Predicate:
        if isinstance(predicate, Condition):
            return self._condition(predicate, expression)
        kind = AllOf if isinstance(predicate, AllOf) else AnyOf
        return kind(tuple(self._predicate(part, expression) for part in predicate.parts))

    def _condition(self, condition: Condition, expression: Expression) -> Condition:
        field, value_type = self._resolve(condition.field, condition)
        if condition.operator.is_range and value_type == "text":
            _reject(condition, got=f"{field} {condition.operator}", want="a numeric field for an order")
        operands = tuple(self._operand(operand, condition, value_type, expression) for operand in condition.operands)
        return dataclasses.replace(condition, field=field, operands=operands)

    def _operand(
        self, operand: Operand, condition: Condition, value_type: ValueType, expression: Expression
    ) -> Operand:
        is_event_type = condition.field.dataset in _EVENTS
        match operand:
            case Constant(value=value):
                if _type_of(value) != value_type:
                    _reject(operand, got=value, want=f"a {value_type} value, which {condition.field} has")
            case Placeholder():
                self._use(operand, condition, value_type, is_required=expression.effect is Effect.INCLUDE)
            case Wildcard():
                if not is_event_type:
                    _reject(operand, got="*", want="a value; * stands for event types only")
            case CurrentItem(name=name):
                if expression.target is not Target.ITEM or is_event_type:
                    want = "a value; only fields of items and users are compared with those of the current item"
                    _reject(operand, got=f"CurrentItem.{name}", want=want)
                field, item_type = self._resolve(Field(Dataset.ITEMS, name), operand)
                if item_type != value_type:
                    _reject(operand, got=f"CurrentItem.{name}", want=f"a field of {value_type} values")
                self._needs_item = True
                return dataclasses.replace(operand, name=field.name)
        return operand

    def _resolve(self, field: Field, place: Condition | CurrentItem) -> tuple[Field, ValueType]:
        """Return a field as its schema spells it, with the type of its values."""
        if field.dataset not in self._schemas:
            has = ", ".join(self._schemas) or "none"
            _reject(place, got=field, want=f"a field of a dataset that the group has: {has}")
        is_event_type = field.dataset in _EVENTS
        if is_event_type and field.name.upper() != EVENT_TYPE:
            _reject(place, got=field, want=f"{field.dataset}.{EVENT_TYPE}, the only field of it that filters read")
        columns = {column.name.lower(): column for column in self._schemas[field.dataset].fields}
        column = columns.get(field.name.lower())
        if column is None:
            names = _shortened(", ".join(item.name for item in columns.values()))
            _reject(place, got=field, want=f"a field that the schema of {field.dataset} has: {names}")
        if column.textual or column.type == "boolean":
            kind = "textual" if column.textual else "boolean"
            _reject(place, got=field, want=f"a field that is not {kind}")
        if field.dataset is Dataset.ACTIONS and column.name.upper() in _AUTOMATIC:
            _reject(place, got=field, want="another field; actions that expired or are too soon never come anyway")
        resolved = Field(field.dataset, column.name)
        self._fields.add(resolved)
        return resolved, "text" if column.type == "string" else "number"

    def _use(self, operand: Placeholder, condition: Condition, value_type: ValueType, *, is_required: bool) -> None:
        if condition.operator is Operator.NOT_IN:
            message = (
                f"Could not create filter. Invalid input symbol: ${operand.name}. Placeholders are not allowed with "
                "NOT_IN operator."
            )
            description = f"got ${operand.name} after NOT IN, want IN and the opposite of {_FIELD}'s INCLUDE or EXCLUDE"
            raise InvalidInput(message, violations=[FieldViolation(_FIELD, description)])
        is_single = condition.operator is not Operator.IN
        before = self._parameters.get(operand.name)
        if before:
            if before.type != value_type:
                _reject(
                    operand, got=f"${operand.name}", want=f"another name: it stands for {before.type} values before"
                )
            is_single, is_required = before.is_single or is_single, before.is_required or is_required
        self._parameters[operand.name] = Parameter(operand.name, value_type, is_single, is_required)


def _type_of(value: Scalar) -> ValueType:
    """Return what a value is to a filter."""
    return "text" if isinstance(value, str) else "number"
