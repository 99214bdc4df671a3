"""The secrets of a deployment in containers: one folder for each process, so that each can be given its own alone.

- `issuer/private.pem`: for the one-shot that runs this, and nobody else
- `PROCESS/public.pem`: checks tokens
- `PROCESS/token`: the process's own
- `gateway/access_keys.json`: what applications sign their requests with, once `tailorbird keys create` made it
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

from cli.installation import TOKEN_ROLES, write_secret
from cli.system import PROCESSES
from common.auth import TokenIssuer, generate_key_pair

__all__ = ["write_deployment"]

_TOKEN_LIFETIME = timedelta(days=365)


def write_deployment(folder: Path) -> None:
    """Make what is missing and renew all tokens; run it again before they end.

    Args:
        folder: Made if needed.
    """
    private, public = folder / "issuer" / "private.pem", folder / "issuer" / "public.pem"
    private.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not private.exists():
        generate_key_pair(private, public)
    issuer = TokenIssuer(private.read_bytes())
    for process in PROCESSES:
        own = folder / process
        own.mkdir(mode=0o700, exist_ok=True)
        write_secret(own / "public.pem", public.read_text())
        if process in TOKEN_ROLES:
            token = issuer.issue(TOKEN_ROLES[process], subject=process, lifetime=_TOKEN_LIFETIME)
            write_secret(own / "token", token)
