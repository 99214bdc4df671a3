"""What a training process is told and what it answers: two files in the folder that both processes share.

The order holds the credentials of the store, so it is readable by its owner only and gone with its folder.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from common.settings import StoreSettings
from trainer.domain.configuration import EventParameters, Objective

__all__ = [
    "ARTIFACT",
    "MEASURED_MODEL",
    "PREDECESSOR",
    "REFUSED",
    "ChampionSpec",
    "Measurement",
    "TableVersion",
    "TrainingOptions",
    "TrainingResult",
    "TrainingSpec",
    "TunedRange",
    "TuningSpec",
]  # fmt: skip

#: Folder of the artifact's files, below that of the order.
ARTIFACT = "artifact"
#: Folder of the model as it was measured, beside that.
MEASURED_MODEL = "measured-model"
#: Folder of the predecessor's files, where the store is not local.
PREDECESSOR = "predecessor"
#: Exit status of a process whose last line says why there is no model.
REFUSED = 3
_RESULT = "result.json"


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
        location: Folder relative to the store's root.
        avro_schema: The Avro schema.
        version: Of the Delta table.
    """

    dataset_type: str
    location: str
    avro_schema: str
    version: int


class ChampionSpec(_Message):
    """The version to compare with.

    Attributes:
        solution_version_arn: Its ARN.
        artifact_location: Folder of its artifact, relative to the store's root.
    """

    solution_version_arn: str
    artifact_location: str


class TunedRange(_Message):
    """The values of a hyperparameter that may be tried.

    Attributes:
        name: Of the hyperparameter.
        kind: Which of the others say what may be tried.
        low: Least value.
        high: Greatest value.
        values: Of a choice, as text.
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


class TrainingSpec(_Message):
    """Everything that a training depends on.

    Attributes:
        store: Settings of the store, by name.
        tables: Those with data, Interactions among them.
        recipe: Name of the recipe.
        hyperparameters: As strings.
        event_type: The only type to learn from.
        event_value_threshold: Least event value to learn from.
        events: Settings by type; the only types to learn from where there are any.
        objective: What is favoured beside relevance.
        excluded_columns: Columns not to learn from, by type of dataset.
        included_columns: The only columns to learn from, by type of dataset; datasets that are not named keep all.
        seed: Of every random number.
        recall_floor: Of an approximate index.
        index_trees: Of the Annoy index.
        predecessor: To compare with; None for a solution's first version.
        tuning: How hyperparameters are tuned first; None when they are not.
        base: Folder of the artifact to be brought up to date, relative to the store's root; None to learn anew.
    """

    store: dict[str, str | float | None]
    tables: tuple[TableVersion, ...]
    recipe: str
    hyperparameters: dict[str, str]
    event_type: str | None
    event_value_threshold: float | None
    events: tuple[EventParameters, ...] = ()
    objective: Objective | None = None
    excluded_columns: dict[str, tuple[str, ...]] = {}
    included_columns: dict[str, tuple[str, ...]] = {}
    seed: int
    recall_floor: float
    index_trees: int
    predecessor: ChampionSpec | None = None
    tuning: TuningSpec | None = None
    base: str | None = None

    def table(self, dataset_type: str) -> TableVersion | None:
        """Return the table of a type of dataset, None when it has no data."""
        return next((item for item in self.tables if item.dataset_type == dataset_type), None)

    def learns_from(self, dataset_type: str, column: str) -> bool:
        """Whether the solution lets a column be learnt from."""
        included = self.included_columns.get(dataset_type)
        excluded = self.excluded_columns.get(dataset_type, ())
        return (included is None or column in included) and column not in excluded

    def store_settings(self) -> StoreSettings:
        """Return the settings of the store."""
        return StoreSettings.model_validate(self.store)

    def write(self, path: Path) -> None:
        """Write the order into a new file that only its owner can read."""
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(self.model_dump_json())

    @classmethod
    def read(cls, path: Path) -> TrainingSpec:
        """Read an order."""
        return cls.model_validate_json(path.read_bytes())


class Measurement(_Message):
    """One measured setting of an index; see `recipes.retrieval.IndexMeasurement`."""

    index: str
    search_k: int | None
    recall_at_25: float
    micros: float


class TrainingResult(_Message):
    """What a training process found out, beside the artifact's files.

    Attributes:
        recipe_config_json: Hyperparameters with every default.
        n_items: Of the catalogue.
        n_users: With a history, or with columns that are learnt from.
        event_types: That the model tells apart, as the stored histories number them.
        dimensions: Of the vectors.
        metrics: Under Personalize's keys.
        baselines: The same metrics by name of the baseline.
        evaluation: Everything that was measured, as the JSON of the contract's `Evaluation`; None where nothing was.
        highest_test_key: Highest key among the test users, see `recipes.evaluation.splits.hold_out_lowest`; None where
            no users were held out.
        chosen_index: `exact` or `annoy`.
        measurements: Of the index.
        stage_seconds: By name of the stage.
        tuned_hyper_parameters: What tuning chose, as strings.
    """

    recipe_config_json: str
    n_items: int
    n_users: int
    event_types: tuple[str, ...]
    dimensions: int
    metrics: dict[str, float]
    baselines: dict[str, dict[str, float]]
    chosen_index: str
    measurements: tuple[Measurement, ...]
    stage_seconds: dict[str, float]
    evaluation: dict[str, Any] | None = None
    highest_test_key: int | None = None
    tuned_hyper_parameters: dict[str, str] = {}

    def write(self, folder: Path) -> None:
        """Write the result into the folder of the order."""
        (folder / _RESULT).write_text(self.model_dump_json())

    @classmethod
    def read(cls, folder: Path) -> TrainingResult:
        """Read the result of a process that ended well."""
        return cls.model_validate_json((folder / _RESULT).read_bytes())
