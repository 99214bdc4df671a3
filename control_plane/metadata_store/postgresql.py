"""PostgreSQL as the database of the metadata store, for several control planes on several machines.

Writing transactions are SERIALIZABLE: of several that cannot all be right, PostgreSQL undoes all but one, and their
work is run again. Reading ones see one state (REPEATABLE READ) and never fail for that reason. Changes are announced by
NOTIFY, which PostgreSQL sends at the commit; a thread LISTENs on a connection of its own.

Nothing waits without a limit: neither for a connection nor for a lock, a statement or a peer that is gone.
"""

from __future__ import annotations

import selectors
import socket
import threading
import uuid
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg.abc import Buffer
from psycopg.types.string import StrDumperUnknown
from sqlalchemy import URL, Engine, create_engine, event, text
from sqlalchemy.exc import DBAPIError
from sqlmodel import Session

from common.errors import invalid
from common.process.periodic import PeriodicThread
from control_plane.metadata_store.database import migrate
from control_plane.metadata_store.tables import ServingRevision

__all__ = ["PostgresDatabase"]

_CHANNEL: Final = "tailorbird_changed"
#: Attempts beside other writers, and in all: those after them are made alone, so that one suffices.
_TOGETHER_ATTEMPTS: Final = 3
_CONFLICT_ATTEMPTS: Final = 5
#: Locked by all who write; its rows do not matter.
_TURN_TABLE: Final = ServingRevision.__tablename__
#: A row that breaks a constraint may be the trace of another writer, whom the next attempt sees.
_CONSTRAINT_ATTEMPTS: Final = 3
#: Connections may all be dead after a restart of PostgreSQL; the first that is found so is replaced with all others.
_CONNECTION_ATTEMPTS: Final = 2
_CONNECT_SECONDS: Final = 5
_STATEMENT_SECONDS: Final = 30
_IDLE_SECONDS: Final = 60
#: Waits for other processes that migrate, and for the longest statement of a migration.
_MIGRATION_SECONDS: Final = 600
#: One number for all installations: the lock belongs to the database.
_MIGRATION_LOCK: Final = 7_401_001
_RECONNECT_SECONDS: Final = 1.0
#: How long the listening thread trusts that a silent connection lives before it asks.
_SILENCE_SECONDS: Final = 30.0


class _TextDumper(StrDumperUnknown):
    """Sends texts; U+0000, which PostgreSQL cannot keep, as the replacement character.

    Workers send texts when their work is done: an error message with such a character must not make it fail. Those of
    callers are checked before.
    """

    def dump(self, obj: str) -> Buffer | None:
        """Encode one text."""
        return super().dump(obj.replace("\0", "\ufffd"))


class PostgresDatabase:
    """A `SqlDatabase` on a server.

    Args:
        url: `postgresql+psycopg://USER@HOST/DATABASE`, with libpq's parameters.
        wait_seconds: How long to wait for locks and for a free connection.
        connections: How many connections this process has at most, and one more that listens.

    Raises:
        InvalidInput: The URL names no database.
        DBAPIError: The server cannot be reached, or refuses.
    """

    def __init__(self, url: URL, *, wait_seconds: float, connections: int) -> None:
        if not url.database:
            raise invalid("database_url", got=url.render_as_string(), want="postgresql+psycopg://USER@HOST/DATABASE")
        self.wait_seconds = wait_seconds
        engine = create_engine(
            url.set(drivername="postgresql+psycopg"),
            pool_size=connections,
            max_overflow=0,
            pool_timeout=wait_seconds,
            connect_args=_connect_arguments(url, wait_seconds),
            hide_parameters=True,
        )
        event.listen(engine, "connect", lambda connection, _: connection.adapters.register_dumper(str, _TextDumper))
        self._engine = engine
        self.reading: Engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
        self.writing: Engine = engine.execution_options(isolation_level="SERIALIZABLE")
        #: Tells the own announcements, which this process needs not hear, from those of others.
        self._sender = uuid.uuid4().hex
        self._listener: _Listener | None = None
        try:
            self._migrate()
        except BaseException:
            self.close()
            raise

    def _migrate(self) -> None:
        # Under the lock, because two processes that start together would both make the tables. READ COMMITTED, because
        # whoever waited must see what the other has done.
        with self._engine.begin() as connection:
            milliseconds = 1000 * _MIGRATION_SECONDS
            connection.exec_driver_sql(f"SET LOCAL lock_timeout = {milliseconds}")
            connection.exec_driver_sql(f"SET LOCAL statement_timeout = {milliseconds}")
            connection.exec_driver_sql(f"SELECT pg_advisory_xact_lock({_MIGRATION_LOCK})")
            migrate(connection)

    def begin(self, session: Session, attempt: int) -> None:
        """Begin together with others, or, after several losses, wait until nobody else writes and keep others out.

        PostgreSQL chooses who loses, and may choose the same again and again. It is the first statement, because it is
        one that does not yet decide which state the transaction sees.
        """
        mode = "ROW SHARE" if attempt <= _TOGETHER_ATTEMPTS else "EXCLUSIVE"
        session.connection().exec_driver_sql(f"LOCK TABLE {_TURN_TABLE} IN {mode} MODE")

    def attempts(self, error: DBAPIError) -> int:
        """Return how often work is run in all when it meets an error."""
        state = _sql_state(error)
        if state in ("40001", "40P01"):  # serialization_failure, deadlock_detected
            return _CONFLICT_ATTEMPTS
        if state.startswith("23"):
            return _CONSTRAINT_ATTEMPTS
        return _CONNECTION_ATTEMPTS if error.connection_invalidated else 1

    def describe(self, error: DBAPIError) -> str:
        """Return the name of an error and its number in PostgreSQL's manual, such as `TooManyConnections (53300)`."""
        state = _sql_state(error)
        return type(error.orig).__name__ + (f" ({state})" if state else "")

    def announce(self, session: Session) -> None:
        """Let other processes know of the changes of a transaction once it is committed."""
        statement = text("SELECT pg_notify(:channel, :sender)")
        session.connection().execute(statement, {"channel": _CHANNEL, "sender": self._sender})

    def listen(self, on_change: Callable[[], None]) -> None:
        """From now on, call a function when another process has changed something."""
        url = self._engine.url
        arguments = url.translate_connect_args(username="user", database="dbname")
        arguments.update(_connect_arguments(url, self.wait_seconds))
        self._listener = _Listener(arguments, on_change, sender=self._sender)

    def close(self) -> None:
        """Close all connections."""
        if self._listener is not None:
            self._listener.close()
        self._engine.dispose()


