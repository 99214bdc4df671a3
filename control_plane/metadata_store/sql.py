"""The metadata store in a SQL database: SQLite in WAL mode.

Writing units take SQLite's write lock before their first statement (`BEGIN IMMEDIATE`), so none ever fails half-way
because another was faster. Within one process they queue on a mutex first, because SQLite itself waits by polling.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Any, TypeVar, cast

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, Engine, and_, create_engine, event, exists, func, inspect, make_url, not_, or_
from sqlalchemy.exc import ArgumentError, OperationalError
from sqlalchemy.orm import Session as OrmSession
from sqlalchemy.orm import aliased
from sqlmodel import Session, SQLModel, col, select

from common.errors import Unavailable, invalid
from common.process.long_poll import ChangeNotifier
from control_plane.domain.jobs import FINISHED, JobState
from control_plane.domain.paging import Position
from control_plane.domain.states import Status
from control_plane.metadata_store.tables import (
    HEARTBEAT_COLUMNS,
    AnyResource,
    DatasetImportJob,
    Job,
    SolutionVersion,
)

__all__ = ["SqlMetadataStore", "SqlUnit", "open_metadata_store"]

Row = TypeVar("Row", bound=SQLModel)
Listed = TypeVar("Listed", bound=AnyResource)

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

    @contextmanager
    def read(self) -> Iterator[SqlUnit]:
        """Begin a unit of work that sees one state of the database throughout and changes nothing."""
        with _database_errors(), Session(self._engine, expire_on_commit=False, autoflush=False) as session:
            yield SqlUnit(session)

    @contextmanager
    def write(self) -> Iterator[SqlUnit]:
        """Begin a unit of work that is committed at its end, or undone by an exception."""
        changed = False

        def on_flush(flushing: OrmSession, _: object) -> None:
            nonlocal changed
            changed = changed or _changes_more_than_heartbeats(flushing)

        with self._writing, _database_errors():
            engine = self._engine.execution_options(immediate=True)
            with Session(engine, expire_on_commit=False) as session, session.begin():
                event.listen(session, "after_flush", on_flush)
                yield SqlUnit(session)
        if changed:
            self.changed.notify()

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


class SqlUnit:
    """A `Unit` within one session."""

    def __init__(self, session: Session) -> None:
        self._session = session

    def get(self, table: type[Row], key: object) -> Row | None:
        """Return the row with a primary key, or None."""
        return cast("Row | None", self._session.get(table, key))

    def find(self, table: type[Row], *, order: Sequence[str] = (), **where: object) -> list[Row]:
        """Return all rows that fulfil the conditions, in order."""
        return list(self._session.exec(self._select(table, order, where)).all())

    def first(self, table: type[Row], *, order: Sequence[str] = (), **where: object) -> Row | None:
        """Return the first row that fulfils the conditions, or None."""
        return cast("Row | None", self._session.exec(self._select(table, order, where).limit(1)).first())

    def count(self, table: type[SQLModel], **where: object) -> int:
        """Return the number of rows that fulfil the conditions."""
        return self._session.exec(select(func.count()).select_from(table).where(*_conditions(table, where))).one()

    def page(self, table: type[Listed], *, after: Position | None, limit: int, **where: object) -> list[Listed]:
        """Return up to `limit` rows after a position, ordered by creation and then by ARN."""
        statement = self._select(table, ("creation_date_time", "arn"), where).limit(limit)
        if after is not None:
            created, arn = col(table.creation_date_time), col(table.arn)
            statement = statement.where(or_(created > after.created, and_(created == after.created, arn > after.arn)))
        return list(self._session.exec(statement).all())

    def add(self, row: SQLModel) -> None:
        """Insert a row."""
        self._session.add(row)
        self._session.flush()

    def remove(self, row: SQLModel) -> None:
        """Delete a row, and what depends on it where the tables say so."""
        self._session.delete(row)
        self._session.flush()

    def flush(self) -> None:
        """Send what was changed to the database, so that later conditions see it."""
        self._session.flush()

    def due_job(self, kinds: Collection[str], *, now: datetime) -> Job | None:
        """Return the oldest waiting job of the dataset group whose last turn was longest ago."""
        earlier = aliased(Job)
        last_turn = (
            select(func.max(earlier.leased_at))
            .where(col(earlier.dataset_group_arn) == col(Job.dataset_group_arn), col(earlier.kind).in_(kinds))
            .correlate(Job)
            .scalar_subquery()
        )
        statement = (
            select(Job)
            .where(col(Job.state) == JobState.WAITING, col(Job.kind).in_(kinds), col(Job.available_at) <= now)
            .order_by(last_turn.is_not(None), last_turn, col(Job.available_at), col(Job.created_at), col(Job.id))
            .limit(1)
            # Ignored by SQLite, where writing units run one after another.
            .with_for_update(skip_locked=True)
        )
        return self._session.exec(statement).first()

    def prunable_jobs(self, *, before: datetime, keep: int, limit: int) -> list[Job]:
        """Return finished jobs that may be removed, oldest first: old ones, and all but the newest."""
        ended = col(Job.finished_at)
        finished = [ended.is_not(None), col(Job.state).in_(sorted(FINISHED))]
        newest_left_out = select(Job.finished_at).where(*finished).order_by(ended.desc()).offset(keep).limit(1)
        shown = or_(
            *(
                exists().where(col(table.arn) == col(Job.subject), col(table.status) == Status.CREATE_FAILED)
                for table in (DatasetImportJob, SolutionVersion)
            )
        )
        statement = (
            select(Job)
            .where(*finished, or_(ended <= before, ended <= newest_left_out.scalar_subquery()))
            .where(not_(and_(col(Job.state) == JobState.FAILED, shown)))
            .order_by(ended, col(Job.id))
            .limit(limit)
        )
        return list(self._session.exec(statement).all())

    def expired_jobs(self, *, now: datetime) -> list[Job]:
        """Return leased jobs whose leases have expired."""
        statement = select(Job).where(col(Job.state) == JobState.LEASED, col(Job.lease_expires_at) < now)
        return list(self._session.exec(statement.with_for_update(skip_locked=True)).all())

    @staticmethod
    def _select(table: type[Row], order: Sequence[str], where: dict[str, object]) -> Any:
        columns = [
            col(getattr(table, name.removeprefix("-"))).desc() if name.startswith("-") else getattr(table, name)
            for name in order
        ]
        return select(table).where(*_conditions(table, where)).order_by(*columns)


def _conditions(table: type[SQLModel], where: dict[str, object]) -> list[Any]:
    conditions: list[Any] = []
    for name, value in where.items():
        column = col(getattr(table, name))
        if isinstance(value, set | frozenset):
            # A fixed order lets the database's statement cache work.
            conditions.append(column.in_(sorted(cast("frozenset[str]", value))))
        else:
            conditions.append(column.is_(None) if value is None else column == value)
    return conditions
