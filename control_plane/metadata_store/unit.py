"""A unit of work in a SQL database."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from datetime import datetime
from typing import Any, Final, TypeVar, cast

from sqlalchemy import and_, exists, func, literal, not_, or_, tuple_
from sqlalchemy.orm import aliased
from sqlmodel import Session, SQLModel, col, select
from sqlmodel.sql.expression import SelectOfScalar

from control_plane.domain.jobs import FINISHED, UNFINISHED, JobState
from control_plane.domain.paging import Position
from control_plane.domain.states import Status
from control_plane.metadata_store.tables import (
    AnyResource,
    BatchInferenceJob,
    BatchSegmentJob,
    DataDeletionJob,
    Dataset,
    DatasetExportJob,
    DatasetGroup,
    DatasetImportJob,
    Job,
    Owned,
    Schedule,
    SolutionVersion,
)

__all__ = ["SqlUnit"]

Row = TypeVar("Row", bound=SQLModel)
Listed = TypeVar("Listed", bound=AnyResource)
#: The resources that jobs are submitted for, which show their failures.
_WITH_JOBS: Final = (
    BatchInferenceJob,
    BatchSegmentJob,
    DataDeletionJob,
    DatasetExportJob,
    DatasetImportJob,
    SolutionVersion,
)
_FAILED: Final = (Status.CREATE_FAILED, Status.FAILED)


class SqlUnit:
    """A `Unit` within one session.

    Args:
        session: Has begun a transaction, or does so at the first statement.
        account: The account that the unit is bound to; None for all.
        writing: Whether jobs that are looked for are locked, so that no other unit waits for them or takes them.
    """

    def __init__(self, session: Session, *, account: str | None, writing: bool) -> None:
        self._session = session
        self._writing = writing
        self.account = account
        #: What happens after the commit.
        self.actions: list[Callable[[], None]] = []

    def get(self, table: type[Row], key: object) -> Row | None:
        """Return the row with a primary key, or None."""
        row = cast("Row | None", self._session.get(table, key))
        return None if isinstance(row, Owned) and self._is_foreign(row.account) else row

    def find(
        self, table: type[Row], *, order: Sequence[str] = (), limit: int | None = None, **where: object
    ) -> list[Row]:
        """Return all rows that fulfil the conditions, or the first ones, in order."""
        return list(self._session.exec(self._select(table, order, where).limit(limit)).all())

    def first(self, table: type[Row], *, order: Sequence[str] = (), **where: object) -> Row | None:
        """Return the first row that fulfils the conditions, or None."""
        return cast("Row | None", self._session.exec(self._select(table, order, where).limit(1)).first())

    def count(self, table: type[SQLModel], *, limit: int, **where: object) -> int:
        """Return how many rows fulfil the conditions, `limit` where there are more: no more are looked at."""
        rows = select(literal(1)).select_from(table).where(*self._conditions(table, where)).limit(limit).subquery()
        return self._session.exec(select(func.count()).select_from(rows)).one()

    def page(
        self,
        table: type[Listed],
        *,
        after: Position | None,
        limit: int,
        newest_first: bool = False,
        **where: object,
    ) -> list[Listed]:
        """Return up to `limit` rows after a position, ordered by creation and then by ARN."""
        order = ("-creation_date_time", "-arn") if newest_first else ("creation_date_time", "arn")
        statement = self._select(table, order, where).limit(limit)
        if after is not None:
            # A comparison of pairs, so that the database begins at the position in the index.
            columns = tuple_(col(table.creation_date_time), col(table.arn))
            position = tuple_(after.created, after.arn)
            statement = statement.where(columns < position if newest_first else columns > position)
        return list(self._session.exec(statement).all())

    def add(self, row: SQLModel) -> None:
        """Insert a row.

        Raises:
            ValueError: It is of another account than the unit is bound to.
        """
        self._session.add(row)
        self._session.flush()
        if isinstance(row, Owned) and self._is_foreign(row.account):
            raise ValueError(f"`account`: got a row of {row.account}, want one of {self.account}")

    def remove(self, row: SQLModel) -> None:
        """Delete a row, and what depends on it where the tables say so."""
        self._session.delete(row)
        self._session.flush()

    def flush(self) -> None:
        """Send what was changed to the database, so that later conditions see it."""
        self._session.flush()

    def after_commit(self, action: Callable[[], None]) -> None:
        """Let something outside of the database happen once the unit is committed."""
        self.actions.append(action)

    def due_job(self, kinds: Collection[str], *, now: datetime) -> Job | None:
        """Return the oldest waiting job, beside which none writes, of the group whose last turn was longest ago."""
        earlier = aliased(Job)
        last_turn = (
            select(func.max(earlier.leased_at))
            .where(col(earlier.dataset_group_arn) == col(Job.dataset_group_arn), col(earlier.kind).in_(kinds))
            .correlate(Job)
            .scalar_subquery()
        )
        running = aliased(Job)
        writes_there = exists().where(
            col(running.state) == JobState.LEASED, col(running.output_folder) == col(Job.output_folder)
        )
        statement = (
            select(Job)
            .where(col(Job.state) == JobState.WAITING, col(Job.kind).in_(kinds), col(Job.available_at) <= now)
            .where(not_(writes_there))
            .order_by(last_turn.is_not(None), last_turn, col(Job.available_at), col(Job.created_at), col(Job.id))
            .limit(1)
        )
        return self._session.exec(self._locked(statement)).first()

    def prunable_jobs(self, *, before: datetime, keep: int, limit: int) -> list[Job]:
        """Return finished jobs that may be removed, oldest first: old ones, and all but the newest."""
        ended = col(Job.finished_at)
        finished = [ended.is_not(None), col(Job.state).in_(sorted(FINISHED))]
        newest_left_out = select(Job.finished_at).where(*finished).order_by(ended.desc()).offset(keep).limit(1)
        shown = or_(
            *(
                exists().where(col(table.arn) == col(Job.subject), col(table.status).in_(_FAILED))
                for table in _WITH_JOBS
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

    def due_schedules(self, *, now: datetime, limit: int) -> list[Schedule]:
        """Return schedules whose next run is due, those that have waited longest first."""
        due = col(Schedule.next_run_at)
        return list(self._session.exec(select(Schedule).where(due <= now).order_by(due).limit(limit)).all())

    def due_groups(self, *, now: datetime, limit: int) -> list[DatasetGroup]:
        """Return dataset groups whose maintenance is due, those that have waited longest first."""
        due = col(DatasetGroup.maintenance_due_at)
        return list(self._session.exec(select(DatasetGroup).where(due <= now).order_by(due).limit(limit)).all())

    def due_features(self, *, now: datetime, limit: int) -> list[Dataset]:
        """Return ACTIVE datasets whose snapshot is due and that no job is for, those that have waited longest first."""
        due = col(Dataset.features_due_at)
        has_job = exists().where(col(Job.subject) == col(Dataset.arn), col(Job.state).in_(sorted(UNFINISHED)))
        statement = select(Dataset).where(due <= now, col(Dataset.status) == Status.ACTIVE, not_(has_job))
        return list(self._session.exec(statement.order_by(due).limit(limit)).all())

    def expired_jobs(self, *, now: datetime) -> list[Job]:
        """Return leased jobs whose leases have expired."""
        statement = select(Job).where(col(Job.state) == JobState.LEASED, col(Job.lease_expires_at) < now)
        return list(self._session.exec(self._locked(statement)).all())

    def _locked(self, statement: SelectOfScalar[Job]) -> SelectOfScalar[Job]:
        """Leave out rows that another unit changes. Ignored by SQLite, where writing units run one after another."""
        return statement.with_for_update(skip_locked=True) if self._writing else statement

    def _is_foreign(self, account: str) -> bool:
        return self.account is not None and account != self.account

    def _select(self, table: type[Row], order: Sequence[str], where: dict[str, object]) -> Any:
        columns = [
            col(getattr(table, name.removeprefix("-"))).desc() if name.startswith("-") else getattr(table, name)
            for name in order
        ]
        return select(table).where(*self._conditions(table, where)).order_by(*columns)

    def _conditions(self, table: type[SQLModel], where: dict[str, object]) -> list[Any]:
        conditions: list[Any] = []
        if self.account is not None and issubclass(table, Owned):
            conditions.append(col(table.account) == self.account)
        for name, value in where.items():
            column = col(getattr(table, name))
            if isinstance(value, set | frozenset):
                # A fixed order lets the database's statement cache work.
                conditions.append(column.in_(sorted(cast("frozenset[str]", value))))
            else:
                conditions.append(column.is_(None) if value is None else column == value)
        return conditions
