"""The constraints that AWS's service models put on values: lengths, ranges, patterns, enumerations.

Checked here once for all operations, with the texts of AWS's own front ends, since applications and their tests match
on them. The services check what the models cannot express.

Callers choose the values, so the work is bounded: the length is checked before the pattern, patterns are matched in
linear time (RE2), and at most one broken constraint is reported per value and ten per request.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from functools import lru_cache
from typing import Any, Final, TypeAlias

import re2
from botocore.model import Shape

from common.errors import FieldViolation, InvalidInput

__all__ = ["MAX_PROBLEMS", "Path", "Problems", "constraint_check", "path_text", "report", "require_enum"]

#: The path of a value from the request's root, as linked pairs, so that it costs nothing while all is valid.
Path: TypeAlias = "tuple[Path, str | int] | None"
#: The broken constraints so far: (path, text).
Problems: TypeAlias = "list[tuple[str, str]]"
#: Returns the constraint that a value breaks, or None.
Check: TypeAlias = Callable[[Any], str | None]

#: Broken constraints that are reported for one request; the search ends there.
MAX_PROBLEMS: Final = 10

_MAX_SHOWN = 256
#: Keys of maps come from callers, have any length, and are parts of paths.
_MAX_KEY_SHOWN = 64
#: Patterns that RE2 does not match, and what is checked instead.
_REPLACEMENTS: Final[dict[str, Callable[[str], bool]]] = {
    # RE2 counts to 1,000.
    r"\p{ASCII}{0,1500}": lambda text: len(text) <= 1500 and text.isascii(),
    # Places of files: imports read `file:///PATH` too, and the control plane explains a broken rule in words.
    r"(s3|http|https)://.+": lambda _: True,
}


def path_text(path: Path) -> str:
    """Write a path as AWS does: `eventList.1.member.itemId`, counted from one."""
    parts: list[str] = []
    while path is not None:
        path, key = path
        parts.append(_shorten(key, most=_MAX_KEY_SHOWN) if isinstance(key, str) else f"{key + 1}.member")
    return ".".join(reversed(parts))


def constraint_check(shape: Shape) -> Check:
    """Return the check of a shape's values; it returns the first constraint that is broken."""
    checks = _checks(shape)

    def first_broken(value: Any) -> str | None:
        for check in checks:
            if (constraint := check(value)) is not None:
                return constraint
        return None

    return first_broken if checks else lambda _: None


def _checks(shape: Shape) -> list[Check]:
    """Return a shape's checks, those of constant cost first."""
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
    if values := shape.metadata.get("enum"):
        allowed, outside = frozenset(values), require_enum(values)
        checks.append(lambda value: None if value in allowed else outside)
    if (pattern := shape.metadata.get("pattern")) is not None:
        # Most values are ARNs that repeat; the lengths above bound what is cached.
        matches = lru_cache(maxsize=256)(compile_pattern(pattern))
        mismatch = f"Member must satisfy regular expression pattern: {pattern}"
        checks.append(lambda value: None if matches(value) else mismatch)
    return checks


def compile_pattern(pattern: str) -> Callable[[str], object]:
    r"""Return a test for whole strings against a pattern in Java's dialect, whose time grows as the string does.

    RE2 reads the patterns as Java does: `\d` means 0 to 9, `\p{L}` all letters, `.` no line feed.

    Raises:
        re2.error: The pattern uses what RE2 does not know.
    """
    if (matches := _REPLACEMENTS.get(pattern)) is not None:
        return matches
    options = re2.Options()
    options.never_capture = True
    options.log_errors = False
    matcher: Callable[[str], object] = re2.compile(pattern, options=options).fullmatch
    return matcher


def require_enum(values: Collection[str]) -> str:
    """Return the text for a string that is none of an enumeration's."""
    return f"Member must satisfy enum value set: [{', '.join(values)}]"


def note(problems: Problems, path: Path, *, value: Any, constraint: str, sensitive: bool) -> None:
    """Add a broken constraint; sensitive values (personal data, mostly) are not repeated.

    Raises:
        InvalidInput: The request has as many broken constraints as are reported.
    """
    shown = "'***'" if sensitive else f"'{_quote(value)}'"
    where = path_text(path)
    _add(problems, where, f"Value {shown} at '{where}' failed to satisfy constraint: {constraint}")


def note_missing(problems: Problems, path: Path) -> None:
    """Add a required member that is absent.

    Raises:
        InvalidInput: The request has as many broken constraints as are reported.
    """
    where = path_text(path)
    _add(problems, where, f"Value null at '{where}' failed to satisfy constraint: Member must not be null")


def _add(problems: Problems, where: str, text: str) -> None:
    problems.append((where, text))
    if len(problems) >= MAX_PROBLEMS:
        raise report(problems)


def report(problems: Problems) -> InvalidInput:
    """Return the error that lists the broken constraints of a request."""
    count = len(problems)
    noun = "validation error" if count == 1 else "validation errors"
    texts = "; ".join(text for _, text in problems)
    return InvalidInput(
        f"{count} {noun} detected: {texts}", violations=[FieldViolation(where, text) for where, text in problems]
    )


def _same(value: Any) -> Any:
    return value


def _quote(value: Any) -> str:
    # Of a collection only the size: its members may be personal data, of any length.
    if isinstance(value, list | dict):
        return f"[{len(value)} members]"
    return _shorten(value if isinstance(value, str) else str(value), most=_MAX_SHOWN)


def _shorten(text: str, *, most: int) -> str:
    return text if len(text) <= most else f"{text[:most]}..."
