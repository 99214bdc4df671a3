"""`tailorbird log`: the event log of an installation."""

from __future__ import annotations

import json
import subprocess
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn, TimeElapsedColumn

from cli.commands.options import DEFAULT_DATA_DIR, DataDir
from cli.env import get_env
from cli.system import inherited_environment
from common.errors import TailorbirdError

__all__ = ["app"]

app = typer.Typer(help="The event log: where it is.", no_args_is_help=True)


class Place(StrEnum):
    """Where a log can be."""

    JETSTREAM = "jetstream"
    SQLITE = "sqlite"


class MoveFailed(TailorbirdError):
    """The log was not moved; the same command goes on with it."""

    code = "FAILED_PRECONDITION"
    reason = "MoveFailed"


@app.command("move")
def move(
    context: typer.Context,
    place: Annotated[Place, typer.Argument(help="Where to: a stream of NATS JetStream, or a file of SQLite.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    events_dir: Annotated[
        Path | None,
        typer.Option(
            "--events-dir", help="Folder of the events service, where it is not `events` in a data directory."
        ),
    ] = None,
    url: Annotated[
        str | None, typer.Option("--url", help="Of the NATS servers; by default TAILORBIRD_EVENT_LOG_URL.")
    ] = None,
) -> None:
    """Move the event log, with its offsets; the events service must not run. Repeat the command if it was cut off."""
    environment = {
        **inherited_environment(get_env(context).environ, "events_service"),
        "TAILORBIRD_DATA_DIR": str(events_dir or data_dir / "events"),
    }
    if url is not None:
        environment["TAILORBIRD_EVENT_LOG_URL"] = url
    moved = _run([sys.executable, "-m", "events_service.move_log", place.value], environment)
    if moved is None:
        typer.echo("The log is there already.")
    else:
        typer.echo(f"moved {moved['records']:,} records of {moved['tables']:,} tables, and compared them")
        typer.echo(f"digest of both logs: {moved['digest']}")
    if place is Place.JETSTREAM:
        typer.echo(
            "Start the events service with TAILORBIRD_EVENT_LOG_URL. events.moved.db is left, with the records of all "
            "users, also of those who are deleted later; remove it."
        )
    else:
        typer.echo(
            "Start the events service without TAILORBIRD_EVENT_LOG_URL. The stream is left, with the records of all "
            "users, also of those who are deleted later; remove it."
        )


def _run(command: list[str], environment: dict[str, str]) -> dict[str, Any] | None:
    """Run the move and show how far it has got; return what was moved, None when nothing was left to do.

    Raises:
        MoveFailed: It ended with an error, or was killed.
    """
    moved: dict[str, Any] | None = None
    error = ""
    with (
        Progress(
            TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed:,.0f} of {task.total:,.0f}"),
            TimeElapsedColumn(), console=Console(stderr=True),
        ) as progress,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as process,
    ):  # fmt: skip
        assert process.stdout is not None
        tasks: dict[str, TaskID] = {}
        for line in process.stdout:
            report = json.loads(line)
            if "step" not in report:
                moved, error = report.get("moved"), report.get("error", "")
                continue
            step = report["step"]
            if step not in tasks:
                tasks[step] = progress.add_task(step)
            progress.update(tasks[step], completed=report["done"], total=report["total"])
    if process.returncode:
        raise MoveFailed(f"the log was not moved: {error or f'it ended with {process.returncode}, cut off'}")
    return moved
