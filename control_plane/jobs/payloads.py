"""Payloads of jobs: what a worker has to do.

Their attributes have the names of the fields of the contract's messages, into which they are turned by name.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from google.protobuf import json_format
from google.protobuf.message import Message

from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.internal.v1.jobs_pb2 import HyperParameterTuning, RecipeSearch

__all__ = ["DatasetImport", "DatasetTable", "Payload", "SolutionVersionTraining", "StorageRemoval", "as_document"]


@dataclass(frozen=True, slots=True)
class DatasetTable:
    """A table of the dataset store.

    Attributes:
        dataset_type: A `domain.schemas.DatasetType`.
        location: Folder of the table in the store.
        schema: Avro schema of its rows, as JSON.
    """

    dataset_type: str
    location: str
    schema: str


@dataclass(frozen=True, slots=True)
class DatasetImport:
    """Read CSV files into a table.

    Attributes:
        table: Where the rows go.
        data_location: A file or folder, `s3://BUCKET/KEY` or `file:///PATH`.
        replace: Whether the rows replace those of earlier imports.
        import_id: Marks the rows of this import, so that a second attempt does not add them twice.
    """

    table: DatasetTable
    data_location: str
    replace: bool
    import_id: str


@dataclass(frozen=True, slots=True)
class SolutionVersionTraining:
    """Fit and evaluate a solution version, and publish its artifact.

    Attributes:
        solution_version_arn: The version.
        artifact_location: Folder in the store that the artifact is published to.
        recipe: Name of the recipe; None when the training chooses it.
        solution_config: How the version is trained.
        event_type: Event type to learn from; None for all.
        training_mode: FULL or UPDATE.
        tables: The active datasets of the dataset group.
        base_artifact_location: The artifact that an update begins from; None in mode FULL.
        tuning: How hyperparameters are tuned; None for not at all.
        recipe_search: The recipes to choose from; None where `recipe` names it.
    """

    solution_version_arn: str
    artifact_location: str
    recipe: str | None
    solution_config: SolutionConfig
    event_type: str | None
    training_mode: str
    tables: tuple[DatasetTable, ...]
    base_artifact_location: str | None = None
    tuning: HyperParameterTuning | None = None
    recipe_search: RecipeSearch | None = None


@dataclass(frozen=True, slots=True)
class StorageRemoval:
    """Remove what deleted resources kept in the store.

    Attributes:
        locations: Folders to remove.
    """

    locations: tuple[str, ...]


Payload = DatasetImport | SolutionVersionTraining | StorageRemoval


def as_document(payload: Payload) -> dict[str, Any]:
    """Return a payload as a JSON document, without the members that are None."""
    return asdict(
        payload, dict_factory=lambda entries: {key: _plain(value) for key, value in entries if value is not None}
    )


def _plain(value: Any) -> Any:
    if isinstance(value, Message):
        return json_format.MessageToDict(value, preserving_proto_field_name=True)
    return value
