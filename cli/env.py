"""What commands know of the world around them, handed down by the composition root."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

__all__ = ["Env", "surroundings"]


@dataclass(frozen=True, slots=True)
class Env:
    """The environment of the command.

    Attributes:
        environ: Environment variables.
    """

    environ: Mapping[str, str]

    @property
    def cache_dir(self) -> Path:
        """Folder for downloads that can be made again, by the XDG convention."""
        base = self.environ.get("XDG_CACHE_HOME")
        return (Path(base) if base else Path.home() / ".cache") / "tailorbird"


def surroundings(context: typer.Context) -> Env:
    """Return what the composition root handed down."""
    found = context.find_object(Env)
    assert found is not None
    return found
