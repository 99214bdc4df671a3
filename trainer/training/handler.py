"""Does the jobs that train solution versions: snapshot, training process, publication, manifest last."""

from __future__ import annotations

import math
import secrets
import time
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from pathlib import Path

from common.artifacts import MANIFEST, discard, publish_artifact, read_manifest
from common.deletions import DeletionWatch
from common.errors import ResourceAlreadyExists, ResourceNotFound, StorageFull, TailorbirdError, Unavailable
from common.logs import get_logger
from common.settings import StoreSettings
from common.storage import Store
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1 import artifact_manifest_pb2 as manifest_pb2
from recipes.catalog import RECIPES
from trainer.domain.configuration import SolutionConfiguration
from trainer.domain.data_requirements import describe_filters
from trainer.flushing import Flusher
from trainer.training.configuration import read_configuration
from trainer.training.data_size import count_data
from trainer.training.job_checkpoints import JobCheckpoints
from trainer.training.memory import MemoryBudget, Reservation, needed_bytes
from trainer.training.process import TrainingRun, run_training
from trainer.training.progress import RESUMED
from trainer.training.snapshot import INTERACTIONS, Snapshot, take_snapshot
from trainer.training.spec import (
    ARTIFACT,
    MEASURED_MODEL,
    TrainingOptions,
    TrainingSpec,
)
from trainer.worker import CancelReason, JobCancelled, JobContext, is_retryable
from trainer.workspace import Workspace

__all__ = ["TrainingJobHandler"]

_log = get_logger(__name__)


