"""Requests that break one rule of Personalize's shapes each, for all operations, and those that just keep a rule.

Made from botocore's models and written down with the error that AWS gives, without the gateway's own reading of them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from tests import aws_shapes
from tests.gateway import samples

INVALID = "InvalidInputException"
WRONG_TYPE = "SerializationException"
#: Values as JSON knows them, by what the gateway calls them.
_TYPES = {"a string": "text", "a number": 7, "a boolean": True, "a list": [], "an object": {}}
_WANTED = {
    "structure": "an object", "map": "an object", "list": "a list", "string": "a string", "boolean": "a boolean",
    "integer": "an integer", "long": "an integer", "float": "a number", "double": "a number",
    "timestamp": "a number of seconds since 1970-01-01 UTC",
}  # fmt: skip
_ACCEPTED = {
    "structure": "an object", "map": "an object", "list": "a list", "string": "a string", "boolean": "a boolean",
}  # fmt: skip
_MAX_SHOWN = 256


@dataclass(frozen=True, slots=True)
class Invalid:
    """A value with one fault, and the answer to a request that has it.

    Attributes:
        value: The value, in the end a whole request.
        code: Name of the error.
        message: Its message, for broken constraints without the count before it.
    """

    value: Any
    code: str
    message: str

    def inside(self, value: Any) -> Invalid:
        """Return the same fault in the value that contains it."""
        return Invalid(value, self.code, self.message)


def valid_request(shape: Any) -> Any:
    """Return a valid request with every member, as JSON."""
    value = samples.request_value(shape)
    return _as_json(value)


def invalid_values(shape: Any, at: str = "") -> Iterator[Invalid]:
    """Yield all values of a shape that have one fault.

    Args:
        shape: From the model.
        at: Place in the request, as AWS writes it: `eventList.1.member.itemId`; empty for the request itself.
    """
    yield from _wrong_types(shape, at)
    yield from _out_of_bounds(shape, at)
    if shape.type_name == "structure":
        yield from _invalid_members(shape, at)
    elif shape.type_name == "list":
        yield Invalid([None], INVALID, _text("null", f"{at}.1.member", "Member must not be null"))
        for element in invalid_values(shape.member, f"{at}.1.member"):
            yield element.inside([element.value])
    elif shape.type_name == "map":
        ((key, value),) = valid_request(shape).items()
        for name in (*_out_of_bounds(shape.key, f"{at}.key"), *_invalid_texts(shape.key, f"{at}.key")):
            yield name.inside({name.value: value})
        for item in invalid_values(shape.value, f"{at}.{key}"):
            yield item.inside({key: item.value})
    elif shape.type_name == "string":
        yield from _invalid_texts(shape, at)


def values_at_bounds(shape: Any) -> Iterator[Any]:
    """Yield valid values of a shape in which one length or number is the least or the largest that is allowed."""
    kind = shape.type_name
    valid = valid_request(shape)
    if kind == "structure":
        for name, member in shape.members.items():
            yield from ({**valid, name: value} for value in values_at_bounds(member))
        yield {name: valid[name] for name in shape.required_members}
        return
    for bound in (shape.metadata.get("min"), shape.metadata.get("max")):
        if bound is not None and (value := _sized(shape, bound)) is not None:
            yield value
    if kind == "list":
        yield from ([value] for value in values_at_bounds(shape.member))
    elif kind == "map":
        ((key, item),) = valid.items()
        yield from ({value: item} for value in values_at_bounds(shape.key))
        yield from ({key: value} for value in values_at_bounds(shape.value))


def _as_json(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: _as_json(item) for name, item in value.items()}
    if isinstance(value, list):
        return [_as_json(item) for item in value]
    return value.timestamp() if hasattr(value, "timestamp") else value


def _wrong_types(shape: Any, at: str) -> Iterator[Invalid]:
    kind = shape.type_name
    place = f"`{at}`" if at else "body"
    for name, value in _TYPES.items():
        if name != _ACCEPTED.get(kind, "a number"):
            yield Invalid(value, WRONG_TYPE, f"{place}: got {name}, want {_WANTED[kind]}")
    if not at:
        yield Invalid(None, WRONG_TYPE, "body: got null, want an object")
    if kind == "integer":
        yield Invalid(2.5, WRONG_TYPE, f"{place}: got a number, want an integer")


def _out_of_bounds(shape: Any, at: str) -> Iterator[Invalid]:
    measured = "length" if shape.type_name in ("string", "list", "map") else "value"
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    if high is not None:
        value = _any_of_size(shape, high + 1)
        yield Invalid(
            value, INVALID, _broken(shape, value, at, f"Member must have {measured} less than or equal to {high}")
        )
    if low is not None and not (measured == "length" and low == 0):
        value = _any_of_size(shape, low - 1)
        yield Invalid(
            value, INVALID, _broken(shape, value, at, f"Member must have {measured} greater than or equal to {low}")
        )


def _invalid_members(shape: Any, at: str) -> Iterator[Invalid]:
    valid = valid_request(shape)
    for name in shape.required_members:
        message = _text("null", _join(at, name), "Member must not be null")
        yield Invalid({key: value for key, value in valid.items() if key != name}, INVALID, message)
        yield Invalid({**valid, name: None}, INVALID, message)
    for name, member in shape.members.items():
        for fault in invalid_values(member, _join(at, name)):
            yield fault.inside({**valid, name: fault.value})


def _invalid_texts(shape: Any, at: str) -> Iterator[Invalid]:
    if values := shape.metadata.get("enum"):
        for value in ("", values[0].lower(), f"{values[0]} "):
            yield Invalid(
                value, INVALID, _broken(shape, value, at, f"Member must satisfy enum value set: [{', '.join(values)}]")
            )
    if (pattern := shape.metadata.get("pattern")) is not None:
        for sign in ("!", "ä", "\x7f", "\u2028"):
            value = sign * max(1, shape.metadata.get("min", 1))
            if not aws_shapes.fits(pattern, value):
                constraint = f"Member must satisfy regular expression pattern: {pattern}"
                yield Invalid(value, INVALID, _broken(shape, value, at, constraint))


def _any_of_size(shape: Any, size: float) -> Any:
    """Return a value whose length, or which itself, is `size`; nothing else of it need be valid."""
    kind = shape.type_name
    if kind == "string":
        return "a" * int(size)
    if kind == "list":
        return [valid_request(shape.member)] * int(size)
    if kind == "map":
        value = valid_request(shape.value)
        return {"K" * (number + 1): value for number in range(int(size))}
    return size


def _sized(shape: Any, size: float) -> Any:
    """Return a valid value of this size; None where no text of this length matches the pattern."""
    if shape.type_name == "map" and "enum" in shape.key.metadata:
        return dict.fromkeys(shape.key.enum[:size], valid_request(shape.value)) if size <= len(shape.key.enum) else None
    if shape.type_name != "string" or (pattern := shape.metadata.get("pattern")) is None:
        return _any_of_size(shape, size)
    sample = samples.BY_PATTERN[pattern]
    filled = int(size) - len(sample)
    texts = ["a" * int(size), f"{sample}{'a' * filled}", sample.replace("7", "7" * (filled + 1))]
    return next((text for text in texts if len(text) == size and aws_shapes.fits(pattern, text)), None)


def _broken(shape: Any, value: Any, at: str, constraint: str) -> str:
    return _text(_shown(shape, value), at, constraint)


def _text(value: str, at: str, constraint: str) -> str:
    return f"Value {value} at '{at}' failed to satisfy constraint: {constraint}"


def _shown(shape: Any, value: Any) -> str:
    """Return a value as errors quote it: personal data and maps not at all, of lists the size, of texts the start."""
    inner = shape.member.metadata if shape.type_name == "list" else {}
    if shape.type_name == "map" or shape.metadata.get("sensitive") or inner.get("sensitive"):
        return "'***'"
    if isinstance(value, list):
        return f"'[{len(value)} members]'"
    text = str(value)
    return f"'{text}'" if len(text) <= _MAX_SHOWN else f"'{text[:_MAX_SHOWN]}...'"


def _join(at: str, name: str) -> str:
    return f"{at}.{name}" if at else name
