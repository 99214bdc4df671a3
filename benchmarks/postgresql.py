"""A real PostgreSQL on loopback, for measurements and for tests."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from common.errors import InvalidInput, Unavailable
from common.testing import wait_until

__all__ = ["PostgresServer", "postgres_server", "programs"]

_PORT_ATTEMPTS = 5
#: PostgreSQL refuses to run as root.
_USER = "nobody"


class PostgresServer:
    """A running server.

    Args:
        port: On loopback.
        process: The server.
    """

    def __init__(self, port: int, process: subprocess.Popen[bytes]) -> None:
        self.port = port
        self.process = process
        self._numbers = count()

    def url(self, database: str) -> str:
        """Return the URL of a database, as the metadata store wants it."""
        return f"postgresql+psycopg://tailorbird@127.0.0.1:{self.port}/{database}"

    def create_database(self, template: str = "template0") -> str:
        """Make a database, without tables or as a copy of another one that nobody uses, and return its name."""
        name = f"database_{next(self._numbers)}"
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY file_copy")
        return name

    def execute(self, statement: LiteralString) -> list[tuple[Any, ...]]:
        """Execute one statement in no database in particular, and return the rows."""
        with psycopg.connect(self.url("postgres").replace("+psycopg", ""), autocommit=True) as connection:
            cursor = connection.execute(statement)
            return cursor.fetchall() if cursor.description else []


def programs() -> Path | None:
    """Return the folder of PostgreSQL's newest programs; None when it is not installed."""
    folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: int(path.parent.name))
    folder = folders[-1] if folders else None
    if folder is None and (path := shutil.which("initdb")):
        folder = Path(path).resolve().parent
    return folder


@contextmanager
def postgres_server(**settings: object) -> Iterator[PostgresServer]:
    """Run a server on a free loopback port as an unprivileged user; it is gone with this process, and so are its files.

    Args:
        **settings: PostgreSQL's own, beside those that give up safety from a loss of power for speed.

    Raises:
        InvalidInput: PostgreSQL is not installed.
        Unavailable: The server did not start.
    """
    binaries = programs()
    if binaries is None:
        raise InvalidInput("`postgresql`: got no programs, want them: apt-get install postgresql")
    with tempfile.TemporaryDirectory(prefix="tailorbird-postgresql-", ignore_cleanup_errors=True) as folder:
        data = Path(folder) / "data"
        if os.getuid() == 0:
            os.chown(folder, pwd.getpwnam(_USER).pw_uid, -1)
        initdb: list[str | Path] = [
            binaries / "initdb",
            "-D",
            data,
            "-U",
            "tailorbird",
            "-A",
            "trust",
            "-E",
            "UTF8",
            "--locale=C",
            "-N",
        ]
        subprocess.run([*_unprivileged(), *initdb], check=True, capture_output=True, cwd=folder, timeout=60)
        for _ in range(_PORT_ATTEMPTS):
            server = _started(binaries, data, settings)
            if server is not None:
                break
        else:
            raise Unavailable(
                f"postgresql: got no server in {_PORT_ATTEMPTS} starts: {(Path(folder) / 'log').read_text()}"
            )
        try:
            yield server
        finally:
            # Whoever is connected still is cut off.
            server.process.send_signal(signal.SIGINT)
            server.process.wait(timeout=30)


def _started(binaries: Path, data: Path, settings: dict[str, object]) -> PostgresServer | None:
    """Start a server; return None when another process took the port first."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    options = {
        "port": port,
        "listen_addresses": "127.0.0.1",
        "unix_socket_directories": "",
        "fsync": "off",
        "synchronous_commit": "off",
        "full_page_writes": "off",
        "max_connections": 60,
        **settings,
    }
    given = [f"--{name}={value}" for name, value in options.items()]
    with (data.parent / "log").open("wb") as log:
        command = [*_unprivileged(), binaries / "postgres", "-D", data, *given]
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=data.parent)
    server = PostgresServer(port, process)

    def ready() -> bool:
        try:
            server.execute("SELECT 1")
        except psycopg.OperationalError:
            return process.poll() is not None
        return True

    wait_until(ready, every=0.05)
    return server if process.poll() is None else None


def _unprivileged() -> list[str | Path]:
    """Return the words before a command that take root's rights away, and end it together with this process."""
    words: list[str | Path] = ["setpriv", "--pdeathsig", "INT"]
    if os.getuid() == 0:
        words += ["--reuid", _USER, "--clear-groups", "--regid", "nogroup"]
    return words
