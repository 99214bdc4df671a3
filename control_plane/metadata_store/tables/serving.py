"""The tables of what runtimes serve: campaigns, recommenders, their deployments, and how far workers are with them."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import BigInteger, Column, ForeignKey, Index, String, UniqueConstraint
from sqlmodel import Field, SQLModel

from control_plane.domain.states import Status
from control_plane.metadata_store.tables.base import (
    AnyResource,
    list_indexes,
    message_column,
    moment_column,
    parent_column,
    text_column,
)
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from protos.tailorbird.control.v1.recommender_pb2 import RecommenderConfig

__all__ = [
    "Campaign",
    "Deployment",
    "Recommender",
    "RuntimeWorker",
    "ServingReport",
    "ServingRevision",
    "ServingTarget",
]


class ServingTarget(AnyResource):
    """The columns of what runtimes serve.

    Attributes:
        solution_arn: The solution whose versions it serves.
        serving_id: Id of the deployment that answers requests; None until the first is ACTIVE.
        deleted_revision: Serving revision from which on it is not served; None while it is.
    """

    name: str = Field(max_length=63)
    solution_arn: str = parent_column("solution.arn")
    status: str = Field(default=Status.CREATE_PENDING, max_length=32)
    failure_reason: str | None = text_column(nullable=True)
    serving_id: str | None = Field(default=None, max_length=32)
    deleted_revision: int | None = Field(default=None, sa_type=BigInteger)


class Campaign(ServingTarget, table=True):
    """A campaign, which serves a version of its solution."""

    __tablename__ = "campaign"
    __table_args__ = (
        UniqueConstraint("account", "name"),
        Index("ix_campaign_status", "status", "account"),
        *list_indexes("campaign", "solution_arn"),
    )


class Recommender(ServingTarget, table=True):
    """A recommender: a use case of a domain, trained and served.

    Attributes:
        solution_arn: The hidden solution of its trainings, which has the same ARN.
    """

    __tablename__ = "recommender"
    __table_args__ = (
        UniqueConstraint("account", "name"),
        Index("ix_recommender_solution_arn", "solution_arn", "account"),
        Index("ix_recommender_status", "status", "account"),
        *list_indexes("recommender", "dataset_group_arn"),
    )

    dataset_group_arn: str = parent_column("dataset_group.arn")
    recipe_arn: str = Field(max_length=256)


class Deployment(SQLModel, table=True):
    """One configuration of a campaign or recommender: number 1 is its creation, each update adds one.

    Attributes:
        target_arn: The campaign or recommender, which is not removed before its deployments.
        solution_version_arn: The version. Recommenders' deployments are made before it is trained, and wait for it.
        recommender_config: The configuration of a recommender; None for campaigns, which have `campaign_config`.
        refused: Whether it only records a version that the target refused, and was never assigned to runtimes.
    """

    __tablename__ = "deployment"
    model_config = {"arbitrary_types_allowed": True}
    __table_args__ = (
        Index("ix_deployment_number", "target_arn", "number"),
        Index("ix_deployment_version", "solution_version_arn", "creation_date_time"),
    )

    id: str = Field(primary_key=True, max_length=32)
    target_arn: str = Field(max_length=256)
    number: int
    solution_version_arn: str = parent_column("solution_version.arn")
    min_provisioned_tps: int
    campaign_config: CampaignConfig | None = message_column(CampaignConfig)
    recommender_config: RecommenderConfig | None = message_column(RecommenderConfig)
    status: str = Field(default=Status.CREATE_PENDING, max_length=32, index=True)
    failure_reason: str | None = text_column(nullable=True)
    refused: bool = False
    creation_date_time: datetime = moment_column()
    last_updated_date_time: datetime = moment_column()


class RuntimeWorker(SQLModel, table=True):
    """A runtime worker process that has called.

    Attributes:
        known_revision: Revision of the assignments that it has by its last call; None for none.
    """

    __tablename__ = "runtime_worker"

    runtime_id: str = Field(primary_key=True, max_length=256)
    last_seen_at: datetime = moment_column(index=True)
    known_revision: int | None = Field(default=None, sa_type=BigInteger)


class ServingReport(SQLModel, table=True):
    """How far one worker is with one deployment.

    Attributes:
        phase: A `serving.reconciler.Phase`.
    """

    __tablename__ = "serving_report"

    runtime_id: str = Field(
        sa_column=Column(String(256), ForeignKey("runtime_worker.runtime_id", ondelete="CASCADE"), primary_key=True)
    )
    deployment_id: str = Field(primary_key=True, max_length=32, index=True)
    phase: str = Field(max_length=16)
    failure_reason: str | None = text_column(nullable=True)


class ServingRevision(SQLModel, table=True):
    """The one row with the revision of the assignments and trackers that runtimes and events services watch."""

    __tablename__ = "serving_revision"

    id: int = Field(default=1, primary_key=True)
    revision: int = Field(sa_type=BigInteger)
