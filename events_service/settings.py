"""Settings of the events service, read once by its `__main__`."""

from __future__ import annotations

import os
from datetime import timedelta
from pathlib import Path

from pydantic import Field

from common.files.locations import ATTRIBUTION_OUTPUT
from common.files.outputs import Outputs
from common.settings import AttributionSettings, ServerSettings, StoreSettings
from common.telemetry.process import Telemetry
from events_service.domain.rate_limit import CommitRateLimit
from events_service.figures import FIGURES
from events_service.log.stream_target import StreamTarget
from events_service.server import Timing

__all__ = ["EventsSettings"]


class EventsSettings(ServerSettings, StoreSettings, AttributionSettings):
    """Environment variables `TAILORBIRD_<NAME>`."""

    listen: str = Field("127.0.0.1:7402", description="HOST:PORT that calls are taken on.")
    control_plane: str = Field("127.0.0.1:7401", description="HOST:PORT of the control plane.")
    data_dir: Path = Field(
        Path("tailorbird-data/events"), description="Folder of the event log, on a disk of this machine."
    )
    event_log_url: str = Field(
        "",
        description="`nats://HOST:PORT` or `tls://HOST:PORT` of NATS servers with JetStream that hold the event log, "
        "several separated by commas; absent: SQLite in TAILORBIRD_DATA_DIR. See docs/jetstream.md.",
    )
    event_log_stream: str = Field(
        "tailorbird",
        pattern="^[A-Za-z0-9_-]{1,64}$",
        description="Name of the JetStream stream, which is made if there is none.",
    )
    event_log_replicas: int = Field(
        1, ge=1, le=5, description="NATS servers that hold a copy of the stream, when it is made: 1, 3 or 5."
    )
    event_log_lease_seconds: float = Field(
        10.0,
        ge=1,
        description="Of the events services that share a stream one writes records to the datasets and removes old "
        "ones; after so long without a sign of it another does.",
    )
    event_log_credentials_file: Path | None = Field(
        None, description="File with one line, USER:PASSWORD, for the NATS servers; absent: they ask for none."
    )
    max_workers: int = Field(64, ge=4, description="Threads that do the work of calls; more calls wait for one.")
    max_waiting: int = Field(
        200, ge=1, description="Readers that may wait for new events; one more is answered at once."
    )
    max_pending_writes: int = Field(
        4096, ge=1, description="Put calls that may wait for the disk, of 64 MiB together; more are refused."
    )
    append_seconds: float = Field(4.0, gt=0, description="How long one PutEvents waits for the disk.")
    wal_checkpoint_pages: int = Field(
        1000, ge=1, description="Pages of 4096 bytes at which the write-ahead log is copied into the database."
    )
    tracker_stale_seconds: float = Field(
        3600.0, ge=0, description="How long events are taken while the control plane is away, by what was known last."
    )
    seal_seconds: float = Field(1.0, gt=0, description="How often events are moved into the interactions tables.")
    seal_burst_commits: int = Field(
        60, ge=1, description="Commits that a table which was quiet may get one after another."
    )
    seal_steady_seconds: float = Field(
        15.0, gt=0, description="Pause between two commits of a table with events that never end."
    )
    seal_large_events: int = Field(5000, ge=1, description="Waiting events that are committed whatever the pause.")
    compact_commits: int = Field(200, ge=2, description="Commits of a table after which its small files are joined.")
    seal_alarm_seconds: float = Field(
        600.0, gt=0, description="How long a table may fail to take its events before that is logged as an ERROR."
    )
    deletion_seconds: float = Field(
        10.0, gt=0, description="How often events of deleted datasets are looked for, to be removed from the log."
    )
    log_retention_hours: float = Field(
        720.0,
        gt=0,
        description="How long events that are in their table stay in the log, for runtimes and for repeated event ids.",
    )
    attribution_seconds: float = Field(
        15.0, gt=0, description="Pause between two counts of a dataset's events for its metric attribution."
    )
    attribution_report_seconds: int = Field(
        900, ge=1, description="Reports of metric attributions are written at multiples of this time."
    )
    buckets_dir: Path = Field(
        Path("tailorbird-data/s3"),
        description="Folder whose folders stand for buckets, of `s3://BUCKET/`, where no S3 endpoint is set.",
    )
    file_output_roots: str | None = Field(
        None,
        description="Folders, separated by `:`, that reports may be written below where their output is a `file://` "
        "folder; by default that of the buckets only.",
    )

    def stream(self) -> StreamTarget:
        """Return the stream of the event log, for an installation that has one."""
        return StreamTarget(
            self.event_log_url,
            self.event_log_stream,
            self.event_log_replicas,
            self.event_log_credentials_file,
            self.tls(),
        )

    def outputs(self) -> Outputs:
        """Return what writes reports."""
        service = StoreSettings(**{name: getattr(self, name) for name in StoreSettings.model_fields})
        joined = str(self.buckets_dir) if self.file_output_roots is None else self.file_output_roots
        roots = [Path(root) for root in joined.split(os.pathsep) if root]
        return Outputs(service, buckets=self.buckets_dir, roots=roots, field=ATTRIBUTION_OUTPUT)

    def timing(self) -> Timing:
        """Return the times and rates of the parts."""
        return Timing(
            append_seconds=self.append_seconds,
            max_waiting=self.max_waiting,
            tracker_stale_seconds=self.tracker_stale_seconds,
            flush_seconds=self.seal_seconds,
            commit_rate=CommitRateLimit(self.seal_burst_commits, self.seal_steady_seconds, self.seal_large_events),
            compact_commits=self.compact_commits,
            log_retention=timedelta(hours=self.log_retention_hours),
            alarm_seconds=self.seal_alarm_seconds,
            deletion_seconds=self.deletion_seconds,
            attribution_seconds=self.attribution_seconds,
            attribution_report_seconds=self.attribution_report_seconds,
        )

    def telemetry(self) -> Telemetry:
        """Return what observes the parts of this service; to be called once, before anything is forked."""
        return Telemetry(self, FIGURES, service="events_service")
