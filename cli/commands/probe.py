"""`tailorbird probe`: is a process healthy? For the health checks of containers."""

from __future__ import annotations

from typing import Annotated
from urllib.parse import urlsplit

import typer

from cli.supervisor import grpc_probe, http_probe
from common.errors import invalid
from common.rpc.probe import Health

__all__ = ["probe"]


def probe(
    target: Annotated[str, typer.Argument(help="HOST:PORT of a gRPC process, or http://HOST:PORT/PATH.")],
    seconds: Annotated[float, typer.Option(help="Longest time to wait.", min=0.1)] = 2.0,
) -> None:
    """Exit with 0 when the process is healthy, with 1 when it is not."""
    if target.startswith("http://"):
        parts = urlsplit(target)
        check = http_probe(parts.netloc, path=parts.path or "/health", seconds=seconds)
    elif target.rpartition(":")[2].isdigit():
        check = grpc_probe(target, seconds=seconds)
    else:
        raise invalid("target", got=target, want="HOST:PORT or http://HOST:PORT/PATH")
    healthy = check() is Health.SERVING
    typer.echo("healthy" if healthy else "not healthy", err=not healthy)
    raise typer.Exit(0 if healthy else 1)
