"""Tables of `tailorbird storage`: everything that takes room, the largest first, with what will be freed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Group, RenderableType
from rich.filesize import decimal
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from cli.terminal import escape_controls
from protos.tailorbird.control.v1.storage_service_pb2 import DatasetGroupStorage, SolutionVersionStorage
from protos.tailorbird.internal.v1.local_storage_pb2 import DescribeLocalStorageResponse
from protos.tailorbird.storage.v1.storage_usage_pb2 import TableUsage

__all__ = ["HostStorage", "StorageRow", "storage_rows", "storage_view"]


@dataclass(frozen=True, slots=True)
class HostStorage:
    """What one service keeps on its host.

    Attributes:
        process: The service.
        storage: What it said; None when it could not be asked.
        reason: Why it could not.
    """

    process: str
    storage: DescribeLocalStorageResponse | None
    reason: str = ""


@dataclass(frozen=True, slots=True)
class StorageRow:
    """Something that takes room.

    Attributes:
        bytes: Its size.
        what: Its kind.
        name: Whose it is.
        detail: What else is to be said.
        is_freed: Whether maintenance frees it.
    """

    bytes: int
    what: str
    name: str
    detail: str = ""
    is_freed: bool = False


def storage_rows(groups: Sequence[DatasetGroupStorage], hosts: Sequence[HostStorage]) -> list[StorageRow]:
    """Return everything that takes room, the largest first."""
    rows = [row for group in groups for row in _group_rows(group)]
    rows += [row for host in hosts if host.storage is not None for row in _host_rows(host.process, host.storage)]
    return sorted(rows, key=lambda row: (-row.bytes, row.what, row.name))


def storage_view(groups: Sequence[DatasetGroupStorage], hosts: Sequence[HostStorage]) -> RenderableType:
    """Return the table of everything, and when it was counted."""
    rows = storage_rows(groups, hosts)
    table = Table(show_footer=True)
    table.add_column("size", footer=decimal(sum(row.bytes for row in rows)), justify="right", no_wrap=True)
    freed = sum(row.bytes for row in rows if row.is_freed)
    table.add_column("what", footer="all")
    table.add_column("of")
    table.add_column("", footer=f"{decimal(freed)} will be freed")
    for row in rows:
        texts = (decimal(row.bytes), row.what, row.name, row.detail)
        table.add_row(*(escape(escape_controls(text)) for text in texts), style="dim" if row.is_freed else None)
    return Group(table, *(_measured(group) for group in groups), *(_unreachable(host) for host in hosts if host.reason))


def _group_rows(group: DatasetGroupStorage) -> Iterator[StorageRow]:
    for dataset in group.datasets:
        yield from _table_rows(_short(dataset.dataset_arn), dataset.table)
    for version in group.solution_versions:
        yield StorageRow(version.bytes, "solution version", _short(version.solution_version_arn), _use(version))
    if group.HasField("deletions"):
        count = f"{group.deletions.objects:,} objects; stays as long as the dataset group"
        yield StorageRow(group.deletions.bytes, "deletions", _short(group.dataset_group_arn), count)
    for features in group.features:
        yield StorageRow(features.bytes, "feature snapshot", features.location, f"{features.objects:,} objects")
    for folder in group.others:
        detail = f"{folder.objects:,} objects; nothing removes them"
        yield StorageRow(folder.bytes, "of no resource", folder.location, detail)


def _table_rows(name: str, table: TableUsage) -> Iterator[StorageRow]:
    shape = f"{table.rows:,} rows, {table.files:,} files, {table.versions:,} versions"
    yield StorageRow(table.bytes, "dataset", name, table.damage or shape)
    if table.old_files:
        detail = f"{table.old_files:,} files; free by {_moment(table.removable_at)}"
        yield StorageRow(table.old_bytes, "old versions", name, detail, is_freed=True)
    yield StorageRow(table.log_bytes, "log of versions", name)
    if table.reports:
        yield StorageRow(table.report_bytes, "import reports", name, f"{table.reports:,} reports")


def _host_rows(process: str, response: DescribeLocalStorageResponse) -> Iterator[StorageRow]:
    where = f"{process.replace('_', ' ')} on {response.host}"
    for part in response.parts:
        detail = f"{part.files:,} files"
        if part.HasField("records"):
            detail += f", up to {part.records:,} records"
        if part.HasField("oldest_record_at"):
            detail += f" since {_moment(part.oldest_record_at)}"
        yield StorageRow(part.bytes, part.name, where, detail)


def _use(version: SolutionVersionStorage) -> str:
    used_by = ", ".join(_short(arn) for arn in version.used_by_arns)
    return f"used by {used_by}" if used_by else "not used"


def _measured(group: DatasetGroupStorage) -> Text:
    name = escape_controls(_short(group.dataset_group_arn))
    if not group.HasField("measured_at"):
        return Text(f"{name}: nothing was counted yet")
    partial = "; there is more than one job counts" if group.is_partial else ""
    return Text(f"{name}: counted {_moment(group.measured_at)}{partial}")


def _unreachable(host: HostStorage) -> Text:
    return Text(f"{host.process.replace('_', ' ')}: not asked: {escape_controls(host.reason)}", style="yellow")


def _moment(timestamp: Timestamp) -> str:
    moment: datetime = timestamp.ToDatetime(tzinfo=UTC)
    return f"{moment:%Y-%m-%d %H:%M} UTC"


def _short(arn: str) -> str:
    """Return the resource of an ARN, `KIND/NAME…`."""
    return arn.split(":", 5)[-1]
