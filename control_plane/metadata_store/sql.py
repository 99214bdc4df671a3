"""The metadata store in a SQL database: SQLite in WAL mode.

Writing units take SQLite's write lock before their first statement (`BEGIN IMMEDIATE`), so none ever fails half-way
because another was faster. Within one process they queue on a mutex first, because SQLite itself waits by polling.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import Any, TypeVar

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, create_engine, event, inspect, make_url
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import Session

from common.errors import Unavailable, invalid
from common.process.long_poll import ChangeNotifier
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import HEARTBEAT_COLUMNS
from control_plane.metadata_store.unit import SqlUnit

__all__ = ["SqlMetadataStore", "open_metadata_store"]

Result = TypeVar("Result")

_MIGRATIONS = Path(__file__).parent / "migrations"


def open_metadata_store(url: str, *, busy_seconds: float = 30.0) -> SqlMetadataStore:
    """Open the metadata store, after creating it or bringing its tables up to date.

    Args:
        url: `sqlite:///PATH`.
        busy_seconds: How long to wait while another process writes.

    Raises:
        InvalidInput: Not a database that is supported.
        Unavailable: It cannot be opened.
    """
    try:
        parsed = make_url(url)
    except ArgumentError as error:
        raise invalid("database_url", got=url, want="sqlite:///PATH") from error
    if parsed.get_backend_name() != "sqlite" or not parsed.database or parsed.database == ":memory:":
        raise invalid("database_url", got=parsed.render_as_string(), want="sqlite:///PATH")
    try:
        Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, pool_size=64, max_overflow=-1, connect_args={"timeout": busy_seconds})
        _prepare_sqlite(engine, busy_seconds)
        _migrate(engine)
    except (OSError, OperationalError) as error:
        raise Unavailable(f"`database_url`: got {url}, which cannot be opened: {error}") from error
    return SqlMetadataStore(engine)


def _prepare_sqlite(engine: Engine, busy_seconds: float) -> None:
    @event.listens_for(engine, "connect")
    def on_connect(connection: Any, _: Any) -> None:
        # The driver must not begin transactions by itself: `on_begin` does, in the right mode.
        connection.isolation_level = None
        cursor = connection.cursor()
        _use_write_ahead_log(cursor, busy_seconds)
        # What was acknowledged is on disk, also after a loss of power.
        cursor.execute("PRAGMA synchronous = FULL")
        cursor.execute("PRAGMA foreign_keys = ON")
        cursor.close()

    @event.listens_for(engine, "begin")
    def on_begin(connection: Connection) -> None:
        immediate = connection.get_execution_options().get("immediate", False)
        connection.exec_driver_sql("BEGIN IMMEDIATE" if immediate else "BEGIN")


def _use_write_ahead_log(cursor: sqlite3.Cursor, busy_seconds: float) -> None:
    """Set the journal mode, which a database keeps.

    SQLite does not wait for a lock here, as it does elsewhere: of several connections that change the mode of a new
    database together, all but one are refused at once.
    """
    deadline = time.monotonic() + busy_seconds
    while True:
        try:
            cursor.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > deadline:
                raise
            time.sleep(0.01)


def _migrate(engine: Engine) -> None:
    config = Config()
    config.set_main_option("script_location", str(_MIGRATIONS))
    # One transaction under the write lock: of several processes that start together, one migrates and the others wait.
    with engine.connect().execution_options(immediate=True) as connection:
        driver = connection.connection.driver_connection
        assert driver is not None, "it has just been opened"
        # A table is changed by copying and dropping it, with which SQLite would delete all rows that refer to it.
        driver.execute("PRAGMA foreign_keys = OFF")
        try:
            with connection.begin():
                config.attributes["connection"] = connection
                command.upgrade(config, "head")
        finally:
            driver.execute("PRAGMA foreign_keys = ON")


class SqlMetadataStore:
    """A `MetadataStore` on an engine whose tables are up to date."""

    def __init__(self, engine: Engine) -> None:
        self.changed = ChangeNotifier()
        self._engine = engine
        self._writing = threading.Lock()

    def transact(self, work: Callable[[Unit], Result], *, account: str | None = None) -> Result:
        """Run a unit of work that is committed at its end, or undone by an exception, and return its result."""
        with self._write(account) as unit:
            return work(unit)

    def view(self, work: Callable[[Unit], Result], *, account: str | None = None) -> Result:
        """Run a unit of work that sees one state of the database throughout and changes nothing; return its result."""
        with self._read(account) as unit:
            return work(unit)

    def read(self) -> AbstractContextManager[SqlUnit]:
        """Begin a unit of work that sees one state of the database throughout and changes nothing."""
        return self._read(None)

    def write(self) -> AbstractContextManager[SqlUnit]:
        """Begin a unit of work that is committed at its end, or undone by an exception."""
        return self._write(None)

    @contextmanager
    def _read(self, account: str | None) -> Iterator[SqlUnit]:
        with _database_errors(), Session(self._engine, expire_on_commit=False, autoflush=False) as session:
            yield SqlUnit(session, account=account)

    @contextmanager
    def _write(self, account: str | None) -> Iterator[SqlUnit]:
        changed = False

        def on_flush(flushing: OrmSession, _: object) -> None:
            nonlocal changed
            changed = changed or _changes_more_than_heartbeats(flushing)

        with self._writing, _database_errors():
            engine = self._engine.execution_options(immediate=True)
            with Session(engine, expire_on_commit=False) as session, session.begin():
                event.listen(session, "after_flush", on_flush)
                unit = SqlUnit(session, account=account)
                yield unit
        if changed:
            self.changed.notify()
        for action in unit.actions:
            action()

    def close(self) -> None:
        """Close all connections."""
        self._engine.dispose()


def _changes_more_than_heartbeats(session: OrmSession) -> bool:
    """Return whether a flush changes more than heartbeats, which would wake all waiting calls for nothing."""
    if session.new or session.deleted:
        return True
    return any(
        attribute.history.has_changes() and attribute.key not in HEARTBEAT_COLUMNS.get(type(row), ())
        for row in session.dirty
        for attribute in inspect(row).attrs
    )


@contextmanager
def _database_errors() -> Iterator[None]:
    """Turn errors of the database (locked for too long, disk full) into `Unavailable`: a later try may succeed."""
    try:
        yield
    except OperationalError as error:
        raise Unavailable(f"`catalogue`: got no answer from the database ({error.orig}); try again later") from error
