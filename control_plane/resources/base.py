"""What the operations on all kinds of resources share: fetch, insert, remove, list by pages."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, Generic, TypeVar

from common.arn import Arn
from common.errors import ResourceInUse
from control_plane.app_context import AppContext
from control_plane.domain.fields import already_exists, check_page_size, does_not_exist
from control_plane.domain.paging import Position, read_token, write_token
from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import AnyResource, Tag

__all__ = ["Page", "PageRequest", "ResourceOperations", "fetch", "insert", "list_page", "remove", "require_active"]

Resource = TypeVar("Resource", bound=AnyResource)
#: What times are kept to.
_TICK: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class PageRequest:
    """Which page of a list to return.

    Attributes:
        next_token: Token of the page; None for the first.
        max_results: Entries of the page, 1 to 100; None for 100.
    """

    next_token: str | None = None
    max_results: int | None = None


@dataclass(frozen=True, slots=True)
class Page(Generic[Resource]):
    """A page of a list.

    Attributes:
        items: Its entries.
        next_token: Token of the next page; None on the last one.
    """

    items: list[Resource]
    next_token: str | None


class ResourceOperations:
    """Base of the operations on one kind of resource.

    They work in the unit of work that the caller gives, which is bound to an account, and keep no state themselves.

    Args:
        app_context: Clock, ids, ARNs and quotas.
    """

    def __init__(self, app_context: AppContext) -> None:
        self._app_context = app_context

    def _now(self) -> datetime:
        return self._app_context.clock.now()

    def _arn(self, unit: Unit, kind: str, name: str) -> str:
        assert unit.account is not None, "resources are created for an account"
        return self._app_context.arns.make(kind, name, account=unit.account)

    def _short_id(self) -> str:
        return self._app_context.new_id()[:8]

    def _check_quota(self, unit: Unit, quota: str, table: type[AnyResource], **where: object) -> None:
        """Check that a quota allows the resources there are, the new one among them, without looking at many more.

        Args:
            unit: A writing unit of work, in which the new resource was inserted.
            quota: Name of one of the attributes of `Quotas`.
            table: The resources.
            **where: Which of them count, as of `Unit.find`.

        Raises:
            LimitExceeded: There are more.
        """
        quotas = self._app_context.quotas
        count = unit.count(table, limit=quotas.limit(quota) + 1, **where)
        quotas.check(quota, used=count - 1)


def fetch(unit: Unit, table: type[Resource], arn: str, *, field: str, kind: str) -> Resource:
    """Return the resource with an ARN.

    Raises:
        InvalidInput: The text is no ARN of such a resource.
        ResourceNotFound: No resource has it.
    """
    Arn.parse(arn, field=field, kind=kind)
    resource = unit.get(table, arn)
    if resource is None:
        raise does_not_exist(arn, field=field)
    return resource


def require_active(status: str, arn: str, *, field: str) -> None:
    """Make sure that a resource can be used by another.

    Raises:
        ResourceInUse: It is not ACTIVE.
    """
    if status != Status.ACTIVE:
        raise ResourceInUse(f"`{field}`: got {arn}, which is {status}, want one that is ACTIVE", metadata={"arn": arn})


def insert(unit: Unit, row: AnyResource, *, tags: Mapping[str, str] | None = None) -> None:
    """Add a resource with its tags, as the newest of its kind.

    It becomes newer than all there are, by a microsecond if the clock does not say so: lists go by creation, and one
    that is committed behind the page that a caller has read must not be missed by the next. Units that add at the same
    time exclude each other, since what each has read here does not hold any more once the other is committed.

    Raises:
        ResourceAlreadyExists: Its ARN is taken.
    """
    if unit.get(type(row), row.arn) is not None:
        raise already_exists(row.arn)
    newest = unit.first(type(row), order=["-creation_date_time", "-arn"])
    if newest is not None and row.creation_date_time <= newest.creation_date_time:
        row.creation_date_time = newest.creation_date_time + _TICK
        row.last_updated_date_time = max(row.last_updated_date_time, row.creation_date_time)
    unit.add(row)
    for key, value in (tags or {}).items():
        unit.add(Tag(resource_arn=row.arn, tag_key=key, tag_value=value))


def remove(unit: Unit, row: AnyResource) -> None:
    """Delete a resource and its tags."""
    for tag in unit.find(Tag, resource_arn=row.arn):
        unit.remove(tag)
    unit.remove(row)


def list_page(
    unit: Unit,
    table: type[Resource],
    request: PageRequest,
    *,
    filters: Mapping[str, Any] | None = None,
    newest_first: bool = False,
) -> Page[Resource]:
    """Return one page of the resources of a kind.

    Args:
        unit: A unit of work that is bound to an account, or an operator's of all.
        table: Table of the kind.
        request: Which page.
        filters: ARNs of parents to list the resources of, by column, and values of other columns; those that are None
            do not filter.
        newest_first: Whether the newest comes first, and not the oldest.

    Raises:
        InvalidInput: `maxResults` is out of range, or a parent is no ARN of its kind.
        InvalidNextToken: The token is not of this list.
    """
    where = {column: value for column, value in (filters or {}).items() if value is not None}
    for column, arn in where.items():
        if not column.endswith("_arn"):
            continue
        parent = column.removesuffix("_arn")
        # The ARN of a version begins as that of its solution does.
        kind = parent.removesuffix("_version").replace("_", "-")
        Arn.parse(arn, field=f"{_camel(parent)}Arn", kind=kind)
    scope = f"{table.__name__}:{unit.account}:{sorted(where.items())}"
    size = check_page_size(request.max_results)
    after = read_token(request.next_token, scope=scope) if request.next_token else None
    rows = unit.page(table, after=after, limit=size + 1, newest_first=newest_first, **where)
    page, rest = rows[:size], rows[size:]
    last = Position(page[-1].creation_date_time, page[-1].arn) if rest else None
    return Page(page, write_token(last, scope=scope) if last else None)


def _camel(name: str) -> str:
    first, *rest = name.split("_")
    return first + "".join(word.capitalize() for word in rest)
