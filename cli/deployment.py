"""The secrets of a deployment in containers: one folder for each process, so that each can be given its own alone.

- `issuer/`: what signs tokens, see `cli.key_folder`; for the process that runs this, and nobody else
- `PROCESS/public.pem`, `PROCESS/revoked.json`: check tokens
- `PROCESS/token`: the process's own
- `gateway/access_keys.json`: what applications sign their requests with, once `tailorbird keys create` made it
"""

from __future__ import annotations

from pathlib import Path

from cli.key_folder import PROCESS_TOKEN_LIFETIME, TOKEN_ROLES, KeyFolder, TokenKeeper, for_all
from cli.system import PROCESSES
from common.private_files import replace_private

__all__ = ["Deployment"]


class Deployment:
    """The secrets in one folder, with a key pair that is made if there is none.

    Args:
        folder: Made if needed.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.keys = KeyFolder(folder / "issuer")
        self.keys.ensure()
        self._keeper = TokenKeeper(self.keys, {process: folder / process / "token" for process in TOKEN_ROLES})

    def keep(self) -> list[str]:
        """Hand on what checks tokens, and renew the tokens that are due; returns the processes whose token is new.

        To be called every second or so: it is also what makes a revocation known to the processes. What fails for one
        process, or for revocations, is done for the others, and tokens are renewed.

        Raises:
            OSError: Something cannot be written.
            InvalidInput: The revocations cannot be understood.
            Unavailable: They cannot be read.
        """
        try:
            # Those that nobody understands are not handed on: no process would start with them.
            self.keys.revocations()
            for_all(PROCESSES, self._hand_on)
        finally:
            renewed = self._keeper.renew()
        return renewed

    def healthy(self) -> bool:
        """Tell whether every process has a token that is good for a while."""
        return min(self._keeper.remaining().values()) > PROCESS_TOKEN_LIFETIME / 4

    def _hand_on(self, process: str) -> None:
        (self._folder / process).mkdir(mode=0o700, exist_ok=True)
        for path in (self.keys.public_key, self.keys.revoked_file):
            if path.exists():
                _copy(path, self._folder / process / path.name)


def _copy(source: Path, target: Path) -> None:
    text = source.read_text()
    if not target.exists() or target.read_text() != text:
        replace_private(target, text)
