"""Settings of the control plane, read once by its `__main__`."""

from __future__ import annotations

from dataclasses import fields
from datetime import timedelta

from pydantic import Field, PositiveInt, SecretStr

from common.settings import ServerSettings
from common.telemetry.process import Telemetry
from control_plane.domain.quotas import Quotas
from control_plane.domain.schedules import AutomaticTraining
from control_plane.figures import FIGURES
from control_plane.server import Timing

__all__ = ["ControlPlaneSettings"]


class ControlPlaneSettings(ServerSettings):
    """Each attribute is the environment variable `TAILORBIRD_<NAME>`."""

    listen: str = Field("127.0.0.1:7401", description="HOST:PORT that calls are taken on.")
    database_url: SecretStr = Field(
        SecretStr("sqlite:///tailorbird-data/catalogue.db"),
        description="The metadata store: `sqlite:///PATH` of a database file, or "
        "`postgresql+psycopg://USER:PASSWORD@HOST:PORT/DATABASE`, with libpq's parameters as `?NAME=VALUE&...`; see "
        "docs/postgresql.md.",
    )
    database_wait_seconds: float = Field(
        30.0, gt=0, description="How long a call waits for its turn at the database, for a lock or a free connection."
    )
    database_connections: int = Field(
        20, ge=2, description="Connections to PostgreSQL at most; one more listens for changes by other control planes."
    )
    max_workers: int = Field(64, ge=4, description="Threads that calls run on; further calls wait for a free one.")
    max_waiting: int = Field(
        200, ge=1, description="Long polls that may wait at a time; further ones are answered at once."
    )
    lease_seconds: float = Field(
        60.0, gt=0, description="A trainer that sends no heartbeat for so long loses its job to another."
    )
    retry_seconds: float = Field(
        5.0, ge=0, description="Pause before a failed job is tried again; doubled for the third attempt."
    )
    runtime_liveness_seconds: float = Field(
        30.0, gt=0, description="Campaigns do not wait for runtime workers that have made no call for so long."
    )
    runtime_loading_seconds: float = Field(
        900.0, gt=0, description="How long a campaign waits for workers that are loading it."
    )
    events_liveness_seconds: float = Field(
        30.0,
        ge=20,
        description="Deletions of datasets and event trackers do not wait for events services that have made no call "
        "for so long.",
    )
    sweep_seconds: float = Field(
        2.0, gt=0, description="How often expired leases, silent runtimes and silent events services are looked for."
    )
    finished_job_hours: float = Field(
        720.0, gt=0, description="Finished jobs are kept for so long; those whose failure is still shown stay."
    )
    max_finished_jobs: int = Field(10_000, ge=0, description="No more finished jobs than that are kept.")
    storage_maintenance_hours: float = Field(
        24.0, ge=0.25, description="How often the tables and artifacts of each dataset group are put in order."
    )
    storage_retention_hours: int = Field(
        168,
        ge=24,
        description="Files of tables and artifacts that nothing names any more stay for so long: longer than the "
        "longest training, and than the age of a backup of the database that may be restored; see docs/storage.md.",
    )
    import_report_hours: int = Field(
        720, ge=24, description="Reports of failed imports stay in the store for so long; they quote rows."
    )
    feature_snapshot_seconds: float = Field(
        60.0,
        ge=1,
        description="How long after streamed rows of items, users or actions a new snapshot of their features is made; "
        "see docs/features.md.",
    )
    max_feature_snapshots: PositiveInt = Field(
        10, description="Jobs that wait or run at a time which make snapshots of features; others follow."
    )
    auto_training: bool = Field(
        True,
        description="Solutions whose CreateSolution does not say `performAutoTraining` are trained automatically, as "
        "Personalize's; false: only when they are asked to. See docs/training.md.",
    )
    first_training_seconds: float = Field(
        3300.0,
        ge=0,
        description="How long after a solution the first automatic training begins; one on request meanwhile takes its "
        "place.",
    )
    incremental_update_seconds: float = Field(
        1800.0,
        ge=1,
        description="How often new items are added to the latest version of a solution with "
        "`performIncrementalUpdate`; see docs/training.md.",
    )
    scheduler_lease_seconds: float = Field(
        60.0, gt=0, description="Another control plane runs the schedules when the one that does is silent for so long."
    )
    refuse_worse_versions: bool = Field(
        True,
        description="Campaigns that follow their solution, and new ones with `$LATEST`, refuse versions that are "
        "significantly worse than the one before; see docs/evaluation.md.",
    )
    max_dataset_groups: PositiveInt = Field(5, description="Dataset groups.")
    max_schemas: PositiveInt = Field(500, description="Schemas.")
    max_pending_imports: PositiveInt = Field(5, description="Import jobs that wait or run.")
    max_pending_solution_versions: PositiveInt = Field(20, description="Solution versions that wait or are made.")
    max_solutions_per_group: PositiveInt = Field(10, description="Solutions of one dataset group.")
    max_campaigns_per_group: PositiveInt = Field(5, description="Campaigns of one dataset group.")
    max_recommenders_per_group: PositiveInt = Field(5, description="Recommenders of one dataset group.")
    max_filters_per_group: PositiveInt = Field(30, description="Filters of one dataset group.")
    max_filter_fields_per_group: PositiveInt = Field(
        20, description="Different fields in all filters of one dataset group."
    )
    max_metric_attributions_per_group: PositiveInt = Field(1, description="Metric attributions of one dataset group.")
    max_pending_exports: PositiveInt = Field(5, description="Dataset export jobs that wait or run.")
    max_pending_deletions_per_group: PositiveInt = Field(
        5, description="Data deletion jobs of one dataset group that wait."
    )
    max_pending_batch_inference_jobs: PositiveInt = Field(5, description="Batch inference jobs that wait or run.")
    max_pending_batch_segment_jobs: PositiveInt = Field(5, description="Batch segment jobs that wait or run.")

    def quotas(self) -> Quotas:
        """Return the quotas of resources."""
        return Quotas(**{quota.name: getattr(self, f"max_{quota.name}") for quota in fields(Quotas)})

    def automatic_training(self) -> AutomaticTraining:
        """Return how solutions are trained and updated that do not say."""
        return AutomaticTraining(
            self.auto_training,
            timedelta(seconds=self.first_training_seconds),
            update_every=timedelta(seconds=self.incremental_update_seconds),
        )

    def timing(self) -> Timing:
        """Return the durations and limits of the parts."""
        return Timing(
            lease_seconds=self.lease_seconds,
            retry_seconds=self.retry_seconds,
            runtime_liveness_seconds=self.runtime_liveness_seconds,
            runtime_loading_seconds=self.runtime_loading_seconds,
            events_liveness_seconds=self.events_liveness_seconds,
            sweep_seconds=self.sweep_seconds,
            scheduler_lease_seconds=self.scheduler_lease_seconds,
            max_waiting=self.max_waiting,
            finished_job_hours=self.finished_job_hours,
            max_finished_jobs=self.max_finished_jobs,
            storage_maintenance_hours=self.storage_maintenance_hours,
            storage_retention_hours=self.storage_retention_hours,
            import_report_hours=self.import_report_hours,
            feature_snapshot_seconds=self.feature_snapshot_seconds,
            max_feature_snapshots=self.max_feature_snapshots,
        )

    def telemetry(self) -> Telemetry:
        """Return what observes the parts of this service; to be called once, before anything is forked."""
        return Telemetry(self, FIGURES, service="control_plane")
