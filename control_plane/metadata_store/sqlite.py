"""SQLite in WAL mode as the database of the metadata store.

Writing transactions take SQLite's write lock before their first statement (`BEGIN IMMEDIATE`), so none ever fails
half-way because another was faster.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlalchemy import URL, Connection, Engine, create_engine, event
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from common.errors import invalid
from control_plane.metadata_store.database import migrate

__all__ = ["SqliteDatabase"]


class SqliteDatabase:
    """A `SqlDatabase` in one file.

    Args:
        url: `sqlite:///PATH`.
        wait_seconds: How long to wait while another process writes.

    Raises:
        InvalidInput: The URL names no file.
        OSError: The file's folder cannot be made.
        DBAPIError: The file cannot be opened.
    """

    def __init__(self, url: URL, *, wait_seconds: float) -> None:
        if not url.database or url.database == ":memory:":
            raise invalid("database_url", got=url.render_as_string(), want="sqlite:///PATH")
        Path(url.database).parent.mkdir(parents=True, exist_ok=True)
        self.wait_seconds = wait_seconds
        self.reading = create_engine(
            url, pool_size=64, max_overflow=-1, connect_args={"timeout": wait_seconds}, hide_parameters=True
        )
        _prepare(self.reading, wait_seconds)
        self.writing: Engine = self.reading.execution_options(immediate=True)
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    def _migrate(self) -> None:
        # One transaction under the write lock: of several processes that start together, one migrates, others wait.
        with self.writing.connect() as connection:
            driver = connection.connection.driver_connection
            assert driver is not None, "it has just been opened"
            # A table is changed by copying and dropping it, with which SQLite would delete all rows that refer to it.
            driver.execute("PRAGMA foreign_keys = OFF")
            try:
                with connection.begin():
                    migrate(connection)
            finally:
                driver.execute("PRAGMA foreign_keys = ON")

    def begin(self, session: Session, attempt: int) -> None:
        """Do nothing: the first statement waits for the write lock."""

    def attempts(self, error: DBAPIError) -> int:  # noqa: ARG002 - the port's signature
        """Return 1: writers wait for each other before they begin."""
        return 1

    def describe(self, error: DBAPIError) -> str:
        """Return SQLite's message, such as `database is locked`; it has no data in it."""
        return str(error.orig)

    def announce(self, session: Session) -> None:
        """Do nothing: SQLite has no way to tell other processes, whose waiting calls look every half a second."""

    def listen(self, on_change: Callable[[], None]) -> None:
        """Do nothing, as above."""

    def close(self) -> None:
        """Close all connections."""
        self.reading.dispose()


def _prepare(engine: Engine, wait_seconds: float) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        # The driver must not begin transactions by itself: `on_begin` does, in the right mode.
        connection.isolation_level = None
        cursor = connection.cursor()
        use_write_ahead_log(cursor, wait_seconds)
        # What was acknowledged is on disk, also after a loss of power.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def use_write_ahead_log(cursor: sqlite3.Cursor, wait_seconds: float) -> None:
    """Set the journal mode, which a database keeps.

    SQLite does not wait for a lock here, as it does elsewhere: of several connections that change the mode of a new
    database together, all but one are refused at once.
    """
    deadline = time.monotonic() + wait_seconds
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)
