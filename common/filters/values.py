r"""Reads the values that a request passes for the parameters of a filter: `{"GENRE": "\"comedy\",\"drama\""}`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from common.errors import invalid
from common.filters.check import Filter, Parameter
from common.filters.expression import Scalar
from common.filters.parser import MalformedExpression, parse_constants

__all__ = ["MAX_VALUES", "MAX_VALUE_LENGTH", "FilterValues", "parse_filter_values"]

#: Entries of `filterValues`, and characters of each, by Personalize's limits.
MAX_VALUES: Final = 25
MAX_VALUE_LENGTH: Final = 1000

#: The values of each parameter that a request passes.
FilterValues = Mapping[str, tuple[Scalar, ...]]

_FIELD: Final = "filterValues"


def parse_filter_values(definition: Filter, values: Mapping[str, str]) -> FilterValues:
    r"""Read the values of a filter's parameters.

    Args:
        definition: The filter.
        values: By the parameters' names, in their case: text in double quotes or bare numbers, separated by commas.

    Returns:
        Those of each parameter that was passed. Its items are hashable, so that results can be cached by them.

    Raises:
        InvalidInput: There are too many values or too long ones, one is malformed or of the wrong type, a parameter is
            unknown, or one that the filter requires is missing; names it.
    """
    if len(values) > MAX_VALUES:
        raise invalid(_FIELD, got=f"{len(values)} entries", want=f"at most {MAX_VALUES}")
    parsed = {}
    for name, text in values.items():
        parameter = definition.parameters.get(name)
        if parameter is None:
            names = ", ".join(definition.parameters) or "none"
            raise invalid(f"{_FIELD}.{name}", got=text, want=f"only the filter's parameters, which are: {names}")
        parsed[name] = _values(parameter, text)
    for parameter in definition.parameters.values():
        if parameter.is_required and parameter.name not in parsed:
            raise invalid(f"{_FIELD}.{parameter.name}", got=None, want=_want(parameter))
    return parsed


def _values(parameter: Parameter, text: str) -> tuple[Scalar, ...]:
    place = f"{_FIELD}.{parameter.name}"
    if len(text) > MAX_VALUE_LENGTH:
        raise invalid(place, got=f"{len(text)} characters", want=f"at most {MAX_VALUE_LENGTH}")
    try:
        values = tuple(constant.value for constant in parse_constants(text))
    except MalformedExpression as error:
        raise invalid(place, got=text, want=_want(parameter)) from error
    wants_text = parameter.type == "text"
    if any(isinstance(value, str) != wants_text for value in values) or (parameter.is_single and len(values) > 1):
        raise invalid(place, got=text, want=_want(parameter))
    return values


def _want(parameter: Parameter) -> str:
    if parameter.type == "text":
        return "one text in double quotes" if parameter.is_single else "texts in double quotes, separated by commas"
    return "one number" if parameter.is_single else "numbers, separated by commas"
