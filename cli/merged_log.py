"""Renders the log lines of all processes as aligned text.

Processes write JSON lines; other lines, such as a library's message on standard error, are passed through unchanged.
Lines may contain text from callers, so control characters and broken Unicode are shown as escapes.
"""

from __future__ import annotations

import io
import json
import threading
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from typing import Any, Final, TextIO

from rich.console import Console, RenderableType
from rich.text import Text

from cli.log_writer import LogWriter
from cli.terminal import escape_controls
from common.clock import Clock, SystemClock

__all__ = ["MergedLog"]

_COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue")
_LEVELS: Final = {"debug": "dim", "info": "", "warning": "bold yellow", "error": "bold red", "critical": "bold red"}
#: Fields that have a place of their own in the line, or are the same on every line of a process.
_CONSUMED: Final = frozenset({"event", "level", "timestamp", "service", "exception"})


class MergedLog:
    """Renders lines to a console; an `Output` of the supervisor. Errors of the console are never raised.

    Args:
        processes: Names of all processes, for colours and the width of the column.
        console: Decides how lines are rendered; they are written to its file, but not through it.
        quiet: Whether to leave out lines and notes.
        own_name: Process name of the supervisor's notes.
        clock: Source of the current time, for lines without a timestamp.
    """

    def __init__(
        self,
        processes: Iterable[str],
        *,
        console: Console,
        quiet: bool = False,
        own_name: str = "tailorbird",
        clock: Clock | None = None,
    ) -> None:
        names = list(processes)
        self._quiet = quiet
        self._own_name = own_name
        self._clock = clock or SystemClock()
        self._width = max(len(name) for name in [*names, own_name])
        self._colours = {name: _COLOURS[place % len(_COLOURS)] for place, name in enumerate(names)}
        self._to_person = console.file.isatty()
        self._renderer = _Renderer(console)
        self._writer = LogWriter(console.file, render_loss=self._render_loss)

    @property
    def to_person(self) -> bool:
        """Whether the console is a terminal."""
        return self._to_person

    def move_to(self, console: Console) -> None:
        """Write everything that follows to another console."""
        self.close()
        self._to_person = console.file.isatty()
        self._renderer = _Renderer(console)
        self._writer = LogWriter(console.file, render_loss=self._render_loss)

    def print(self, renderable: RenderableType) -> None:
        """Print a Rich renderable, also when `quiet`."""
        self._writer.write(self._renderer.render(renderable))

    def flush(self, *, seconds: float) -> bool:
        """Wait until everything is written or lost; return whether that happened in time."""
        return self._writer.flush(seconds=seconds)

    def close(self) -> None:
        """Write what is queued, unless that takes long, and accept nothing more."""
        self._writer.close()

    @staticmethod
    def file_console(stream: TextIO) -> Console:
        """Return a console that writes plain text without wrapping lines."""
        return Console(file=stream, force_terminal=False, color_system=None, width=10_000)

    def line(self, process: str, text: str) -> None:
        """Render one line that a process wrote."""
        if self._quiet:
            return
        fields = _parse(text)
        if fields is None:
            self._write_text(self._head(process, self._clock.now(), "info").append(escape_controls(text)))
            return
        level = str(fields.get("level", "info")).lower()
        rendered = self._head(process, self._time(fields.get("timestamp")), level)
        rendered.append(escape_controls(str(fields["event"])), style=_LEVELS.get(level, ""))
        for name, value in fields.items():
            if name not in _CONSUMED and value is not None:
                rendered.append(f"  {escape_controls(name)}=", style="dim").append(_format_value(value))
        if trace := fields.get("exception"):
            indent = "\n" + " " * (self._width + 12)
            rendered.append(
                indent + indent.join(escape_controls(line) for line in str(trace).splitlines()), style="dim"
            )
        self._write_text(rendered)

    def note(self, event: str, *, level: str = "info", **fields: object) -> None:
        """Render a note of the supervisor."""
        if not self._quiet:
            self._write_text(self._render_note(event, level, fields))

    def _render_note(self, event: str, level: str, fields: Mapping[str, object]) -> Text:
        rendered = self._head(self._own_name, self._clock.now(), level).append(event, style=_LEVELS.get(level, ""))
        for name, value in fields.items():
            rendered.append(f"  {name}=", style="dim").append(_format_value(value))
        return rendered

    def _render_loss(self, lost: int, reason: str) -> bytes:
        fields = {"lost": lost, "why": reason}
        return self._renderer.render(self._render_note("lines of this log could not be written", "warning", fields))

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
                # Raises OverflowError where this machine's time zone cannot show it, at the ends of the calendar.
                return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).astimezone()
            except (ValueError, OverflowError):
                return self._clock.now()
        return self._clock.now()

    def _write_text(self, rendered: Text) -> None:
        self._writer.write(self._renderer.render(rendered))


class _Renderer:
    """Renders Rich renderables to the bytes that a console would write; thread-safe."""

    def __init__(self, console: Console) -> None:
        self._lock = threading.Lock()
        self._bytes = io.BytesIO()
        colours: Any = console.color_system  # a name that Rich's type knows as a literal only
        file = io.TextIOWrapper(self._bytes, encoding=console.encoding, errors="backslashreplace", write_through=True)
        self._console = Console(
            file=file,
            force_terminal=console.is_terminal,
            color_system=colours,
            no_color=console.no_color,
            width=console.width,
        )

    def render(self, renderable: RenderableType) -> bytes:
        with self._lock:
            # Soft wrap: the terminal folds long lines, and copying one gives one line.
            self._console.print(renderable, soft_wrap=isinstance(renderable, Text), highlight=False)
            rendered = self._bytes.getvalue()
            self._bytes.seek(0)
            self._bytes.truncate()
        return rendered


def _parse(text: str) -> Mapping[str, Any] | None:
    if not text.startswith("{"):
        return None
    try:
        fields = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return fields if isinstance(fields, dict) and "event" in fields else None


def _format_value(value: object) -> str:
    if isinstance(value, str):
        return escape_controls(value if value and " " not in value else repr(value))
    if isinstance(value, float):
        return f"{value:g}"
    return escape_controls(json.dumps(value, default=str, ensure_ascii=False))
