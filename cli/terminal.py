"""Text from callers and files as a terminal may show it: what would steer the terminal is shown as an escape."""

from __future__ import annotations

from typing import Final

__all__ = ["escape_controls"]

#: Characters that control a terminal or break a line, with the escapes that are shown instead.
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in (*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0))}


def escape_controls(text: str, *, keeps_lines: bool = False) -> str:
    """Return a text whose control characters, tabs aside, are escapes.

    Args:
        text: The text.
        keeps_lines: Whether breaks between lines stay what they are.
    """
    if keeps_lines:
        return "\n".join(map(escape_controls, text.split("\n")))
    return text.translate(_ESCAPES)
