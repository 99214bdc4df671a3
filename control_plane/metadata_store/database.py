"""What the metadata store needs of a SQL database; implemented in `sqlite` and `postgresql`."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Final, Protocol

from alembic import command
from alembic.config import Config
from alembic.util.exc import CommandError
from sqlalchemy import Connection, Engine
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from common.errors import InvalidInput

__all__ = ["MIGRATIONS", "SqlDatabase", "migrate"]

MIGRATIONS: Final = Path(__file__).parent / "migrations"


class SqlDatabase(Protocol):
    """An open database whose tables are up to date.

    Attributes:
        reading: Begins transactions that see one state throughout and change nothing.
        writing: Begins transactions that are serializable.
        wait_seconds: How long a writer waits for others at most.
    """

    reading: Engine
    writing: Engine
    wait_seconds: float

    def begin(self, session: Session, attempt: int) -> None:
        """Begin a writing transaction.

        Args:
            session: Has executed nothing yet.
            attempt: Number of the attempt at this work, from 1.
        """

    def attempts(self, error: DBAPIError) -> int:
        """Return how often work is run in all when it meets an error; 1 where another attempt mends nothing."""

    def describe(self, error: DBAPIError) -> str:
        """Return what callers may read about an error: no secret, no data, no name of a host."""

    def announce(self, session: Session) -> None:
        """Let other processes know of the changes of a transaction once it is committed."""

    def listen(self, on_change: Callable[[], None]) -> None:
        """From now on, call a function from any thread when another process has changed something; called once."""

    def close(self) -> None:
        """Close all connections."""


def migrate(connection: Connection) -> None:
    """Create the tables, or bring them up to date, within the transaction of a connection.

    Raises:
        InvalidInput: The database is of a newer version.
    """
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    config.attributes["connection"] = connection
    try:
        command.upgrade(config, "head")
    except CommandError as error:
        raise InvalidInput(
            "`database_url`: got a database of a newer version, want one that this version or an older one has written"
        ) from error
