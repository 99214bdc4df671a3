"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.env import get_env
from cli.installation import Installation
from cli.key_folder import KeyFolder
from cli.system import DEFAULT_PORT_BASE
from common.access_keys import AccessKeys

__all__ = ["DEFAULT_DATA_DIR", "DataDir", "KeysFile", "KeysFolder", "PortBase", "access_keys", "key_folder"]

DEFAULT_DATA_DIR = Path("tailorbird-data")

DataDir = Annotated[
    Path,
    typer.Option("--data-dir", help="Everything is kept here: keys, catalogue, events, datasets, artifacts."),
]
PortBase = Annotated[
    int,
    typer.Option(
        "--port-base",
        help=f"First of five loopback ports in a row; the gateway's. Default {DEFAULT_PORT_BASE}.",
        show_default=False,
    ),
]
KeysFile = Annotated[
    Path | None,
    typer.Option("--access-keys-file", help="File of the access keys, where it is not in a data directory."),
]
KeysFolder = Annotated[
    Path | None,
    typer.Option("--keys", help="Folder of the signing key, where it is not `keys` in a data directory."),
]


def key_folder(data_dir: Path, keys: Path | None) -> KeyFolder:
    """Return the folder of the signing key that the options of a command name."""
    return KeyFolder(keys) if keys is not None else Installation(data_dir).keys


def access_keys(context: typer.Context, data_dir: Path, keys_file: Path | None) -> AccessKeys:
    """Return the access keys that the options of a command name, with the master key that the environment names."""
    master_keys = get_env(context).master_keys()
    if keys_file is not None:
        return AccessKeys(keys_file, master_keys=master_keys)
    return Installation(data_dir).access_keys(master_keys)
