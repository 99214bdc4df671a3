"""Settings of the trainer, read once by its `__main__`."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from pydantic import Field

from common.compute import Compute
from common.compute.local import LocalCompute
from common.compute.ray_cluster import RayCompute
from common.errors import InvalidInput
from common.files.locations import INPUT_PATH, LocationField
from common.files.outputs import Outputs
from common.processors import usable_processors
from common.settings import AttributionSettings, ServerSettings, StoreSettings
from common.storage import store_folder
from common.telemetry.process import Telemetry
from inference.past_events import MAX_LATER
from recipes.components.themes.loading import DEFAULT_WRITER
from trainer.batch.runner import MAX_FILES
from trainer.figures import FIGURES
from trainer.files.sources import Sources

__all__ = ["TrainerSettings"]


class TrainerSettings(ServerSettings, StoreSettings, AttributionSettings):
    """Environment variables `TAILORBIRD_<NAME>`."""

    listen: str = Field("127.0.0.1:7404", description="HOST:PORT that health probes are answered on.")
    control_plane: str = Field("127.0.0.1:7401", description="HOST:PORT of the control plane.")
    events_service: str = Field("127.0.0.1:7402", description="HOST:PORT of the events service.")
    data_dir: Path = Field(
        Path("tailorbird-data"),
        description="Folder with `s3/BUCKET/`, which `s3://BUCKET/` stands for where no S3 endpoint is set.",
    )
    file_roots: str | None = Field(
        None,
        description="Folders, separated by `:`, that `file://` imports may read below; by default `s3/` of the data "
        "directory only, because everybody who may create an import can read what lies in them.",
    )
    file_output_roots: str | None = Field(
        None,
        description="Folders, separated by `:`, that jobs may write below where their output is a `file://` folder; by "
        "default `s3/` of the data directory only.",
    )
    work_dir: Path | None = Field(
        None,
        description="Folder for files of running jobs, not shared with trainers of other machines; by default "
        "`trainer/` in the data directory.",
    )
    max_jobs: int = Field(1, ge=1, le=16, description="Trainings that are done at a time.")
    max_light_jobs: int = Field(
        2,
        ge=1,
        le=16,
        description="Imports, exports, snapshots of features and removals that are done at a time; they do not wait "
        "for trainings.",
    )
    max_batch_jobs: int = Field(
        1,
        ge=1,
        le=16,
        description="Batch inference and batch segment jobs that are done at a time, beside trainings and the others.",
    )
    theme_writer: str = Field(
        DEFAULT_WRITER,
        pattern=r"^[\w.]+:\w+$",
        description="What writes the themes of lists of items, `MODULE:ATTRIBUTE` of a factory as "
        "`recipes/components/themes/ports.py` says: a language model is plugged in here.",
    )
    history_events: int = Field(
        200,
        ge=1,
        le=1000,
        description="Newest events since the training that batch jobs read of each user.",
    )
    filter_events: int | None = Field(
        None,
        ge=1,
        le=MAX_LATER,
        description="Newest interactions of each type of a user that filters of batch jobs read; as runtimes, all by "
        "default.",
    )
    deletion_max_bytes: int = Field(
        100 * 1024 * 1024, ge=1, description="Bytes that the files of a data deletion job may have together."
    )
    lease_wait_seconds: float = Field(20.0, ge=0, le=60, description="How long one call for a job waits.")
    heartbeat_seconds: float = Field(
        2.0, gt=0, description="How often a running job's lease is renewed; a request to stop arrives as late."
    )
    compute: Literal["local", "ray"] = Field(
        "local",
        description="Where jobs of kinds that can be divided do their parts: in processes of this machine, or on a Ray "
        "cluster. See docs/compute.md.",
    )
    compute_workers: int | None = Field(
        None,
        ge=1,
        le=1024,
        description="Processes among which a job divides its work on this machine; by default one for each processor.",
    )
    ray_address: str | None = Field(
        None,
        pattern=r"^[^/:\[\]]+:\d+$|^\[[0-9a-fA-F:]+\]:\d+$",
        description="HOST:PORT of the head of the Ray cluster, of which this machine is one; needs the extra `ray`.",
    )
    training_memory_bytes: int | None = Field(
        None,
        ge=0,
        description="Memory that trainings may take together: one that needs more is refused, and one that fits "
        "without the others waits. By default what the machine, or the container, has, and leaves; 0 refuses nothing.",
    )
    checkpoint_seconds: float = Field(
        30.0,
        ge=0,
        description="Least time between two checkpoints of a training, which are taken at ends of epochs: as much, or "
        "an epoch, is lost when it is killed. 0 keeps the state after every epoch.",
    )
    recall_floor: float = Field(
        0.98, gt=0, le=1, description="Recall of the first 25 results that an approximate index has to reach."
    )
    index_trees: int = Field(40, ge=1, le=1000, description="Trees of each artifact's Annoy index.")
    seed: int = Field(0, ge=0, lt=2**31, description="Of every random number in a training.")

    def buckets(self) -> Path:
        """Return the folder whose folders are buckets."""
        return self.data_dir / "s3"

    def roots(self) -> tuple[Path, ...]:
        """Return the folders that `file://` imports may read below."""
        return self._folders(self.file_roots)

    def output_roots(self) -> tuple[Path, ...]:
        """Return the folders that jobs may write below."""
        return self._folders(self.file_output_roots)

    def open_compute(self) -> Compute:
        """Return what does the parts of jobs that are divided.

        Raises:
            InvalidInput: It is Ray, and there is no address of a cluster, or Ray is not installed.
        """
        if self.compute == "local":
            return LocalCompute(self.local_workers())
        if self.ray_address is None:
            raise InvalidInput("`ray_address`: got nothing, want HOST:PORT of a cluster, since `compute` is ray")
        return RayCompute(self.ray_address)

    def local_workers(self) -> int:
        """Return among how many processes of this machine a job divides its work."""
        return self.compute_workers or usable_processors()

    def outputs(self, field: LocationField) -> Outputs:
        """Return what writes results of jobs into folders that a field of requests names."""
        return Outputs(self.store(), buckets=self.buckets(), roots=self.output_roots(), field=field)

    def batch_sources(self) -> Sources:
        """Return what finds the files that batch jobs read."""
        return Sources(
            self.store(),
            buckets=self.buckets(),
            roots=self.roots(),
            field=INPUT_PATH,
            content="a file of JSON Lines or Parquet",
            max_files=MAX_FILES,
        )

    def work(self) -> Path:
        """Return the folder for files of running jobs."""
        return self.work_dir or self.data_dir / "trainer"

    def store(self) -> StoreSettings:
        """Return the part that says where the shared store is; a folder by its absolute path, for other processes."""
        settings = {name: getattr(self, name) for name in StoreSettings.model_fields}
        if store_folder(self.store_url) is not None:
            # Links are left as they are: other machines, which have the folder at the same path, may have others.
            settings["store_url"] = str(Path(self.store_url.removeprefix("file://")).absolute())
        return StoreSettings(**settings)

    def _folders(self, joined: str | None) -> tuple[Path, ...]:
        if joined is None:
            return (self.buckets(),)
        return tuple(Path(root) for root in joined.split(os.pathsep) if root)

    def telemetry(self) -> Telemetry:
        """Return what observes the parts of this service; to be called once, before anything is forked."""
        return Telemetry(self, FIGURES, service="trainer")
