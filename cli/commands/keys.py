"""`tailorbird keys`: access keys for AWS SDKs, bearer tokens for gRPC stubs, and the secrets of a deployment."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape
from rich.table import Column, Table

from cli.commands.master_keys import add_master_key_commands
from cli.commands.options import DEFAULT_DATA_DIR, DataDir, KeysFile, KeysFolder, access_keys, key_folder
from cli.commands.policies import add_policy_commands, revoke_tokens_of, token_of_key
from cli.deployment import Deployment
from cli.key_folder import TOKEN_ROLES
from common.errors import invalid
from common.logs import configure_logging, get_logger
from common.process.lifecycle import stop_event
from common.process.periodic import PeriodicThread

__all__ = ["app"]

app = typer.Typer(help="Access keys for AWS SDKs, bearer tokens for gRPC stubs.", no_args_is_help=True)
add_master_key_commands(app)
add_policy_commands(app)

_LONGEST_LIFETIME = timedelta(days=366)
_RENEWAL_SECONDS = 1.0


@app.command("create")
def create(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="Who or what will use it.")] = "application",
    account: Annotated[
        str | None, typer.Option(help="Its account, 12 digits; without it the installation's own.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    keys_file: KeysFile = None,
) -> None:
    """Make an access key. Its secret is shown this once."""
    key = access_keys(context, data_dir, keys_file).create(name, account=account)
    typer.echo(f"aws_access_key_id     = {key.access_key_id}")
    typer.echo(f"aws_secret_access_key = {key.secret_access_key}")
    typer.echo("The secret is not shown again. A running gateway accepts the key at once.", err=True)


@app.command("list")
def list_keys(context: typer.Context, data_dir: DataDir = DEFAULT_DATA_DIR, keys_file: KeysFile = None) -> None:
    """Show all access keys, without their secrets."""
    table = Table(
        Column("access key id", no_wrap=True), "name", Column("account", no_wrap=True), "policies", "created", "state"
    )
    for key in access_keys(context, data_dir, keys_file).list():
        state = f"revoked {key.revoked_at:%Y-%m-%d %H:%M} UTC" if key.revoked_at else "valid"
        table.add_row(
            key.access_key_id,
            escape(key.name),
            key.account or "own",
            "\n".join(escape(name) for name in key.policies) or "everything is allowed",
            f"{key.created_at:%Y-%m-%d %H:%M} UTC",
            state,
        )
    Console().print(table)


@app.command("revoke")
def revoke(
    context: typer.Context,
    access_key_id: Annotated[str, typer.Argument(help="Which one.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    keys_file: KeysFile = None,
    keys: KeysFolder = None,
) -> None:
    """Make an access key, and the tokens that were made for it, invalid: from the next request on and for good."""
    key = access_keys(context, data_dir, keys_file).revoke(access_key_id)
    typer.echo(f"{key.access_key_id} ({key.name}) is revoked")
    revoke_tokens_of(access_key_id, key_folder(data_dir, keys))


@app.command("token")
def token(
    context: typer.Context,
    role: Annotated[str, typer.Option(help="client for an application, operator for a person.")] = "client",
    hours: Annotated[float, typer.Option(help="How long it is valid.", min=0.001, max=8784)] = 1.0,
    subject: Annotated[str, typer.Option(help="Whose it is; appears in logs.")] = "command-line",
    account: Annotated[
        str | None, typer.Option(help="Its account, 12 digits; without it the installation's own.")
    ] = None,
    key: Annotated[
        str | None, typer.Option(help="Id of an access key: the token acts in its account and has its policies.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    keys_file: KeysFile = None,
    keys: KeysFolder = None,
) -> None:
    """Print a bearer token for the gRPC interface: metadata `authorization: Bearer TOKEN`."""
    lifetime = timedelta(hours=hours)
    if key is not None:
        typer.echo(token_of_key(key, access_keys(context, data_dir, keys_file), key_folder(data_dir, keys), lifetime))
        return
    if role not in {"client", "operator"}:
        raise invalid("role", got=role, want="client or operator; the others are for processes")
    if subject in TOKEN_ROLES:
        raise invalid("subject", got=subject, want="a name that is no process's")
    typer.echo(key_folder(data_dir, keys).issue(role, subject=subject, lifetime=lifetime, account=account))


@app.command("tokens")
def tokens(data_dir: DataDir = DEFAULT_DATA_DIR, keys: KeysFolder = None) -> None:
    """Show the tokens that were printed and have not ended, and whose tokens were revoked."""
    folder = key_folder(data_dir, keys)
    revoked = folder.revocations().current()
    table = Table("token id", "role", "subject", "issued", "ends", "state")
    for item in folder.issued():
        is_revoked = item.token_id in revoked.tokens or item.issued_at <= revoked.subjects.get(item.subject, 0.0)
        state = "revoked" if is_revoked else "valid"
        table.add_row(
            item.token_id,
            item.role,
            escape(item.subject),
            _format_time(item.issued_at),
            _format_time(item.ends_at),
            state,
        )
    console = Console()
    console.print(table)
    for subject, moment in sorted(revoked.subjects.items()):
        console.print(f"Tokens of {subject} from {_format_time(moment)} or before are revoked.", markup=False)


@app.command("revoke-token")
def revoke_token(
    token_id: Annotated[str | None, typer.Argument(help="Which one; `tailorbird keys tokens` lists them.")] = None,
    subject: Annotated[
        str | None, typer.Option(help="Instead: all tokens of this subject that were issued until now.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    keys: KeysFolder = None,
) -> None:
    """Refuse a token, or all of a subject, from now on; running processes know within seconds.

    The subject of a process, such as `gateway`, can be named as well: the process gets a new token at once.
    """
    folder = key_folder(data_dir, keys)
    if (token_id is None) == (subject is None):
        raise invalid("token-id", got=token_id, want="either the id of a token, or --subject")
    # A folder without a key is the wrong folder; nobody would read what is written there.
    folder.issuer()
    if subject is not None:
        folder.revocations().revoke_subject(subject)
        typer.echo(f"all tokens of {subject} that were issued until now are revoked")
    elif token_id is not None:
        issued_token = next((item for item in folder.issued() if item.token_id == token_id), None)
        ends_at = issued_token.ends_at if issued_token else (datetime.now(UTC) + _LONGEST_LIFETIME).timestamp()
        folder.revocations().revoke_token(token_id, ends_at=ends_at)
        typer.echo(
            f"{token_id} ({issued_token.subject if issued_token else 'not in the list of printed tokens'}) is revoked"
        )


@app.command("serve")
def serve(folder: Annotated[Path, typer.Argument(help="Where to write.")]) -> None:
    """Keep the secrets of a deployment: one sub-folder for each process, to be mounted there alone, until SIGTERM.

    Makes the key pair once, renews tokens before they end, and hands revocations on.
    """
    configure_logging("keys")
    asyncio.run(_refresh_until_signal(folder))


async def _refresh_until_signal(folder: Path) -> None:
    stop, log = stop_event(), get_logger(__name__)  # first of all: a signal at any moment ends it in order
    deployment = await asyncio.to_thread(Deployment, folder)

    def refresh() -> None:
        if renewed := deployment.refresh():
            log.info("tokens_renewed", processes=renewed)

    refreshing = PeriodicThread(
        refresh, name="tokens", every_seconds=_RENEWAL_SECONDS, first_at_once=True, failure_event="tokens_not_renewed"
    )
    refreshing.start()
    await stop.wait()
    await asyncio.to_thread(refreshing.stop)
    log.info("stopped")


@app.command("check")
def check(folder: Annotated[Path, typer.Argument(help="What `tailorbird keys serve` keeps.")]) -> None:
    """Exit with 0 when every process of a deployment has a token that is good for a while, with 1 when not."""
    healthy = (folder / "issuer" / "private.pem").exists() and Deployment(folder).healthy()
    typer.echo("healthy" if healthy else "not healthy", err=not healthy)
    raise typer.Exit(0 if healthy else 1)


def _format_time(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%d %H:%M:%S} UTC"
