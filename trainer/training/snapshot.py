"""The snapshot that a training reads: the versions of the tables, and up to which event of the log they reach.

Version and watermark must belong together, so both are read from one look at the table. A watermark that is too high
would have runtimes miss events, one that is too low would have them count events twice.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from common.errors import InvalidInput
from common.positions import START, Position
from common.storage import Store
from common.tables import Table
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.domain.data_requirements import check_sufficient
from trainer.training.spec import TableVersion

__all__ = ["INTERACTIONS", "Snapshot", "take_snapshot"]

INTERACTIONS = "INTERACTIONS"


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The tables of a dataset group as they were at one moment.

    Attributes:
        tables: The versions of those that hold data.
        event_watermark: Position in the log of the last event that the interactions hold.
    """

    tables: tuple[TableVersion, ...]
    event_watermark: Position


def take_snapshot(
    store: Store,
    tables: Iterable[jobs_pb2.DatasetTable],
    *,
    filters: str = "",
    required_datasets: Collection[str] = (INTERACTIONS,),
) -> Snapshot:
    """Take the present versions of the tables of a dataset group.

    Args:
        store: The shared store.
        tables: Of the group; those that nothing was ever written to are left out.
        filters: How the solution chooses interactions, in words for an error; see `describe_filters`.
        required_datasets: Types of datasets that the recipe cannot do without.

    Raises:
        InvalidInput: There is nothing of what the recipe learns from.
        Unavailable: The store cannot be reached.
    """
    versions, watermark = [], START
    for item in tables:
        table = Table(store, item.location)
        if not table.exists():
            continue
        version, position = table.version_and_position()
        versions.append(
            TableVersion(
                dataset_type=item.dataset_type, location=item.location, avro_schema=item.schema, version=version
            )
        )
        if item.dataset_type == INTERACTIONS:
            watermark = position
    present = {item.dataset_type for item in versions}
    if INTERACTIONS not in required_datasets and "ITEMS" not in present:
        raise InvalidInput("Create failed. There are no items: import an Items dataset with names and texts.")
    if INTERACTIONS in required_datasets and INTERACTIONS not in present:
        check_sufficient(interactions=0, users=0, users_with_two=0, filters=filters)
    return Snapshot(tuple(versions), watermark)
