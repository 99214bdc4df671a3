"""What commands may read of the environment; the composition root passes it to all of them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import typer

from common.master_keys import MasterKeySource, master_key_source

__all__ = ["Env", "get_env"]


@dataclass(frozen=True, slots=True)
class Env:
    """The environment of a command.

    Attributes:
        environ: Environment variables.
    """

    environ: Mapping[str, str]

    @property
    def cache_dir(self) -> Path:
        """Folder for downloads that can be repeated, by the XDG convention."""
        base = self.environ.get("XDG_CACHE_HOME")
        return (Path(base) if base else Path.home() / ".cache") / "tailorbird"

    def master_keys(self) -> MasterKeySource | None:
        """Return the master keys that are set, as for the gateway; None for the file beside the access keys.

        Raises:
            InvalidInput: The key that is set is malformed.
        """
        file = self.environ.get("TAILORBIRD_MASTER_KEY_FILE")
        return master_key_source(text=self.environ.get("TAILORBIRD_MASTER_KEY"), file=Path(file) if file else None)


def get_env(context: typer.Context) -> Env:
    """Return the environment of the running command."""
    env = context.find_object(Env)
    assert env is not None, "`run` passes it to every command"
    return env
