"""The merged log of all processes: one aligned line of text for each of theirs.

Processes write JSON lines; what is no JSON, such as a library's cry on standard error, is passed through as it is.
Lines are text of anybody's making: what a terminal would obey, and halves of characters, are shown as escapes.
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
from common.clock import Clock, SystemClock

__all__ = ["MergedLog"]

_COLOURS: Final = ("cyan", "green", "magenta", "yellow", "blue")
_LEVELS: Final = {"debug": "dim", "info": "", "warning": "bold yellow", "error": "bold red", "critical": "bold red"}
#: Shown in a place of their own, or the same on every line of a process.
_CONSUMED: Final = frozenset({"event", "level", "timestamp", "service", "exception"})
#: What a terminal obeys, or would break a line: shown as escapes.
_ESCAPES: Final = {code: f"\\x{code:02x}" for code in (*range(0x09), *range(0x0A, 0x20), *range(0x7F, 0xA0))}


class MergedLog:
    """Renders lines to a console; an `Output` of the supervisor. Nothing that happens to the console is raised.

    Args:
        processes: Names of all processes, for colours and the width of the column.
        console: Where lines go, and how: they are rendered as it would, but written past it.
        quiet: Leave out lines and remarks.
        own_name: Whose name the supervisor's remarks carry.
        clock: Source of the present time, for lines that carry none.
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
        self._writer = LogWriter(console.file, loss=self._loss)

    @property
    def to_person(self) -> bool:
        """Whether it goes to a terminal; what goes elsewhere is kept."""
        return self._to_person

    def move_to(self, console: Console) -> None:
        """Send what comes from now on to another console."""
        self.close()
        self._to_person = console.file.isatty()
        self._renderer = _Renderer(console)
        self._writer = LogWriter(console.file, loss=self._loss)

    def show(self, renderable: RenderableType) -> None:
        """Show something to the person in front, also when lines are left out."""
        self._writer.write(self._renderer.render(renderable))

    def flush(self, *, seconds: float) -> bool:
        """Wait until all that came is written or lost; False when it is not by then."""
        return self._writer.flush(seconds=seconds)

    def close(self) -> None:
        """Write what came, unless that takes long, and nothing more."""
        self._writer.close()

    @staticmethod
    def file_console(stream: TextIO) -> Console:
        """Return a console that writes plain text of any width."""
        return Console(file=stream, force_terminal=False, color_system=None, width=10_000)

    def line(self, process: str, text: str) -> None:
        """Render one line that a process wrote."""
        if self._quiet:
            return
        fields = _parse(text)
        if fields is None:
            self._print(self._head(process, self._clock.now(), "info").append(_clean(text)))
            return
        level = str(fields.get("level", "info")).lower()
        rendered = self._head(process, self._time(fields.get("timestamp")), level)
        rendered.append(_clean(str(fields["event"])), style=_LEVELS.get(level, ""))
        for name, value in fields.items():
            if name not in _CONSUMED and value is not None:
                rendered.append(f"  {_clean(name)}=", style="dim").append(_show(value))
        if trace := fields.get("exception"):
            indent = "\n" + " " * (self._width + 12)
            rendered.append(indent + indent.join(_clean(line) for line in str(trace).splitlines()), style="dim")
        self._print(rendered)

    def note(self, event: str, *, level: str = "info", **fields: object) -> None:
        """Render a remark of the supervisor."""
        if not self._quiet:
            self._print(self._remark(event, level, fields))

    def _remark(self, event: str, level: str, fields: Mapping[str, object]) -> Text:
        rendered = self._head(self._own_name, self._clock.now(), level).append(event, style=_LEVELS.get(level, ""))
        for name, value in fields.items():
            rendered.append(f"  {name}=", style="dim").append(_show(value))
        return rendered

    def _loss(self, lost: int, why: str) -> bytes:
        fields = {"lost": lost, "why": why}
        return self._renderer.render(self._remark("lines of this log could not be written", "warning", fields))

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
                # Also finds out whether this machine's time zone can show it, at the ends of the calendar.
                return (parsed if parsed.tzinfo is not None else parsed.replace(tzinfo=UTC)).astimezone()
            except (ValueError, OverflowError):
                return self._clock.now()
        return self._clock.now()

    def _print(self, rendered: Text) -> None:
        self._writer.write(self._renderer.render(rendered))


class _Renderer:
    """Turns what Rich shows into the bytes that a console would write; for several threads."""

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


def _show(value: object) -> str:
    if isinstance(value, str):
        return _clean(value if value and " " not in value else repr(value))
    if isinstance(value, float):
        return f"{value:g}"
    return _clean(json.dumps(value, default=str, ensure_ascii=False))


def _clean(text: str) -> str:
    return text.translate(_ESCAPES)
