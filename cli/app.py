"""The commands of `tailorbird`, and the one place where errors become a message and an exit code."""

from __future__ import annotations

from importlib.metadata import version as installed_version

import typer
from rich.console import Console
from rich.markup import escape

from cli.commands.apply import apply
from cli.commands.certs import certs
from cli.commands.check import check
from cli.commands.deletions import app as deletions
from cli.commands.demo import demo
from cli.commands.doctor import doctor
from cli.commands.explain import explain
from cli.commands.export_config import export_config
from cli.commands.jobs import app as jobs
from cli.commands.keys import app as keys
from cli.commands.log import app as log
from cli.commands.probe import probe
from cli.commands.solutions import app as solutions
from cli.commands.storage import storage
from cli.commands.top import top
from cli.commands.up import up
from cli.env import Env
from cli.terminal import escape_controls
from common.errors import TailorbirdError

__all__ = ["Env", "app", "run"]

app = typer.Typer(
    name="tailorbird",
    help="Amazon Personalize on your own machines.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("up")(up)
app.command("demo")(demo)
app.command("doctor")(doctor)
app.command("apply")(apply)
app.command("export-config")(export_config)
app.command("check")(check)
app.command("explain")(explain)
app.command("probe")(probe)
app.command("storage")(storage)
app.command("top")(top)
app.command("certs")(certs)
app.add_typer(keys, name="keys")
app.add_typer(solutions, name="solutions")
app.add_typer(jobs, name="jobs")
app.add_typer(log, name="log")
app.add_typer(deletions, name="deletions")


@app.command("version")
def version() -> None:
    """Print the version."""
    typer.echo(installed_version("tailorbird"))


def run(commands: typer.Typer, env: Env, arguments: list[str] | None = None) -> int:
    """Run a command and return its exit code.

    It is 0 done, 1 failed, 2 called wrongly, 3 changes found or a user not proven to be nowhere, 130 interrupted.

    Args:
        commands: The application.
        env: What the commands may read of the environment.
        arguments: The command line; None for that of the process.
    """
    try:
        code = commands(arguments, obj=env, prog_name="tailorbird", standalone_mode=True)
    except SystemExit as exit_request:
        code = exit_request.code
    except TailorbirdError as error:
        message = escape(escape_controls(error.message, keeps_lines=True))
        Console(stderr=True).print(f"[bold red]error:[/] {message}", soft_wrap=True, highlight=False)
        return 1
    return code if isinstance(code, int) else 0
