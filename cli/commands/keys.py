"""`tailorbird keys`: access keys for AWS SDKs, bearer tokens for gRPC stubs, and the secrets of a deployment."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from cli.commands.options import DEFAULT_DATA_DIR, DataDir
from cli.deployment import write_deployment
from cli.installation import Installation
from common.access_keys import AccessKeys
from common.auth import TokenIssuer
from common.errors import invalid

__all__ = ["app"]

app = typer.Typer(help="Access keys for AWS SDKs, bearer tokens for gRPC stubs.", no_args_is_help=True)

KeysFile = Annotated[
    Path | None,
    typer.Option("--access-keys-file", help="File of the access keys, where it is not in a data directory."),
]


def _access_keys(data_dir: Path, keys_file: Path | None) -> AccessKeys:
    return AccessKeys(keys_file) if keys_file is not None else Installation(data_dir).access_keys()


@app.command("create")
def create(
    name: Annotated[str, typer.Argument(help="Who or what will use it.")] = "application",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    keys_file: KeysFile = None,
) -> None:
    """Make an access key. Its secret is shown this once."""
    key = _access_keys(data_dir, keys_file).create(name)
    typer.echo(f"aws_access_key_id     = {key.access_key_id}")
    typer.echo(f"aws_secret_access_key = {key.secret_access_key}")
    typer.echo("The secret is not shown again. A running gateway accepts the key at once.", err=True)


@app.command("list")
def list_keys(data_dir: DataDir = DEFAULT_DATA_DIR, keys_file: KeysFile = None) -> None:
    """Show all access keys, without their secrets."""
    table = Table("access key id", "name", "created", "state")
    for key in _access_keys(data_dir, keys_file).list():
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M} UTC" if key.revoked_at else "valid"
        table.add_row(key.access_key_id, key.name, f"{key.created_at:%Y-%m-%d %H:%M} UTC", state)
    Console().print(table)


@app.command("revoke")
def revoke(
    access_key_id: Annotated[str, typer.Argument(help="Which one.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    keys_file: KeysFile = None,
) -> None:
    """Make an access key invalid, from the next request on and for good."""
    key = _access_keys(data_dir, keys_file).revoke(access_key_id)
    typer.echo(f"{key.access_key_id} ({key.name}) is revoked")


@app.command("token")
def token(
    role: Annotated[str, typer.Option(help="client for an application, operator for a person.")] = "client",
    days: Annotated[int, typer.Option(help="How long it is valid.", min=1, max=3650)] = 30,
    subject: Annotated[str, typer.Option(help="Whose it is; appears in logs.")] = "command-line",
    data_dir: DataDir = DEFAULT_DATA_DIR,
    private_key: Annotated[
        Path | None, typer.Option(help="Key to sign with, where it is not in a data directory.")
    ] = None,
) -> None:
    """Print a bearer token for the gRPC interface: metadata `authorization: Bearer TOKEN`.

    Tokens cannot be revoked; they end by themselves.
    """
    if role not in {"client", "operator"}:
        raise invalid("role", got=role, want="client or operator; the others are for processes")
    issuer = TokenIssuer(private_key.read_bytes()) if private_key is not None else Installation(data_dir).issuer()
    typer.echo(issuer.issue(role, subject=subject, lifetime=timedelta(days=days)))


@app.command("deploy")
def deploy(folder: Annotated[Path, typer.Argument(help="Where to write.")]) -> None:
    """Write the secrets of a deployment: one sub-folder for each process, to be mounted there alone."""
    write_deployment(folder)
    # No access key is made here: the output of a container is kept, and a secret in it would be, too.
    typer.echo(f"{folder}: the secrets of all processes are in place. An access key for applications:")
    typer.echo(f"  tailorbird keys create NAME --access-keys-file {folder / 'gateway' / 'access_keys.json'}")
