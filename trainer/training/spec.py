"""What a training process is to do: a file in the folder that it shares with the trainer, and the names of its answers.

The spec holds the credentials of the store, so it is readable by its owner only and gone with its folder. The answer is
an `ArtifactManifest` as bytes, see `trainer.training.program`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any

from google.protobuf import json_format
from pydantic import BaseModel, ConfigDict, PlainSerializer, PlainValidator

from common.settings import StoreSettings
from protos.tailorbird.internal.v1.jobs_pb2 import (
    HyperParameterTuning,
    PredecessorVersion,
    RecipeSearch,
    RecipeToTry,
    SolutionVersionTrainingPayload,
)
from trainer.domain.configuration import SolutionConfiguration
from trainer.training.configuration import read_configuration

__all__ = [
    "ARTIFACT",
    "CHAMPION",
    "MEASURED_MODEL",
    "REFUSED",
    "RESULT",
    "CheckpointPlan",
    "KeptSnapshot",
    "TableVersion",
    "TrainingOptions",
    "TrainingSpec",
]

#: Folder of the artifact's files, below that of the spec.
ARTIFACT = "artifact"
#: Folder of the model as it was measured, next to that.
MEASURED_MODEL = "measured-model"
#: Folder of the champion's files, where the store is not local.
CHAMPION = "champion"
#: File of the answer: an `ArtifactManifest` in protobuf's binary form.
RESULT = "result.binpb"
#: Exit status of a process whose last line says why there is no model.
REFUSED = 3


@dataclass(frozen=True, slots=True)
class TrainingOptions:
    """The trainer's own part; the settings of the same names say what each means."""

    seed: int = 0
    recall_floor: float = 0.98
    index_trees: int = 40
    checkpoint_seconds: float = 30.0
    ray_address: str | None = None


class _Message(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TableVersion(_Message):
    """A table at one version.

    Attributes:
        dataset_type: E.g. `INTERACTIONS`.
        location: Folder of the table, relative to the store's root.
        avro_schema: The schema of its dataset, as JSON.
        version: Number of the version of the Delta table.
    """

    dataset_type: str
    location: str
    avro_schema: str
    version: int


class KeptSnapshot(_Message):
    """The snapshot that checkpoints are of, as the next attempt reads it.

    Attributes:
        tables: The versions of the tables.
        event_epoch: Epoch of the last event that they hold.
        event_offset: Its offset.
        deletions: Names of the deletions of users that were in force.
    """

    tables: tuple[TableVersion, ...]
    event_epoch: int
    event_offset: int
    deletions: tuple[str, ...]


class CheckpointPlan(_Message):
    """Where and how often a training keeps the state of its fits.

    Attributes:
        location: Folder for the checkpoints, relative to the store's root.
        every_seconds: Least time between two of them; 0 for one after every epoch.
        snapshot: What is learnt from.
    """

    location: str
    every_seconds: float
    snapshot: KeptSnapshot


def _parse_payload(value: SolutionVersionTrainingPayload | dict[str, Any]) -> SolutionVersionTrainingPayload:
    if isinstance(value, SolutionVersionTrainingPayload):
        return value
    return json_format.ParseDict(value, SolutionVersionTrainingPayload())


#: The message as pydantic writes and reads it: by protobuf's own JSON.
Payload = Annotated[
    SolutionVersionTrainingPayload, PlainValidator(_parse_payload), PlainSerializer(json_format.MessageToDict)
]


class TrainingSpec(_Message):
    """Everything that a training depends on.

    Attributes:
        store: Settings of the store, by name.
        tables: The snapshot: the tables that have data.
        payload: The job, as the control plane gave it.
        seed: Where every random number of the training begins.
        recall_floor: Recall of the first 25 results that an approximate index must reach, 0 to 1.
        index_trees: Number of trees of the Annoy index.
        checkpoints: How the state of fits is kept; None where a killed training begins anew.
        ray_address: Of the cluster on which trials of a tuning are done; None to do them here, one after another.
    """

    store: dict[str, str | float | None]
    tables: tuple[TableVersion, ...]
    payload: Payload
    seed: int
    recall_floor: float
    index_trees: int
    checkpoints: CheckpointPlan | None = None
    ray_address: str | None = None

    @property
    def recipe(self) -> str:
        """Name of the recipe; empty where it is searched."""
        return self.payload.recipe

    @cached_property
    def configuration(self) -> SolutionConfiguration:
        """What the solution configures, with every default; raises InvalidInput where it is malformed."""
        return read_configuration(self.payload.solution_config)

    @property
    def event_type(self) -> str | None:
        """The only type of interactions to learn from; None for all."""
        return self.payload.event_type or None

    @property
    def champion(self) -> PredecessorVersion | None:
        """The version to compare with; None for a solution's first version."""
        return self.payload.predecessor if self.payload.HasField("predecessor") else None

    @property
    def tuning(self) -> HyperParameterTuning | None:
        """How hyperparameters are tuned first; None when they are not."""
        return self.payload.tuning if self.payload.HasField("tuning") else None

    @property
    def search(self) -> RecipeSearch | None:
        """How the recipe is chosen; None where `recipe` names it."""
        return self.payload.recipe_search if self.payload.HasField("recipe_search") else None

    @property
    def base(self) -> str | None:
        """Folder of the artifact to be brought up to date, relative to the store's root; None to learn anew."""
        return self.payload.base_artifact_location or None

    def of_candidate(self, candidate: RecipeToTry) -> TrainingSpec:
        """Return the same training of a recipe that may be the best."""
        payload = SolutionVersionTrainingPayload()
        payload.CopyFrom(self.payload)
        payload.ClearField("recipe_search")
        payload.ClearField("tuning")
        payload.recipe = candidate.recipe
        if candidate.HasField("tuning"):
            payload.tuning.CopyFrom(candidate.tuning)
        return self.model_copy(update={"payload": payload})

    def table(self, dataset_type: str) -> TableVersion | None:
        """Return the table of a type of dataset, None when it has no data."""
        return next((item for item in self.tables if item.dataset_type == dataset_type), None)

    def store_settings(self) -> StoreSettings:
        """Return the settings of the store."""
        return StoreSettings.model_validate(self.store)

    def write(self, path: Path) -> None:
        """Write the spec into a new file that only its owner can read."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.model_dump_json())

    @classmethod
    def read(cls, path: Path) -> TrainingSpec:
        """Read a spec."""
        return cls.model_validate_json(path.read_bytes())
