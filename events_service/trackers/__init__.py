"""What a tracking id stands for: the interface, with one implementation that asks control_plane and one that caches."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from common.avro import AvroSchema
from events_service.log import LogTable

__all__ = ["Tracker", "Trackers"]


@dataclass(frozen=True, slots=True)
class Tracker:
    """The dataset behind a tracking id.

    Attributes:
        dataset_group_arn: The group that its events belong to.
        table: The group's interactions table; None while the group has no Interactions dataset.
        schema: What `table.schema` says; None with it.
    """

    dataset_group_arn: str
    table: LogTable | None = None
    schema: AvroSchema | None = None


class Trackers(Protocol):
    """Resolves tracking ids."""

    def resolve(self, tracking_id: str) -> Tracker:
        """Return what the id stands for.

        Raises:
            ResourceNotFound: No active tracker carries the id.
            Unavailable: Nobody can be asked now.
        """
        ...
