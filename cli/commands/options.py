"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.system import DEFAULT_PORT_BASE

__all__ = ["DEFAULT_DATA_DIR", "DataDir", "PortBase"]

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
