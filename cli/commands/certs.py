"""`tailorbird certs`: a development set of certificates for TLS between all processes."""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path
from typing import Annotated

import typer

from cli.certificates import make_certificates

__all__ = ["certs"]


def certs(
    folder: Annotated[Path, typer.Argument(help="Gets ca.pem, cert.pem and key.pem, and a folder for each process.")],
    host: Annotated[
        list[str] | None,
        typer.Option(help="A name or address of servers; can be repeated. Default: this machine, docker-compose.yml."),
    ] = None,
    days: Annotated[int, typer.Option(help="How long they are valid.", min=1, max=825)] = 90,
) -> None:
    """Make an authority and certificates to develop with; print the variables for a system on this machine."""
    made = make_certificates(folder, hosts=host or (), lifetime=timedelta(days=days))
    for name, path in (("CERT", made.cert_file), ("KEY", made.key_file), ("CA", made.ca_file)):
        typer.echo(f"export TAILORBIRD_TLS_{name}_FILE={path.resolve() if path else ''}")
