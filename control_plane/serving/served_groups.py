"""What the campaigns and recommenders of a dataset group share: its datasets, with their features, and its filters."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from control_plane.domain.states import Status
from control_plane.metadata_store import Unit
from control_plane.metadata_store.tables import Dataset, DatasetSchema, Filter

__all__ = ["ServedDataset", "ServedFilter", "ServedGroup", "served_groups"]


@dataclass(frozen=True, slots=True)
class ServedDataset:
    """A dataset as runtimes read it; its attributes have the names of the fields of the contract's message.

    Attributes:
        dataset_type: E.g. `ITEMS`.
        schema: Its Avro schema as JSON text.
        features_location: Folder of the newest snapshot of its features in the store; None without one.
    """

    dataset_type: str
    schema: str
    features_location: str | None


@dataclass(frozen=True, slots=True)
class ServedFilter:
    """A filter as runtimes apply it; its attributes have the names of the fields of the contract's message."""

    filter_arn: str
    filter_expression: str


@dataclass(frozen=True, slots=True)
class ServedGroup:
    """A dataset group of which something is served.

    Attributes:
        dataset_group_arn: Its ARN.
        datasets: Those that are ACTIVE, by type.
        filters: Those that are ACTIVE, by ARN.
    """

    dataset_group_arn: str
    datasets: tuple[ServedDataset, ...]
    filters: tuple[ServedFilter, ...]


def served_groups(unit: Unit, arns: Collection[str]) -> tuple[ServedGroup, ...]:
    """Return dataset groups by their ARNs, in order; one query for each kind of what they have.

    Args:
        unit: A unit of work.
        arns: ARNs of groups that exist; they may repeat.
    """
    if not arns:
        return ()
    groups = frozenset(arns)
    datasets = unit.find(Dataset, dataset_group_arn=groups, status=Status.ACTIVE, order=["dataset_type"])
    schemas = {row.arn: row for row in unit.find(DatasetSchema, arn=frozenset(row.schema_arn for row in datasets))}
    filters = unit.find(Filter, dataset_group_arn=groups, status=Status.ACTIVE, order=["arn"])
    return tuple(
        ServedGroup(
            arn,
            tuple(
                ServedDataset(row.dataset_type, schemas[row.schema_arn].schema_text, row.features_location)
                for row in datasets
                if row.dataset_group_arn == arn
            ),
            tuple(ServedFilter(row.arn, row.filter_expression) for row in filters if row.dataset_group_arn == arn),
        )
        for arn in sorted(groups)
    )
