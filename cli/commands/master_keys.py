"""`tailorbird keys encrypt`, `rotate-master-key` and `new-master-key`: what secrets at rest are encrypted with."""

from __future__ import annotations

import typer

from cli.commands.options import DEFAULT_DATA_DIR, DataDir, KeysFile, access_keys
from common.master_keys import MasterKey

__all__ = ["add_master_key_commands"]


def add_master_key_commands(app: typer.Typer) -> None:
    """Add the commands to `tailorbird keys`."""
    app.command("encrypt")(encrypt)
    app.command("rotate-master-key")(rotate_master_key)
    app.command("new-master-key")(new_master_key)


def encrypt(context: typer.Context, data_dir: DataDir = DEFAULT_DATA_DIR, keys_file: KeysFile = None) -> None:
    """Encrypt the secrets of all access keys with the present master key, also those of an older, plain file."""
    keys = access_keys(context, data_dir, keys_file)
    keys.encrypt()
    typer.echo(f"the secrets of {len(keys.list())} access keys are encrypted")


def rotate_master_key(context: typer.Context, data_dir: DataDir = DEFAULT_DATA_DIR, keys_file: KeysFile = None) -> None:
    """Make a new master key and encrypt the secrets of all access keys with it; a running gateway goes on."""
    keys = access_keys(context, data_dir, keys_file)
    keys.rotate_master_key()
    typer.echo(f"the secrets of {len(keys.list())} access keys are encrypted with a new master key")


def new_master_key() -> None:
    """Print a new master key for a manager of secrets, to be set as TAILORBIRD_MASTER_KEY; nothing else changes."""
    typer.echo(MasterKey.generate().text)
