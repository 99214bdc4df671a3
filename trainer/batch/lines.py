"""One line of the input, and the line that answers it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

import orjson

from common.errors import invalid

__all__ = ["Answers", "Line", "filter_values", "read_lines", "text_member"]

#: Of a line that cannot be read so much is shown in an error.
_SHOWN: Final = 60


@dataclass(slots=True, eq=False)  # not frozen, which takes several times as long to make
class Line:
    """One line of a file.

    Attributes:
        number: From 1 on; of Parquet that of the row.
        text: As it stands in the file, without its end.
        members: What it says; None where it is no JSON object.
        problem: Why it is none; empty where it is one.
    """

    number: int
    text: bytes
    members: dict[str, Any] | None
    problem: str = ""


def read_lines(data: bytes, *, first: int) -> Iterator[Line]:
    """Yield the lines that are not empty.

    Args:
        data: Whole lines, as bytes of UTF-8.
        first: Number of the first.
    """
    for number, untrimmed in enumerate(data.split(b"\n"), start=first):
        text = untrimmed.strip()
        if not text:
            continue
        try:
            members = orjson.loads(text)
        except orjson.JSONDecodeError as error:
            yield Line(number, text, None, f"`line {number}`: got no valid JSON ({error}), want one object")
            continue
        if isinstance(members, dict):
            yield Line(number, text, members)
        else:
            got = text[:_SHOWN].decode(errors="replace")
            yield Line(number, text, None, f"`line {number}`: got {got}, want one JSON object")


def text_member(members: Mapping[str, Any], name: str, *, meaning: str, longest: int = 256) -> str:
    """Return a member of a line that must be text.

    Args:
        members: Of the line.
        name: Of the member.
        meaning: What it is, for errors, e.g. `the id of a user`.
        longest: Characters at most.

    Raises:
        InvalidInput: It is missing, empty, too long or something else.
    """
    value = members.get(name)
    if not isinstance(value, str) or not value:
        raise invalid(name, got=value, want=f"{meaning}, as text")
    if len(value) > longest:
        raise invalid(name, got=value[:_SHOWN] + "…", want=f"at most {longest} characters")
    return value


def filter_values(members: Mapping[str, Any]) -> dict[str, str]:
    """Return the values of a filter's parameters that a line has; Parquet has null for those that it has not.

    Raises:
        InvalidInput: They are not texts by name.
    """
    values = members.get("filterValues")
    if values is None:
        return {}
    if not isinstance(values, dict):
        raise invalid("filterValues", got=values, want="an object: by the parameters' names their values as text")
    for name, value in values.items():
        if value is not None and not isinstance(value, str):
            raise invalid(f"filterValues.{name}", got=value, want='text, as in {"GENRE": "\\"comedy\\",\\"drama\\""}')
    return {name: value for name, value in values.items() if value is not None}


class Answers:
    """Gathers the lines that answer the lines of a part.

    Attributes:
        answered: Lines that have an output.
        failed: Lines that have an error.
    """

    def __init__(self) -> None:
        self.answered = 0
        self.failed = 0
        self._lines: list[bytes] = []

    def add(self, line: Line, output: Mapping[str, Any]) -> None:
        """Answer a line.

        Args:
            line: As it was read.
            output: The members of its `output`, none of them NaN.
        """
        self.answered += 1
        self._write(line, output, None)

    def fail(self, line: Line, message: str) -> None:
        """Say why a line cannot be answered."""
        self.failed += 1
        self._write(line, None, message)

    def content(self) -> bytes:
        """Return all lines, each with its end."""
        return b"".join(self._lines)

    def _write(self, line: Line, output: Mapping[str, Any] | None, error: str | None) -> None:
        # An object is shown as it was written: what was read of it may be nested deeper than can be written, and its
        # longest integers have become floats. A CR in an object is white space between its members, but readers of
        # the output may take it for the end of a line.
        echo: Any = (
            line.text.decode(errors="replace")
            if line.members is None
            else orjson.Fragment(line.text.replace(b"\r", b" "))
        )
        self._lines.append(
            orjson.dumps({"input": echo, "output": output, "error": error}, option=orjson.OPT_APPEND_NEWLINE)
        )
