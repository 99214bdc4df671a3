r"""The one dialect of CSV that is read: values between commas, a record a line, decided for each value by itself.

A value that begins with a double quote ends at the next quote that is not escaped. Inside, `\"`, `\\` and `""` stand
for a quote, a backslash and a quote; any other backslash is itself. A value that does not begin with a quote is what
stands there, backslashes and quotes included. Why it is so, and what no dialect can distinguish: `docs/adr/0018`.
"""

from __future__ import annotations

import re

__all__ = ["parse_line"]

# Possessive quantifiers: nothing is tried twice, so a line takes time in proportion to its length.
_QUOTED = re.compile(r'"((?:[^"\\]++|""|\\["\\]|\\)*+)"')
_ESCAPED_QUOTE = '\\"'
_ESCAPED = re.compile(r'"(")|\\(["\\])')


def parse_line(line: str) -> list[str]:
    r"""Cut one line into its values.

    Raises:
        ValueError: A quote is not closed on the line, something follows a closing quote, or `\"` stands in a value that
            is not quoted, where programs that escape mean a quote and all others a backslash and a quote.
    """
    values = []
    place, length = 0, len(line)
    while True:
        if line.startswith('"', place):
            value, end = _quoted(line, place)
        else:
            end = line.find(",", place)
            end = length if end < 0 else end
            value = line[place:end]
            if _ESCAPED_QUOTE in value:
                where = line.index(_ESCAPED_QUOTE, place) + 1
                raise ValueError(
                    rf"got \" at character {where}, in a value that is not quoted, want a value with quotes to stand "
                    "in quotes as a whole"
                )
        values.append(value)
        if end == length:
            return values
        place = end + 1


def _quoted(line: str, place: int) -> tuple[str, int]:
    """Return the value whose quote opens at a place, and where the next comma, or the end of the line, must be."""
    match = _QUOTED.match(line, place)
    if match is None:
        raise ValueError(
            f"got a quote at character {place + 1} that is not closed on its line, want values without line breaks, "
            r"and \\ for a backslash before a quote"
        )
    value, end = match[1], match.end()
    if end < len(line) and line[end] != ",":
        raise ValueError(
            f"got {line[end]!r} at character {end + 1}, after a closing quote, want a comma, or "
            r'quotes within quotes as \" or ""'
        )
    if '"' in value or "\\" in value:
        value = _ESCAPED.sub(r"\1\2", value)
    return value, end
