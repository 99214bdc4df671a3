"""What a tracking id stands for: the interface, one implementation that asks control_plane, one that follows it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Protocol

from common.avro import AvroSchema
from common.errors import InvalidInput
from common.logs import get_logger
from events_service.log import LogTable

__all__ = ["KnownTrackers", "Question", "Tables", "Tracker", "TrackerAnswer", "TrackerSource", "read_schema"]

_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Tracker:
    """The dataset behind a tracking id.

    Attributes:
        dataset_group_arn: The group that its events belong to.
        table: The group's interactions table; None while the group has no Interactions dataset.
        schema: What `table.schema` says; None without a table, or when it cannot be read here.
    """

    dataset_group_arn: str
    table: LogTable | None = None
    schema: AvroSchema | None = None


class Tables(Protocol):
    """Knows the tables of datasets."""

    def active(self, locations: Sequence[str]) -> frozenset[str]:
        """Return those of some tables that are of ACTIVE datasets; the others are gone, or about to be.

        Raises:
            Unavailable: Nobody can be asked now.
        """
        ...


@dataclass(frozen=True, slots=True)
class KnownTrackers:
    """What is known when a question is asked.

    Attributes:
        revision: Of the set that is there; None for none.
        in_use_revision: The oldest set that running calls use; None for none.
    """

    revision: int | None = None
    in_use_revision: int | None = None


@dataclass(frozen=True, slots=True)
class TrackerAnswer:
    """What all tracking ids stand for.

    Attributes:
        revision: Grows with every change.
        trackers: By tracking id; None when the revision is the known one.
        lease_seconds: How long, from the question on, nothing is deleted without asking us.
    """

    revision: int
    trackers: Mapping[str, Tracker] | None
    lease_seconds: float


class Question(Protocol):
    """A question on its way."""

    def answer(self) -> TrackerAnswer | None:
        """Wait for the answer and return it; None when the question was cancelled.

        Raises:
            Unavailable: There is none in time.
        """
        ...

    def cancel(self) -> None:
        """Let whoever waits for the answer go on without it."""
        ...


class TrackerSource(Tables, Protocol):
    """Tells of all tracking ids together, and of tables."""

    def ask(self, known: KnownTrackers, *, wait_seconds: float) -> Question:
        """Begin to ask for the set of trackers.

        Args:
            known: What is there already.
            wait_seconds: How long the answer may wait for a change; 0 asks for the present state.
        """
        ...


@lru_cache(maxsize=1024)
def read_schema(text: str) -> AvroSchema | None:
    """Read a schema; None when it is none, so that one group's trouble is no other's."""
    try:
        return AvroSchema.parse(text)
    except InvalidInput as error:
        _log.error("schema_unreadable", message=error.message)
        return None
