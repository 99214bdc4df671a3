"""Stages with their seconds, shown while they run and kept for the record."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

__all__ = ["Stages"]


class Stages:
    """Times named stages, one after another.

    Args:
        console: Where they are shown.
    """

    def __init__(self, console: Console) -> None:
        self.seconds: dict[str, float] = {}
        self._console = console

    @contextmanager
    def stage(self, name: str, shown: str) -> Iterator[None]:
        """Show a spinner with the time while the block runs, and one line when it is done.

        Args:
            name: Key of the record.
            shown: What is being done, for the person who watches.
        """
        started = time.perf_counter()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            progress.add_task(shown, total=None)
            yield
        taken = time.perf_counter() - started
        self.seconds[name] = round(taken, 2)
        self._console.print(f"[green]✓[/] {shown}  [dim]{taken:.1f} s[/]", highlight=False)