class _Listener:
    """Hears of the changes of other processes, on a connection that is made anew when it is lost.

    Args:
        arguments: What the connection is made with.
        on_change: Called for each change by another process, and after each loss, when changes may have been missed.
        sender: This process in its own announcements.
    """

    def __init__(self, arguments: dict[str, Any], on_change: Callable[[], None], *, sender: str) -> None:
        self._arguments = arguments
        self._on_change = on_change
        self._sender = sender
        self._stop_receiver, self._stop_sender = socket.socketpair()
        self._closing = threading.Event()
        self._listened = False
        self._thread = PeriodicThread(
            self._listen,
            name="database-listener",
            every_seconds=_RECONNECT_SECONDS,
            first_at_once=True,
            failure_event="database_listener_failed",
        )
        self._thread.start()

    def _listen(self) -> None:
        """Listen until the connection is lost or this is closed."""
        with (
            psycopg.connect(**self._arguments, autocommit=True) as connection,
            selectors.DefaultSelector() as selector,
        ):
            connection.execute(f"LISTEN {_CHANNEL}")
            if self._listened:
                self._on_change()
            self._listened = True
            selector.register(connection, selectors.EVENT_READ)
            selector.register(self._stop_receiver, selectors.EVENT_READ)
            while not self._closing.is_set():
                if not selector.select(_SILENCE_SECONDS):
                    connection.execute("SELECT 1")
                if any(notify.payload != self._sender for notify in connection.notifies(timeout=0)):
                    self._on_change()

    def close(self) -> None:
        """Return when the connection is closed."""
        if self._closing.is_set():
            return
        self._closing.set()
        self._stop_sender.send(b"\0")
        self._thread.stop()
        self._stop_sender.close()
        self._stop_receiver.close()


def _connect_arguments(url: URL, wait_seconds: float) -> dict[str, Any]:
    """Return libpq's parameters that bound every wait; those in the URL come after them and win."""
    limits = {
        "lock_timeout": wait_seconds,
        "statement_timeout": _STATEMENT_SECONDS,
        "idle_in_transaction_session_timeout": _IDLE_SECONDS,
    }
    options = [f"-c {name}={round(1000 * seconds)}" for name, seconds in limits.items()]
    given = dict(url.query)
    url_options = given.pop("options", "")
    return {
        "application_name": "tailorbird",
        "connect_timeout": _CONNECT_SECONDS,
        # A peer that is gone without a word: noticed by what is not acknowledged, and by pings while nothing is sent.
        "tcp_user_timeout": 1000 * _STATEMENT_SECONDS,
        "keepalives_idle": 10,
        "keepalives_interval": 5,
        "keepalives_count": 3,
        **given,
        "options": " ".join([*options, url_options if isinstance(url_options, str) else " ".join(url_options)]).strip(),
    }


def _sql_state(error: DBAPIError) -> str:
    return error.orig.sqlstate or "" if isinstance(error.orig, psycopg.Error) else ""
