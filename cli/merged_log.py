"""The merged log of all processes: one aligned line of text for each of theirs.

Processes write JSON lines; what is no JSON, such as a library's cry on standard error, is passed through as it is.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from rich.console import Console
from rich.text import Text

from common.clock import Clock, SystemClock

__all__ = ["MergedLog"]

_COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue")
_LEVELS: Final = {"debug": "dim", "info": "", "warning": "bold yellow", "error": "bold red", "critical": "bold red"}
#: Shown in a place of their own, or the same on every line of a process.
_CONSUMED: Final = frozenset({"event", "level", "timestamp", "service", "exception"})


class MergedLog:
    """Renders lines to a console; an `Output` of the supervisor.

    Args:
        processes: Names of all processes, for colours and the width of the column.
        console: Where lines go; may be changed while it runs.
        own_name: Whose name the supervisor's remarks carry.
        clock: Source of the present time, for lines that carry none.
    """

    def __init__(
        self, processes: Iterable[str], *, console: Console, own_name: str = "tailorbird", clock: Clock | None = None
    ) -> None:
        names = list(processes)
        self.console = console
        self._own_name = own_name
        self._clock = clock or SystemClock()
        self._width = max(len(name) for name in [*names, own_name])
        self._colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}

    @staticmethod
    def file_console(stream: TextIO) -> Console:
        """Return a console that writes plain text of any width."""
        return Console(file=stream, force_terminal=False, color_system=None, width=10_000)

    def line(self, process: str, text: str) -> None:
        """Render one line that a process wrote."""
        fields = _parse(text)
        if fields is None:
            self._print(self._head(process, self._clock.now(), "info").append(text))
            return
        level = str(fields.get("level", "info")).lower()
        rendered = self._head(process, self._time(fields.get("timestamp")), level)
        rendered.append(str(fields["event"]), style=_LEVELS.get(level, ""))
        for name, value in fields.items():
            if name not in _CONSUMED and value is not None:
                rendered.append(f"  {name}=", style="dim").append(_show(value))
        if trace := fields.get("exception"):
            indent = "\n" + " " * (self._width + 12)
            rendered.append(indent + indent.join(str(trace).splitlines()), style="dim")
        self._print(rendered)

    def note(self, event: str, *, level: str = "info", **fields: object) -> None:
        """Render a remark of the supervisor."""
        rendered = self._head(self._own_name, self._clock.now(), level).append(event, style=_LEVELS.get(level, ""))
        for name, value in fields.items():
            rendered.append(f"  {name}=", style="dim").append(_show(value))
        self._print(rendered)

    def _head(self, process: str, when: datetime, level: str) -> Text:
        head = Text()
        head.append(f"{when.astimezone():%H:%M:%S}  ", style="dim")
        head.append(f"{process:<{self._width}}  ", style=self._colours.get(process, "bold"))
        if level in {"warning", "error", "critical"}:
            head.append(f"{level}: ", style=_LEVELS[level])
        return head

    def _time(self, stamp: object) -> datetime:
        if isinstance(stamp, str):
            try:
                parsed = datetime.fromisoformat(stamp)
            except ValueError:
                return self._clock.now()
            return parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)
        return self._clock.now()

    def _print(self, rendered: Text) -> None:
        # Soft wrap: the terminal folds long lines, and copying one gives one line.
        self.console.print(rendered, soft_wrap=True, highlight=False)


def _parse(text: str) -> Mapping[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except ValueError:
        return None
    return fields if isinstance(fields, dict) and "event" in fields else None


def _show(value: object) -> str:
    if isinstance(value, str):
        return value if value and " " not in value else repr(value)
    if isinstance(value, float):
        return f"{value:g}"
    return json.dumps(value, default=str, ensure_ascii=False)