class TrainingJobHandler:
    """Trains solution versions, each in a process of its own by default; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        workspace: Makes folders for the files of trainings.
        store_settings: From which a training process opens the store for itself.
        options: The trainer's own part of every training.
        flusher: Moves acknowledged records into the tables.
        memory: What trainings may take together; None where none is refused.
        run: Trains as a spec says.
    """

    def __init__(
        self,
        store: Store,
        workspace: Workspace,
        *,
        store_settings: StoreSettings,
        options: TrainingOptions,
        flusher: Flusher,
        memory: MemoryBudget | None = None,
        run: TrainingRun = run_training,
    ) -> None:
        self._store = store
        self._workspace = workspace
        self._store_settings = store_settings
        self._options = options
        self._flusher = flusher
        self._memory = memory
        self._run = run

    def run(
        self, payload: jobs_pb2.SolutionVersionTrainingPayload, context: JobContext
    ) -> jobs_pb2.SolutionVersionTrainingResult:
        """Train one solution version.

        Raises:
            InvalidInput: Too little data, or a bad configuration; the message becomes the version's failureReason.
            Unavailable: The store or the events service cannot be reached, or the training process died.
            JobCancelled: The job must end; nothing was published.
        """
        checkpoints = JobCheckpoints(self._store, payload.artifact_location)
        try:
            result = self._train(payload, context, checkpoints)
        except JobCancelled as cancelled:
            if cancelled.reason is CancelReason.STOP:
                checkpoints.remove()
            raise
        except TailorbirdError as error:
            if not is_retryable(error):
                checkpoints.remove()
            raise
        checkpoints.remove()
        return result

    def given_up(self, payload: jobs_pb2.SolutionVersionTrainingPayload) -> None:
        """Remove the checkpoints of a training whose last attempt failed."""
        JobCheckpoints(self._store, payload.artifact_location).remove()

    def _train(
        self,
        payload: jobs_pb2.SolutionVersionTrainingPayload,
        context: JobContext,
        checkpoints: JobCheckpoints,
    ) -> jobs_pb2.SolutionVersionTrainingResult:
        watch = DeletionWatch(self._store, (table.location for table in payload.tables))
        published = self._published(payload, watch, context)
        if published is not None:
            return published
        began = time.monotonic()
        configuration = read_configuration(payload.solution_config)
        context.report(fraction=0.0, activity="taking a snapshot")
        snapshot = checkpoints.snapshot(deletions=watch.names) or self._snapshot(payload, configuration, context)
        spec = self._spec(payload, snapshot, checkpoints, deletions=watch.names)
        with self._workspace.folder() as folder:
            # Memory is no matter of checkpoints: what waits or is refused for it leaves them to the next attempt.
            with (
                watch.reading(),
                self._fitting(spec, checkpoints, context) as reservation,
                checkpoints.going_on(),
            ):
                manifest = self._run(spec, folder, context, on_start=reservation.begin)
            hours = _hours(manifest.stage_seconds.get(RESUMED, 0.0) + time.monotonic() - began)
            context.report(fraction=0.98, activity="publishing")
            context.confirm()
            _complete(manifest, payload, snapshot)
            manifest.snapshot.deletions.extend(watch.names)
            return self._publish(payload, manifest, watch, context, folder=folder, hours=hours)

    def _snapshot(
        self,
        payload: jobs_pb2.SolutionVersionTrainingPayload,
        configuration: SolutionConfiguration,
        context: JobContext,
    ) -> Snapshot:
        """Take the snapshot, once the tables hold all records that were acknowledged."""
        for table in payload.tables:
            self._flusher.flush(table.location, context)
        # A recipe that does not exist is the training process's to refuse.
        recipe = RECIPES.get(payload.recipe)
        filters = describe_filters(
            event_type=payload.event_type or (None if recipe is None else recipe.event_type),
            threshold=configuration.event_value_threshold,
            events=configuration.events,
        )
        required = (INTERACTIONS,) if recipe is None else recipe.required_datasets
        return take_snapshot(self._store, payload.tables, filters=filters, required_datasets=required)

    def _spec(
        self,
        payload: jobs_pb2.SolutionVersionTrainingPayload,
        snapshot: Snapshot,
        checkpoints: JobCheckpoints,
        *,
        deletions: Collection[str],
    ) -> TrainingSpec:
        """Say what the training process is to do."""
        every_seconds = self._options.checkpoint_seconds
        return TrainingSpec(
            store=self._store_settings.model_dump(),
            tables=snapshot.tables,
            payload=payload,
            seed=self._options.seed,
            recall_floor=self._options.recall_floor,
            index_trees=self._options.index_trees,
            checkpoints=checkpoints.plan(snapshot, deletions=deletions, every_seconds=every_seconds),
            ray_address=self._options.ray_address,
        )

    @contextmanager
    def _fitting(self, spec: TrainingSpec, checkpoints: JobCheckpoints, context: JobContext) -> Iterator[Reservation]:
        """Hold the memory that a training needs while the block runs.

        Raises:
            InvalidInput: The machine has less, or hyperparameters are bad.
            Unavailable: Others have it for too long, or the snapshot that the training was to go on from is gone.
        """
        if self._memory is None or spec.base is not None:
            yield Reservation(0)  # an update learns nothing
            return
        context.report(fraction=0.0, activity="counting users and items")
        recipe = RECIPES.get(spec.recipe)
        event_type = spec.event_type or (None if recipe is None else recipe.event_type)
        with checkpoints.going_on():
            size = count_data(self._store, spec.tables, event_type=event_type, check=context.check)
        with self._memory.reserved(needed_bytes(spec, size), context, size=size) as reservation:
            yield reservation

    def _publish(
        self,
        payload: jobs_pb2.SolutionVersionTrainingPayload,
        manifest: manifest_pb2.ArtifactManifest,
        watch: DeletionWatch,
        context: JobContext,
        *,
        folder: Path,
        hours: float,
    ) -> jobs_pb2.SolutionVersionTrainingResult:
        location = payload.artifact_location
        if (folder / MEASURED_MODEL).is_dir():
            # A folder of this attempt, and first: whoever finds the artifact finds the model as it was measured.
            manifest.measured_model = f"measured-{secrets.token_hex(8)}"
            measured_location = f"{location}/{manifest.measured_model}"
            publish_artifact(
                self._store,
                measured_location,
                files=folder / MEASURED_MODEL,
                manifest=_measured_manifest(manifest),
                check=context.check,
            )
        manifest.ClearField("highest_test_key")  # which is the measured model's
        try:
            manifest = publish_artifact(
                self._store, location, files=folder / ARTIFACT, manifest=manifest, check=context.check
            )
        except (JobCancelled, StorageFull):
            # Where the store went away instead, the manifest may be there and name it: maintenance looks later.
            self._remove_measured(manifest, location)
            raise
        except ResourceAlreadyExists:
            # An attempt that was thought dead was faster; what it published is what is there.
            self._remove_measured(manifest, location)
            published = self._published(payload, watch, context)
            if published is None:
                raise Unavailable("another attempt has withdrawn what it published; the job begins anew") from None
            return published
        try:
            # A deletion that began just before the publication has looked for artifacts too early to find this one.
            watch.check()
        except Unavailable:
            self._withdraw(location, manifest, context)
            raise
        _log.info("artifact_published", location=payload.artifact_location, metrics=dict(manifest.metrics))
        return _result(manifest, hours=hours)

    def _remove_measured(self, manifest: manifest_pb2.ArtifactManifest, location: str) -> None:
        """Remove the model as it was measured, of this attempt, whose artifact was not published."""
        if manifest.measured_model:
            discard(self._store, f"{location}/{manifest.measured_model}")

    def _published(
        self, payload: jobs_pb2.SolutionVersionTrainingPayload, watch: DeletionWatch, context: JobContext
    ) -> jobs_pb2.SolutionVersionTrainingResult | None:
        """Return the result of an attempt that published and could not say so, None when there was none.

        What was read before a deletion came into force is withdrawn: the attempt ended before it could do that itself.
        """
        location = payload.artifact_location
        try:
            manifest = read_manifest(self._store, location)
        except ResourceNotFound:
            return None
        if set(watch.names) - set(manifest.snapshot.deletions):
            self._withdraw(location, manifest, context)
            return None
        _log.info("artifact_published_before", location=location)
        return _result(manifest, hours=_hours(sum(manifest.stage_seconds.values())))

    def _withdraw(self, location: str, manifest: manifest_pb2.ArtifactManifest, context: JobContext) -> None:
        """Remove an artifact that nobody serves yet, unless the version is another attempt's by now."""
        context.confirm()
        # Files of other attempts stay: one that was thought dead may be about to publish them.
        self._store.delete([f"{location}/{MANIFEST}"])
        for folder in (manifest.files_folder, manifest.measured_model):
            if folder:
                self._store.delete_folder(f"{location}/{folder}")
        _log.warning("artifact_withdrawn", location=location, cause="users were deleted while it was trained")


