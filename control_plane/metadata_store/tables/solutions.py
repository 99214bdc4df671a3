"""The tables of solutions and their versions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Index, UniqueConstraint
from sqlmodel import Field

from control_plane.domain.states import Status
from control_plane.metadata_store.tables.base import (
    AnyResource,
    flag_column,
    json_column,
    list_indexes,
    message_column,
    moment_column,
    parent_column,
    text_column,
)
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.control.v1.solution_pb2 import SolutionUpdateSummary
from protos.tailorbird.storage.v1.evaluation_pb2 import Evaluation

__all__ = ["Solution", "SolutionVersion"]


class Solution(AnyResource, table=True):
    """A recipe and a configuration by which models of a dataset group are trained.

    Attributes:
        of_recommender: Whether it is the hidden one below a recommender, whose ARN it has.
        recipe_arn: ARN of its recipe; None where AutoML chooses one for each version.
        best_recipe_arn: ARN of the recipe that AutoML chose last; None before.
        latest_update: The last UpdateSolution; None before the first.
        columns_chosen_at: Columns that datasets got later are not learnt from; None for the creation of the solution.
    """

    __tablename__ = "solution"
    __table_args__ = (UniqueConstraint("account", "name"), *list_indexes("solution", "dataset_group_arn"))

    name: str = Field(max_length=63)
    dataset_group_arn: str = parent_column("dataset_group.arn")
    of_recommender: bool = flag_column()
    recipe_arn: str | None = Field(default=None, max_length=256)
    best_recipe_arn: str | None = Field(default=None, max_length=256)
    event_type: str | None = Field(default=None, max_length=256)
    solution_config: SolutionConfig | None = message_column(SolutionConfig)
    columns_chosen_at: datetime | None = moment_column(nullable=True)
    perform_hpo: bool = False
    perform_auto_ml: bool = False
    perform_auto_training: bool = False
    perform_incremental_update: bool = flag_column()
    latest_update: SolutionUpdateSummary | None = message_column(SolutionUpdateSummary)
    status: str = Field(default=Status.ACTIVE, max_length=32)


class SolutionVersion(AnyResource, table=True):
    """One training of a solution and, when ACTIVE, its artifact.

    Attributes:
        of_recommender: Whether its solution is.
        columns_chosen_at: As of its solution when it was trained; of a recommender's update the moment of that.
        recipe_arn: ARN of the recipe; None before AutoML has chosen it.
        training_type: AUTOMATIC when its schedule asked for it, MANUAL when a caller did.
        evaluation: The evaluation; None when there is none.
        verdict: A `domain.evaluations.Verdict`; None for versions that were compared with none before them.
        tuned_hyper_parameters: The hyperparameters that tuning chose, by name; None without tuning.
        artifact_location: Folder of the artifact that the training published.
        updated_artifact_location: Folder of the artifact with the items that came since; None before any.
        items_updated_at: When the last update was submitted that succeeded, whether there was something new or not.
    """

    __tablename__ = "solution_version"
    __table_args__ = (
        Index("ix_solution_version_status", "status", "account"),
        Index("ix_solution_version_dataset_group_arn", "dataset_group_arn", "account", "status"),
        *list_indexes("solution_version", "solution_arn"),
    )

    name: str = Field(max_length=80)
    solution_arn: str = parent_column("solution.arn", cascade=True)
    dataset_group_arn: str = parent_column("dataset_group.arn")
    of_recommender: bool = flag_column()
    recipe_arn: str | None = Field(default=None, max_length=256)
    event_type: str | None = Field(default=None, max_length=256)
    solution_config: SolutionConfig | None = message_column(SolutionConfig)
    columns_chosen_at: datetime | None = moment_column(nullable=True)
    perform_hpo: bool = False
    perform_auto_ml: bool = False
    perform_incremental_update: bool = flag_column()
    training_mode: str = Field(max_length=16)
    training_type: str = Field(default="MANUAL", max_length=16)
    artifact_location: str = Field(max_length=256, unique=True)
    updated_artifact_location: str | None = Field(default=None, max_length=320)
    items_updated_at: datetime | None = moment_column(nullable=True)
    training_hours: float | None = None
    metrics: dict[str, float] | None = json_column(nullable=True)
    evaluation: Evaluation | None = message_column(Evaluation)
    verdict: str | None = Field(default=None, max_length=16)
    tuned_hyper_parameters: dict[str, str] | None = json_column(nullable=True)
    artifact_bytes: int | None = Field(default=None, sa_type=BigInteger)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = text_column(nullable=True)
