"""What jobs consist of; keyed like the messages of the contract, into which they are turned by name."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from control_plane.domain.tuning import Tuning

__all__ = ["DatasetImport", "DatasetTable", "Payload", "SolutionVersionTraining", "StorageRemoval", "as_document"]


@dataclass(frozen=True, slots=True)
class DatasetTable:
    """A table of the dataset store, and the schema of its rows."""

    dataset_type: str
    location: str
    schema: str


@dataclass(frozen=True, slots=True)
class DatasetImport:
    """Read files into a table."""

    table: DatasetTable
    data_location: str
    replace: bool
    import_id: str


@dataclass(frozen=True, slots=True)
class SolutionVersionTraining:
    """Fit, evaluate and publish a version."""

    solution_version_arn: str
    artifact_location: str
    recipe: str
    solution_config_json: str
    event_type: str | None
    training_mode: str
    tables: tuple[DatasetTable, ...]
    base_artifact_location: str | None = None
    tuning: Tuning | None = None


@dataclass(frozen=True, slots=True)
class StorageRemoval:
    """Remove folders of deleted resources."""

    locations: tuple[str, ...]


Payload = DatasetImport | SolutionVersionTraining | StorageRemoval


def as_document(payload: Payload) -> dict[str, Any]:
    """Return a payload as JSON, without what is absent."""
    return asdict(payload, dict_factory=lambda entries: {key: value for key, value in entries if value is not None})
