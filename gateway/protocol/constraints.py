"""The constraints that AWS's service models put on values: lengths, ranges, patterns, enumerations.

Checked here once for all operations, with the texts that AWS's own front ends answer with, since applications and
their tests match on them. The services behind check what the models cannot say.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection
from typing import Any, TypeAlias

from botocore.model import Shape

from common.errors import FieldViolation, InvalidInput

__all__ = ["Path", "Problems", "constraint_checks", "path_text", "report", "require_enum"]

#: Where a value stands: the way from the request's root, as linked pairs, so that it costs nothing while all is well.
Path: TypeAlias = "tuple[Path, str | int] | None"
#: What was found so far: (where, what).
Problems: TypeAlias = "list[tuple[str, str]]"
#: Returns the constraint that a value breaks, or None.
Check: TypeAlias = Callable[[Any], str | None]

_MAX_SHOWN = 256
_SEPARATORS = "\u0020\u00a0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
#: Classes of characters that Java's patterns have and Python's lack. Letters, numbers and `_` together are `\w`.
_CLASSES = ((r"\p{L}\p{Z}\p{N}_", rf"\w{_SEPARATORS}"), (r"\p{ASCII}", r"[\x00-\x7f]"))


def path_text(path: Path) -> str:
    """Write a path as AWS does: `eventList.1.member.itemId`, counted from one."""
    parts: list[str] = []
    while path is not None:
        path, key = path
        parts.append(key if isinstance(key, str) else f"{key + 1}.member")
    return ".".join(reversed(parts))


def constraint_checks(shape: Shape) -> tuple[Check, ...]:
    """Return what a value of this shape must pass; empty for most shapes."""
    checks: list[Check] = []
    sized = shape.type_name in ("string", "list", "map")
    low, high = shape.metadata.get("min"), shape.metadata.get("max")
    measured, measure = ("length", len) if sized else ("value", _same)
    if low is not None and not (sized and low == 0):
        text = f"Member must have {measured} greater than or equal to {low}"
        checks.append(lambda value: text if measure(value) < low else None)
    if high is not None:
        beyond = f"Member must have {measured} less than or equal to {high}"
        checks.append(lambda value: beyond if measure(value) > high else None)
    if (pattern := shape.metadata.get("pattern")) is not None:
        matches = compile_pattern(pattern)
        mismatch = f"Member must satisfy regular expression pattern: {pattern}"
        checks.append(lambda value: None if matches(value) else mismatch)
    if values := shape.metadata.get("enum"):
        allowed, outside = frozenset(values), require_enum(values)
        checks.append(lambda value: None if value in allowed else outside)
    return tuple(checks)


def compile_pattern(pattern: str) -> Callable[[str], object]:
    """Return a test for whole strings against a pattern in Java's dialect.

    Raises:
        re.error: The pattern uses what neither Python knows nor this function translates.
    """
    if r"\p{" not in pattern:
        return re.compile(pattern, re.ASCII).fullmatch  # as in Java, `\d` means 0 to 9 there
    for theirs, ours in _CLASSES:
        pattern = pattern.replace(theirs, ours)
    return re.compile(pattern).fullmatch


def require_enum(values: Collection[str]) -> str:
    """Return the text for a string that is none of an enumeration's."""
    return f"Member must satisfy enum value set: [{', '.join(values)}]"


def note(problems: Problems, path: Path, *, value: Any, constraint: str, sensitive: bool) -> None:
    """Add a broken constraint; sensitive values (personal data, mostly) are not repeated."""
    shown = "'***'" if sensitive else f"'{_shorten(value)}'"
    where = path_text(path)
    problems.append((where, f"Value {shown} at '{where}' failed to satisfy constraint: {constraint}"))


def note_missing(problems: Problems, path: Path) -> None:
    """Add a required member that is absent."""
    where = path_text(path)
    problems.append((where, f"Value null at '{where}' failed to satisfy constraint: Member must not be null"))


def report(problems: Problems) -> InvalidInput:
    """Return the error that tells all broken constraints of a request."""
    count = len(problems)
    noun = "validation error" if count == 1 else "validation errors"
    texts = "; ".join(text for _, text in problems)
    return InvalidInput(
        f"{count} {noun} detected: {texts}", violations=[FieldViolation(where, text) for where, text in problems]
    )


def _same(value: Any) -> Any:
    return value


def _shorten(value: Any) -> str:
    text = str(value)
    return text if len(text) <= _MAX_SHOWN else f"{text[:_MAX_SHOWN]}..."
