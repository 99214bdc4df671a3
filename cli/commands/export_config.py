"""`tailorbird export-config`: writes the file that `tailorbird apply` reads from what exists."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer

from cli.commands.options import DEFAULT_DATA_DIR, DataDir
from cli.connection import CaFile, CertFile, ControlPlaneAddress, KeyFile, TokenFile, resolve_connection
from cli.declaration.api import ControlPlaneApi
from cli.declaration.document import dump_yaml
from cli.declaration.existing import Reader
from cli.declaration.export import export
from common.settings import TlsFiles

__all__ = ["export_config"]


class Format(StrEnum):
    """The format of the file."""

    YAML = "yaml"
    JSON = "json"


def export_config(
    group: Annotated[
        str | None, typer.Argument(help="Name of a dataset group; without it, everything.", show_default=False)
    ] = None,
    output_format: Annotated[Format, typer.Option("--format", help="yaml or json.")] = Format.YAML,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    control_plane: ControlPlaneAddress = None,
    token_file: TokenFile = None,
    tls_ca_file: CaFile = None,
    tls_cert_file: CertFile = None,
    tls_key_file: KeyFile = None,
) -> None:
    """Print what exists as a file for `tailorbird apply`."""
    tls = TlsFiles(tls_cert_file, tls_key_file, tls_ca_file)
    connection = resolve_connection(data_dir, target=control_plane, token_file=token_file, tls=tls)
    with connection.open() as channel:
        data = export(Reader(ControlPlaneApi(channel)), group)
    typer.echo(dump_yaml(data) if output_format is Format.YAML else json.dumps(data, indent=2), nl=False)
    if output_format is Format.JSON:
        typer.echo()