def _hours(seconds: float) -> float:
    """Return hours, rounded up to the thousandth: no training takes none."""
    return math.ceil(seconds / 3.6) / 1000


def _result(manifest: manifest_pb2.ArtifactManifest, *, hours: float) -> jobs_pb2.SolutionVersionTrainingResult:
    return jobs_pb2.SolutionVersionTrainingResult(
        training_hours=hours,
        metrics=dict(manifest.metrics),
        artifact_bytes=sum(file.bytes for file in manifest.files),
        tuned_hyper_parameters=dict(manifest.tuned_hyper_parameters),
        recipe=manifest.recipe,
        evaluation=manifest.evaluation if manifest.HasField("evaluation") else None,
    )


def _measured_manifest(manifest: manifest_pb2.ArtifactManifest) -> manifest_pb2.ArtifactManifest:
    """Return what is needed to let the model recommend once more."""
    return manifest_pb2.ArtifactManifest(
        solution_version_arn=manifest.solution_version_arn,
        recipe=manifest.recipe,
        recipe_config_json=manifest.recipe_config_json,
        created_at=manifest.created_at,
        snapshot=manifest.snapshot,
        n_items=manifest.n_items,
        event_types=manifest.event_types,
        highest_test_key=manifest.highest_test_key if manifest.HasField("highest_test_key") else None,
    )


def _complete(
    manifest: manifest_pb2.ArtifactManifest, payload: jobs_pb2.SolutionVersionTrainingPayload, snapshot: Snapshot
) -> None:
    """Add to what the training knows of its artifact whose it is, when it was made, and of which snapshot."""
    manifest.solution_version_arn = payload.solution_version_arn
    manifest.created_at.GetCurrentTime()
    for table in snapshot.tables:
        manifest.snapshot.tables.add(dataset_type=table.dataset_type, location=table.location, version=table.version)
    manifest.snapshot.event_watermark = snapshot.event_watermark.offset
    manifest.snapshot.event_epoch = snapshot.event_watermark.epoch
