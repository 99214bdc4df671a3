"""Freezing data: the versions of the tables, and up to which event of the log they reach.

Version and watermark must belong together. A watermark that is too high would have runtimes miss events, one that is
too low would have them count events twice, so both are read until nothing was committed in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from common.columns import EVENTS_APP_ID
from common.errors import InvalidInput, Unavailable
from common.storage import Store
from common.tables import Table
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.domain.sufficiency import check_sufficient
from trainer.training.order import FrozenTable

__all__ = ["Snapshot", "freeze"]

_INTERACTIONS = "INTERACTIONS"
_ATTEMPTS = 20


@dataclass(frozen=True, slots=True)
class Snapshot:
    """A frozen state.

    Attributes:
        tables: Those that hold data.
        event_watermark: Offset of the last event in the interactions, 0 when there is none.
    """

    tables: tuple[FrozenTable, ...]
    event_watermark: int


def freeze(
    store: Store,
    tables: Iterable[jobs_pb2.DatasetTable],
    *,
    filters: str = "",
    learns_from: Literal["interactions", "items"] = "interactions",
) -> Snapshot:
    """Freeze the tables of a dataset group as they are now.

    Args:
        store: The shared store.
        tables: Of the group; those that nothing was ever written to are left out.
        filters: Of the solution, in words, for the error.
        learns_from: What the recipe cannot do without.

    Raises:
        InvalidInput: There is nothing of what the recipe learns from.
        Unavailable: The store cannot be reached, or the interactions never stand still.
    """
    frozen, watermark = [], 0
    for item in tables:
        table = Table(store, item.location)
        if not table.exists():
            continue
        version, offset = _version_and_offset(table)
        frozen.append(
            FrozenTable(
                dataset_type=item.dataset_type, location=item.location, avro_schema=item.schema, version=version
            )
        )
        if item.dataset_type == _INTERACTIONS:
            watermark = offset
    found = {item.dataset_type for item in frozen}
    if learns_from == "items" and "ITEMS" not in found:
        raise InvalidInput("Create failed. There are no items: import an Items dataset with names and texts.")
    if learns_from == "interactions" and _INTERACTIONS not in found:
        check_sufficient(interactions=0, users=0, users_with_two=0, filters=filters)
    return Snapshot(tuple(frozen), watermark)


def _version_and_offset(table: Table) -> tuple[int, int]:
    for _ in range(_ATTEMPTS):
        version = table.version()
        offset = table.transaction(EVENTS_APP_ID) or 0
        if table.version() == version:
            return version, offset
    raise Unavailable(f"dataset {table.location}: got a new commit at every look, want a moment without one")
