"""The metadata store in a SQL database: SQLite, or PostgreSQL.

What differs between them is in `sqlite` and `postgresql`: how transactions begin, which errors another attempt can
mend, how other processes learn of changes.

Writing units of one process queue on a mutex: SQLite itself waits by polling, and in PostgreSQL they would undo each
other, and every attempt that is undone costs more than the wait. Those of several processes exclude each other in
SQLite; PostgreSQL undoes one of two that cannot both be right, and its work is run again.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

from sqlalchemy import event, inspect, make_url
from sqlalchemy.exc import (
    ArgumentError,
    DataError,
    DBAPIError,
    IntegrityError,
    NotSupportedError,
    ProgrammingError,
    SQLAlchemyError,
)
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.orm import Session as OrmSession
from sqlmodel import Session

from common.errors import InvalidInput, Unavailable, invalid
from common.logs import get_logger
from common.process.backoff import BackoffPolicy
from common.process.long_poll import ChangeNotifier
from control_plane.metadata_store import Unit
from control_plane.metadata_store.database import SqlDatabase
from control_plane.metadata_store.sqlite import SqliteDatabase
from control_plane.metadata_store.tables import HEARTBEAT_COLUMNS
from control_plane.metadata_store.unit import SqlUnit

__all__ = ["SqlMetadataStore", "open_metadata_store"]

Result = TypeVar("Result")

_log = get_logger(__name__)
_BACKOFF: Final = BackoffPolicy(first_seconds=0.005, longest_seconds=0.5, jitter=0.9)
_WANTED: Final = "sqlite:///PATH or postgresql+psycopg://USER@HOST/DATABASE"
#: Errors of the program: no later attempt would succeed.
_FAULTS: Final = (IntegrityError, NotSupportedError, ProgrammingError)


def open_metadata_store(url: str, *, wait_seconds: float = 30.0, connections: int = 20) -> SqlMetadataStore:
    """Open the metadata store, after creating it or bringing its tables up to date.

    Args:
        url: `sqlite:///PATH` or `postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE`; the password is shown nowhere.
        wait_seconds: How long to wait while other processes write.
        connections: How many connections to PostgreSQL are opened at most.

    Raises:
        InvalidInput: Not a database that is supported.
        Unavailable: It cannot be opened.
    """
    try:
        parsed = make_url(url)
    except (ArgumentError, ValueError) as error:
        # Not shown: there may be a password in it.
        raise invalid("database_url", got="a text that is no URL", want=_WANTED) from error
    database: SqlDatabase
    try:
        if parsed.drivername in ("postgresql", "postgresql+psycopg"):
            # Its driver takes a while to load and is of no use to SQLite.
            from control_plane.metadata_store.postgresql import PostgresDatabase

            database = PostgresDatabase(parsed, wait_seconds=wait_seconds, connections=connections)
        elif parsed.drivername == "sqlite":
            database = SqliteDatabase(parsed, wait_seconds=wait_seconds)
        else:
            raise invalid("database_url", got=parsed.render_as_string(), want=_WANTED)
    except (OSError, SQLAlchemyError) as error:
        cause = error.orig if isinstance(error, DBAPIError) else error
        raise Unavailable(
            f"`database_url`: got {parsed.render_as_string()}, which cannot be opened: {_line(cause)}"
        ) from error
    return SqlMetadataStore(database)


class SqlMetadataStore:
    """A `MetadataStore` in a SQL database."""

    def __init__(self, database: SqlDatabase) -> None:
        self.changed = ChangeNotifier()
        self._database = database
        self._writing = threading.Lock()
        database.listen(self.changed.notify)

    def transact(self, work: Callable[[Unit], Result], *, account: str | None = None) -> Result:
        """Run a unit of work that is committed at its end, or undone by an exception, and return its result."""
        return self._repeat(lambda attempt: self._write(work, account, attempt))

    def view(self, work: Callable[[Unit], Result], *, account: str | None = None) -> Result:
        """Run a unit of work that sees one state of the database throughout and changes nothing; return its result."""
        return self._repeat(lambda _: self._read(work, account))

    def close(self) -> None:
        """Close all connections."""
        self._database.close()

    def _repeat(self, run: Callable[[int], Result]) -> Result:
        """Run something, given the number of the attempt, until it succeeds or no attempt is left.

        Raises:
            Unavailable: The database gives no answer, or other writers came first every time.
            InvalidInput: It cannot keep a value.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                return run(attempt)
            except PoolTimeoutError as error:
                raise Unavailable(
                    f"`database`: got no free connection in {self._database.wait_seconds:g} s; try again later"
                ) from error
            except DBAPIError as error:
                if attempt >= self._database.attempts(error):
                    raise self._translated(error) from error
            time.sleep(_BACKOFF.pause_seconds(attempt))

    def _read(self, work: Callable[[Unit], Result], account: str | None) -> Result:
        with Session(self._database.reading, expire_on_commit=False, autoflush=False) as session:
            return work(SqlUnit(session, account=account, writing=False))

    def _write(self, work: Callable[[Unit], Result], account: str | None, attempt: int) -> Result:
        changed = False

        def on_flush(flushing: OrmSession, _: object) -> None:
            nonlocal changed
            changed = changed or _changes_more_than_heartbeats(flushing)

        if not self._writing.acquire(timeout=self._database.wait_seconds):
            raise Unavailable(f"`database`: got no turn to write in {self._database.wait_seconds:g} s; try again later")
        try:
            with Session(self._database.writing, expire_on_commit=False) as session:
                event.listen(session, "after_flush", on_flush)
                self._database.begin(session, attempt)
                unit = SqlUnit(session, account=account, writing=True)
                result = work(unit)
                session.flush()
                if changed:
                    self._database.announce(session)
                _commit(session)
        finally:
            self._writing.release()
        if changed:
            self.changed.notify()
        for action in unit.actions:
            action()
        return result

    def _translated(self, error: DBAPIError) -> Exception:
        """Return what to raise for an error that no further attempt mends."""
        if isinstance(error, _FAULTS):
            return error
        described = self._database.describe(error)
        if isinstance(error, DataError):
            return InvalidInput(f"`database`: got a value that it cannot keep: {described}")
        _log.warning("database_failed", error=described, message=_line(error.orig))
        return Unavailable(f"`database`: got no answer: {described}; try again later")


def _commit(session: Session) -> None:
    """Commit.

    Raises:
        Unavailable: The connection was lost meanwhile. The work is not run again, because it may have been committed.
    """
    try:
        session.commit()
    except DBAPIError as error:
        if not error.connection_invalidated:
            raise
        raise Unavailable("`database`: got no answer to a commit; look whether the change was made") from error


def _changes_more_than_heartbeats(session: OrmSession) -> bool:
    """Return whether a flush changes more than heartbeats, which would wake all waiting calls for nothing."""
    if session.new or session.deleted:
        return True
    return any(
        attribute.history.has_changes() and attribute.key not in HEARTBEAT_COLUMNS.get(type(row), ())
        for row in session.dirty
        for attribute in inspect(row).attrs
    )


def _line(error: BaseException | None) -> str:
    """Return the first line of an error's message; PostgreSQL's further ones may quote data."""
    return (str(error).splitlines() or [type(error).__name__])[0]
