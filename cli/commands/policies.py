"""`tailorbird keys attach-policy` and `detach-policy`: what access keys, and the tokens made for them, may do."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli.commands.options import DEFAULT_DATA_DIR, DataDir, KeysFile, KeysFolder, access_keys, key_folder
from cli.key_folder import KeyFolder
from common.access_keys import AccessKey, AccessKeys
from common.errors import InvalidInput, invalid

__all__ = ["add_policy_commands", "revoke_tokens_of", "token_of_key"]

_WhichKey = Annotated[str, typer.Argument(help="Id of the access key.")]


def add_policy_commands(app: typer.Typer) -> None:
    """Add the commands to `tailorbird keys`."""
    app.command("attach-policy")(attach_policy)
    app.command("detach-policy")(detach_policy)


def attach_policy(
    context: typer.Context,
    access_key_id: _WhichKey,
    file: Annotated[Path, typer.Argument(help="A policy in the JSON of AWS's IAM.")],
    name: Annotated[str | None, typer.Option(help="Its name; without it that of the file.")] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    keys_file: KeysFile = None,
    keys: KeysFolder = None,
) -> None:
    """Let an access key do only what its policies allow, this one among them, in place of one of the same name."""
    policy_name = name or file.stem
    try:
        document = file.read_text()
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(
            f"`file`: got {file}, which cannot be read ({type(error).__name__}), want a policy as JSON"
        ) from error
    key = access_keys(context, data_dir, keys_file).attach_policy(access_key_id, policy_name, document)
    typer.echo(_describe(key))
    revoke_tokens_of(access_key_id, key_folder(data_dir, keys))


def detach_policy(
    context: typer.Context,
    access_key_id: _WhichKey,
    name: Annotated[str, typer.Argument(help="Name of the policy; `tailorbird keys list` shows it.")],
    data_dir: DataDir = DEFAULT_DATA_DIR,
    keys_file: KeysFile = None,
    keys: KeysFolder = None,
) -> None:
    """Take a policy from an access key; a key without any may do everything in its account."""
    key = access_keys(context, data_dir, keys_file).detach_policy(access_key_id, name)
    typer.echo(_describe(key))
    revoke_tokens_of(access_key_id, key_folder(data_dir, keys))


def revoke_tokens_of(access_key_id: str, folder: KeyFolder) -> None:
    """Revoke the tokens that were made for an access key: they hold what it was allowed then.

    Where there is no signing key, no token can be revoked, and that is told.
    """
    if folder.private_key.exists():
        folder.revocations().revoke_subject(access_key_id)
        typer.echo("the tokens that were made for it are revoked")
    else:
        typer.echo(
            f"No signing key in {folder.folder}: if tokens were made for {access_key_id}, revoke them with "
            f"`tailorbird keys revoke-token --subject {access_key_id} --keys FOLDER`.",
            err=True,
        )


def token_of_key(access_key_id: str, keys: AccessKeys, folder: KeyFolder, lifetime: timedelta) -> str:
    """Return a new token for an access key.

    Raises:
        InvalidInput: There is no such key, it is revoked, its policies are too long for a token, or they have just
            changed.
    """
    key = _active(access_key_id, keys)
    token = folder.issue_for(key, lifetime=lifetime)
    # Who revoked the key, or the tokens with its former policies, in between did not see this one.
    if _active(access_key_id, keys).policies != key.policies:
        raise invalid("key", got=f"{access_key_id}, whose policies have just changed", want="the command again")
    return token


def _active(access_key_id: str, keys: AccessKeys) -> AccessKey:
    key = keys.find(access_key_id)
    if key is None or not key.active:
        raise invalid("key", got=access_key_id, want="an access key that is not revoked; `tailorbird keys list`")
    return key


def _describe(key: AccessKey) -> str:
    policies = ", ".join(key.policies)
    allowed = f"only what its policies allow: {policies}" if policies else "everything in its account"
    return f"{key.access_key_id} ({key.name}) may do {allowed}"
