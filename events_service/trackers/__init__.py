"""Resolves tracking ids and ARNs to datasets: the interface; children watch control_plane and keep what it has."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from common.avro import AvroSchema
from common.errors import InvalidInput
from common.logs import get_logger
from events_service.log import LogTable

__all__ = [
    "AttributedMetric",
    "Attribution",
    "KnownRevisions",
    "Tables",
    "Tracker",
    "TrackerFetch",
    "TrackerSource",
    "TrackerUpdate",
    "read_schema",
]

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tracker:
    """The dataset behind a tracking id or behind a dataset's ARN.

    Attributes:
        dataset_group_arn: The group that its records belong to.
        table: The dataset's table; None for an event tracker whose group has no Interactions dataset.
        schema: `table.schema`, parsed; None without a table, or when it cannot be parsed.
    """

    dataset_group_arn: str
    table: LogTable | None = None
    schema: AvroSchema | None = None


@dataclass(frozen=True, slots=True)
class AttributedMetric:
    """A metric of a metric attribution.

    Attributes:
        name: Its name.
        event_type: Events of this type count.
        expression: How they are added up, e.g. `SUM(Items.PRICE)`.
    """

    name: str
    event_type: str
    expression: str


@dataclass(frozen=True, slots=True)
class Attribution:
    """What is counted of the events of a dataset group.

    Attributes:
        arn: ARN of the metric attribution.
        created_millis: Tells it from others that had, or will have, its ARN.
        dataset_group_arn: The group.
        metrics: What is counted.
        output_path: Where reports are written to; empty when none are.
        serving_arns: The campaigns and recommenders of the group.
        items: The table of its items; None without one.
    """

    arn: str
    created_millis: int
    dataset_group_arn: str
    metrics: tuple[AttributedMetric, ...]
    output_path: str = ""
    serving_arns: tuple[str, ...] = ()
    items: LogTable | None = None

    @property
    def key(self) -> str:
        """What tells it from all others that there ever were."""
        return f"{self.arn}@{self.created_millis}"


class Tables(Protocol):
    """The tables of datasets."""

    def active(
        self, locations: Sequence[str], *, rows_wait: bool = False, with_schemas: bool = False
    ) -> Mapping[str, str]:
        """Return the locations whose datasets are ACTIVE, with the schemas that these have by now, as JSON text.

        The others are deleted, or being deleted. A schema is empty where nobody asks for it, or an earlier control
        plane does not tell it.

        Args:
            locations: Of tables.
            rows_wait: Whether rows for each of them are about to be written, which the control plane is told so.
            with_schemas: Whether the schemas are told.

        Raises:
            Unavailable: The control plane cannot be reached now.
        """
        ...


@dataclass(frozen=True, slots=True)
class KnownRevisions:
    """The revisions of the set of trackers that a service has.

    Attributes:
        revision: The newest; None for none.
        in_use_revision: The oldest that running calls use; None for none.
    """

    revision: int | None = None
    in_use_revision: int | None = None


@dataclass(frozen=True, slots=True)
class TrackerUpdate:
    """The set of trackers at control_plane.

    Attributes:
        revision: Grows with every change.
        trackers: By tracking id, and by ARN for datasets of items, users and actions; None when the revision is the
            known one.
        lease_seconds: How long after the request no deletion completes before this service has confirmed it.
        attributions: By the ARN of the dataset group; none when the revision is the known one.
    """

    revision: int
    trackers: Mapping[str, Tracker] | None
    lease_seconds: float
    attributions: Mapping[str, Attribution] = field(default_factory=dict)


class TrackerFetch(Protocol):
    """A request on its way."""

    def result(self) -> TrackerUpdate | None:
        """Wait for the response and return it; None when the request was cancelled.

        Raises:
            Unavailable: There is no response in time.
        """
        ...

    def cancel(self) -> None:
        """Cancel the request; `result` returns None."""
        ...


class TrackerSource(Tables, Protocol):
    """Where the set of trackers, and tables, are looked up."""

    def fetch(self, revisions: KnownRevisions, *, wait_seconds: float) -> TrackerFetch:
        """Send a request for the set of trackers.

        Args:
            revisions: What this service has already.
            wait_seconds: How long the response may wait for a change; 0 requests the present state.
        """
        ...


@lru_cache(maxsize=1024)
def read_schema(text: str) -> AvroSchema | None:
    """Parse a schema; None when that fails, so that one group's broken schema does not affect the others."""
    try:
        return AvroSchema.parse(text)
    except InvalidInput as error:
        _log.error("schema_unreadable", message=error.message)
        return None
