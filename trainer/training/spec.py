"""What a training process is to do: a file in the folder that it shares with the trainer, and the names of its answers.

The spec holds the credentials of the store, so it is readable by its owner only and gone with its folder. The answer is
an `ArtifactManifest` as bytes, see `trainer.training.program`.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict

from common.settings import StoreSettings
from trainer.domain.configuration import SolutionConfiguration

__all__ = [
    "ARTIFACT",
    "CHAMPION",
    "MEASURED_MODEL",
    "REFUSED",
    "RESULT",
    "CandidateSpec",
    "ChampionSpec",
    "RecipeSearchSpec",
    "TableVersion",
    "TrainingOptions",
    "TrainingSpec",
    "TunedRange",
    "TuningSpec",
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


class ChampionSpec(_Message):
    """The version that a new one is compared with.

    Attributes:
        solution_version_arn: Its ARN.
        artifact_location: Folder of its artifact, relative to the store's root.
    """

    solution_version_arn: str
    artifact_location: str


class TunedRange(_Message):
    """The values of a hyperparameter that may be tried.

    Attributes:
        name: The hyperparameter.
        kind: Which of the others say what may be tried.
        low: Least value.
        high: Greatest value.
        values: What a choice is among, as text.
    """

    name: str
    kind: Literal["integer", "float", "choice"]
    low: float = 0.0
    high: float = 0.0
    values: tuple[str, ...] = ()


class TuningSpec(_Message):
    """A search for better hyperparameters.

    Attributes:
        trials: Trainings that may be tried.
        ranges: What is searched.
    """

    trials: int
    ranges: tuple[TunedRange, ...]


class CandidateSpec(_Message):
    """A recipe that may be the best.

    Attributes:
        recipe: Its name.
        tuning: How its hyperparameters are tuned first; None when they are not.
    """

    recipe: str
    tuning: TuningSpec | None = None


class RecipeSearchSpec(_Message):
    """A search for the best recipe.

    Attributes:
        candidates: What is tried, in this order: a later one is chosen only if it is significantly better.
        metric: Name of the metric that decides.
    """

    candidates: tuple[CandidateSpec, ...]
    metric: str


class TrainingSpec(_Message):
    """Everything that a training depends on.

    Attributes:
        store: Settings of the store, by name.
        tables: The snapshot: the tables that have data.
        recipe: Name of the recipe; empty where it is searched.
        configuration: What the solution configures.
        event_type: The only type of interactions to learn from; None for all.
        seed: Where every random number of the training begins.
        recall_floor: Recall of the first 25 results that an approximate index must reach, 0 to 1.
        index_trees: Number of trees of the Annoy index.
        champion: The version to compare with; None for a solution's first version.
        tuning: How hyperparameters are tuned first; None when they are not.
        search: How the recipe is chosen; None where `recipe` names it.
        base: Folder of the artifact to be brought up to date, relative to the store's root; None to learn anew.
    """

    store: dict[str, str | float | None]
    tables: tuple[TableVersion, ...]
    recipe: str
    configuration: SolutionConfiguration
    event_type: str | None = None
    seed: int
    recall_floor: float
    index_trees: int
    champion: ChampionSpec | None = None
    tuning: TuningSpec | None = None
    search: RecipeSearchSpec | None = None
    base: str | None = None

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
