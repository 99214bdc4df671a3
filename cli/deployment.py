"""The secrets of a deployment in containers: a folder for each process, so that no process sees those of another.

- `issuer/`: the signing key, see `cli.key_folder`; only the process that runs this may read it
- `PROCESS/public.pem`, `PROCESS/revoked.json`: for checking tokens
- `PROCESS/token`: the token of the process
- `gateway/access_keys.json`: the access keys of applications, written by `tailorbird keys create`
"""

from __future__ import annotations

from pathlib import Path

from cli.key_folder import PROCESS_TOKEN_LIFETIME, TOKEN_ROLES, KeyFolder, TokenKeeper, for_all
from cli.system import PROCESSES
from common.private_files import replace_private

__all__ = ["Deployment"]


class Deployment:
    """The secrets of one deployment; creates the key pair if there is none.

    Args:
        folder: Folder of the secrets; created if needed.

    Raises:
        OSError: The folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.keys = KeyFolder(folder / "issuer")
        self.keys.ensure()
        self._keeper = TokenKeeper(self.keys, {process: folder / process / "token" for process in TOKEN_ROLES})

    def refresh(self) -> list[str]:
        """Copy public key and revocations to the processes, and renew the tokens that are due.

        To be called about once a second, since it also passes revocations on to the processes. A failure for one
        process, or of the revocations, does not keep it from doing the rest.

        Returns:
            The processes whose token is new.

        Raises:
            OSError: Something cannot be written.
            InvalidInput: The file of revocations is malformed.
            Unavailable: It cannot be read.
        """
        try:
            # A malformed file is not copied: no process would start with it.
            self.keys.revocations()
            for_all(PROCESSES, self._publish)
        finally:
            renewed = self._keeper.renew()
        return renewed

    def healthy(self) -> bool:
        """Return whether the token of every process is valid for at least a quarter of its lifetime."""
        return min(self._keeper.remaining().values()) > PROCESS_TOKEN_LIFETIME / 4

    def _publish(self, process: str) -> None:
        (self._folder / process).mkdir(mode=0o700, exist_ok=True)
        for path in (self.keys.public_key, self.keys.revoked_file):
            if path.exists():
                _copy(path, self._folder / process / path.name)


def _copy(source: Path, target: Path) -> None:
    text = source.read_text()
    if not target.exists() or target.read_text() != text:
        replace_private(target, text)
