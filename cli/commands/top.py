"""`tailorbird top`: calls, latency, errors, the runtime's state and the jobs, as they are at the moment."""

from __future__ import annotations

import json
import threading
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live

from cli.commands.options import DEFAULT_DATA_DIR, DataDir
from cli.installation import Installation
from cli.system import PROCESSES, Ports
from cli.top import Scrape, Summary, as_tables, parse_targets, scrape_all, summarize
from common.errors import InvalidInput

__all__ = ["top"]

#: A process that takes longer to show its figures counts as one that does not answer.
_SCRAPE_SECONDS: Final = 2.0


def top(
    data_dir: DataDir = DEFAULT_DATA_DIR,
    metrics: Annotated[
        str | None,
        typer.Option(help="Where processes show their figures: [NAME=]HOST:PORT,... instead of those of --data-dir."),
    ] = None,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=60)] = 2.0,
    once: Annotated[bool, typer.Option("--once", help="Show what happened between two looks, and end.")] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Write a line of JSON for each look.")] = False,
) -> None:
    """Show calls, latency, errors, how far the runtime is with events, and jobs, until Ctrl-C."""
    targets = _of_installation(data_dir) if metrics is None else parse_targets(metrics)
    looks = _Looks(targets, every_seconds=every)
    console = Console()
    if as_json:
        typer.echo(_line(looks.next()))
        while not once:
            typer.echo(_line(looks.next()))
    elif once:
        console.print(as_tables(looks.next()))
    else:
        with Live(as_tables(looks.next()), console=console, auto_refresh=False, screen=console.is_terminal) as live:
            while True:
                live.update(as_tables(looks.next()), refresh=True)


class _Looks:
    """Looks at the figures again and again.

    Args:
        targets: `host:port` by the name of the process.
        every_seconds: Pause between two looks.
    """

    def __init__(self, targets: dict[str, str], *, every_seconds: float) -> None:
        self._targets = targets
        self._every_seconds = every_seconds
        self._last: list[Scrape] = scrape_all(targets, seconds=_SCRAPE_SECONDS)

    def next(self) -> Summary:
        """Wait, look, and return what happened since the last look."""
        threading.Event().wait(self._every_seconds)
        before, self._last = self._last, scrape_all(self._targets, seconds=_SCRAPE_SECONDS)
        return summarize(before, self._last)


def _line(summary: Summary) -> str:
    return json.dumps(asdict(summary))


def _of_installation(data_dir: Path) -> dict[str, str]:
    """Return where the processes of a running `tailorbird up` show their figures.

    Raises:
        InvalidInput: None runs there, or it shows none.
    """
    running = Installation(data_dir).running()
    if running is None:
        raise InvalidInput(f"`data-dir`: got {data_dir}, in which no `tailorbird up` runs, want one, or --metrics")
    if not running.shows_metrics:
        raise InvalidInput(
            f"`data-dir`: got {data_dir}, whose processes show no figures, want one that was started with "
            "`tailorbird up --metrics`"
        )
    ports = Ports.of_endpoint(running.endpoint, metrics=True)
    return {process: ports.metrics_address(process) for process in PROCESSES}
