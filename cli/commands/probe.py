"""`tailorbird probe`: checks whether a process is healthy, for the health checks of containers."""

from __future__ import annotations

from functools import partial
from typing import Annotated
from urllib.parse import urlsplit

import typer

from cli.env import get_env
from cli.supervisor import http_probe
from cli.tls import tls_files
from common.errors import invalid
from common.process.probing import Health
from common.rpc.probe import ask
from common.settings import TlsFiles

__all__ = ["probe"]


def probe(
    context: typer.Context,
    target: Annotated[
        str,
        typer.Argument(
            help="HOST:PORT of a gRPC process; http://HOST:PORT/PATH, https://... or //HOST:PORT/PATH of the gateway."
        ),
    ],
    seconds: Annotated[float, typer.Option(help="Longest time to wait.", min=0.1)] = 2.0,
) -> None:
    """Exit with 0 when the process is healthy, with 1 when it is not.

    Where `TAILORBIRD_TLS_*` are set, TLS is spoken to HOST:PORT and //HOST:PORT/PATH, as the process itself does.
    """
    tls = tls_files(get_env(context).environ)
    parts = urlsplit(target)
    if target.startswith(("http://", "https://", "//")) and parts.port is not None:
        secure = {"http": None, "https": tls or TlsFiles(), "": tls}[parts.scheme]
        check = http_probe(parts.netloc, path=parts.path or "/health", seconds=seconds, tls=secure)
    elif target.rpartition(":")[2].isdigit():
        check = partial(ask, target, seconds=seconds, tls=tls)
    else:
        raise invalid("target", got=target, want="HOST:PORT, http://HOST:PORT/PATH, https://... or //HOST:PORT/PATH")
    healthy = check() is Health.SERVING
    typer.echo("healthy" if healthy else "not healthy", err=not healthy)
    raise typer.Exit(0 if healthy else 1)
