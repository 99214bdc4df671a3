"""A data directory with a store and buckets, and the handlers of a trainer that work in it."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from tempfile import mkdtemp
from types import MappingProxyType

import polars as pl

from common.errors import TailorbirdError
from common.files.locations import ATTRIBUTION_OUTPUT, OUTPUT_PATH, LocationField
from common.files.outputs import Outputs
from common.master_keys import MasterKey, MasterKeys
from common.positions import Lineage
from common.recommendation_ids import RecommendationIds
from common.settings import StoreSettings
from common.storage import Store
from common.storage.objects import open_store
from common.table_maintenance import MaintainedTable, MaintenanceBounds
from common.tables import Table
from protos.tailorbird.control.v1.common_pb2 import IngestionMode, StringList, TrainingDataConfig
from protos.tailorbird.internal.v1 import jobs_pb2
from tests.control_plane.world import avro, column
from trainer.exports import ExportJobHandler
from trainer.files.sources import Sources
from trainer.flushing import Flushed
from trainer.imports import ImportJobHandler
from trainer.training import TrainingJobHandler
from trainer.training.process import TrainingRun, job_error
from trainer.training.programs import run_program
from trainer.training.spec import TableVersion, TrainingOptions, TrainingSpec
from trainer.worker import JobContext, NullJobContext
from trainer.workspace import Workspace

SCHEMAS = {
    "INTERACTIONS": avro(
        "Interactions",
        column("USER_ID"),
        column("ITEM_ID"),
        column("TIMESTAMP", "long"),
        column("EVENT_TYPE"),
        column("EVENT_VALUE", ["null", "float"]),
    ),
    "ITEMS": avro(
        "Items",
        column("ITEM_ID"),
        column("TITLE", ["null", "string"]),
        column("GENRES", ["null", "string"], categorical=True),
        column("YEAR", ["null", "int"]),
        column("CHILDREN", ["null", "boolean"]),
    ),
    "USERS": avro("Users", column("USER_ID"), column("AGE", ["null", "int"])),
}
HEADERS = {
    "INTERACTIONS": "USER_ID,ITEM_ID,TIMESTAMP,EVENT_TYPE,EVENT_VALUE",
    "ITEMS": "ITEM_ID,TITLE,GENRES,YEAR,CHILDREN",
    "USERS": "USER_ID,AGE",
}


#: Make and resolve the ids of recommendations.
IDS = RecommendationIds(MasterKeys([MasterKey(b"k" * 32)]))


class NoEvents:
    """Of a place where nothing is streamed: every table has all there is."""

    def __init__(self) -> None:
        self.flushed_locations: list[str] = []
        self.lineage: Lineage | None = None

    def flush(self, location, context) -> Flushed:
        self.flushed_locations.append(location)
        context.check()
        return Flushed(0, self.lineage)


def train_here(spec, folder, context, *, on_start):
    """Train in this process, as `run_training` does in one of its own, whose start takes longer than most trainings."""
    spec_file = folder / "spec.json"
    spec.write(spec_file)
    on_start(os.getpid())

    def progress(*, fraction, stage, metrics):
        context.report(fraction=0.97 * fraction, activity=stage)  # what is left is the publication

    try:
        manifest = run_program(TrainingSpec.read(spec_file), folder, progress=progress)
    except TailorbirdError as error:
        raise job_error(error.message, code=error.code) from error
    context.check()
    return manifest


@dataclass
class Place:
    """One data directory."""

    root: Path
    #: Where the files of jobs are; None for folders.
    s3: StoreSettings | None = None
    #: Of the cluster on which trials are done; None to do them in the training.
    ray_address: str | None = None
    store: Store = field(init=False)
    settings: StoreSettings = field(init=False)

    def __post_init__(self) -> None:
        self.settings = StoreSettings(store_url=str(self.root / "store"))
        self.store = open_store(self.settings)
        self.flusher = NoEvents()
        self.workspace = Workspace(self.root / "work")
        self.bucket = self.root / "s3" / "films"
        self.bucket.mkdir(parents=True, exist_ok=True)

    def new_folder(self) -> Path:
        """Return a folder of a training, which stays until the test is over."""
        return Path(mkdtemp(dir=self.root))

    def sources(self) -> Sources:
        return Sources(self.s3 or self.settings, buckets=self.root / "s3", roots=(self.root / "s3",))

    def write(self, name: str, *lines: str, header: str = HEADERS["INTERACTIONS"]) -> Path:
        path = self.bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join([header, *lines]) + "\n")
        return path

    def table(self, kind: str = "INTERACTIONS") -> Table:
        return Table(self.store, f"datasets/group/{kind}")

    def compact(self, kind: str = "INTERACTIONS") -> None:
        """Put a table in order, as storage maintenance does."""
        table = MaintainedTable(self.store, f"datasets/group/{kind}")
        with self.workspace.folder() as folder:
            table.maintain(folder, bounds=MaintenanceBounds(), retention_hours=168)

    def rows(self, kind: str = "INTERACTIONS") -> pl.DataFrame:
        return self.table(kind).read()

    def tables(self, *kinds: str) -> list[jobs_pb2.DatasetTable]:
        return [
            jobs_pb2.DatasetTable(dataset_type=kind, location=f"datasets/group/{kind}", schema=SCHEMAS[kind])
            for kind in kinds
        ]

    def bring(
        self,
        location: str,
        *,
        kind: str = "INTERACTIONS",
        replace: bool = True,
        import_id: str | None = None,
        schema: str | None = None,
        context: JobContext | None = None,
        requested_at: datetime | None = None,
        attribution: jobs_pb2.TrackedAttribution | None = None,
    ) -> jobs_pb2.DatasetImportResult:
        """Import a location; without an id it is an import of its own, without a schema by that of its type."""
        number = len(list((self.root / "store").rglob("_delta_log/*.json")))
        payload = jobs_pb2.DatasetImportPayload(
            table=self._table(kind, schema),
            data_location=location,
            replace=replace,
            import_id=import_id or f"import-{number}",
            job_name="weekly",
            attribution=attribution,
        )
        if requested_at is not None:
            payload.requested_at.FromDatetime(requested_at)
        return self.import_handler().run(payload, context or NullJobContext())

    def import_handler(self) -> ImportJobHandler:
        outputs = self.outputs(ATTRIBUTION_OUTPUT)
        return ImportJobHandler(self.store, self.sources(), self.workspace, outputs=outputs, ids=IDS)

    def outputs(self, field: LocationField = OUTPUT_PATH) -> Outputs:
        return Outputs(self.s3 or self.settings, buckets=self.root / "s3", roots=(self.root / "s3",), field=field)

    def export(
        self,
        location: str = "s3://films/exports/",
        *,
        kind: str = "INTERACTIONS",
        mode: str = "ALL",
        job_name: str = "job",
        schema: str | None = None,
        context: JobContext | None = None,
        **bounds: int,
    ) -> jobs_pb2.DatasetExportResult:
        """Export a table; without a schema by that of its type."""
        payload = jobs_pb2.DatasetExportPayload(
            table=self._table(kind, schema),
            ingestion_mode=IngestionMode.Value(f"INGESTION_MODE_{mode}"),
            output_location=location,
            job_name=job_name,
        )
        handler = ExportJobHandler(self.store, self.outputs(), self.workspace, flusher=self.flusher, **bounds)
        return handler.run(payload, context or NullJobContext())

    def _table(self, kind: str, schema: str | None) -> jobs_pb2.DatasetTable:
        (table,) = self.tables(kind)
        return jobs_pb2.DatasetTable(dataset_type=kind, location=table.location, schema=schema or table.schema)

    def spec(self, tables: Iterable[TableVersion], recipe: str, **payload: object) -> TrainingSpec:
        """Return the spec of a training on a snapshot; `payload` has further members of the job."""
        return TrainingSpec(
            store=self.settings.model_dump(),
            tables=tuple(tables),
            payload=jobs_pb2.SolutionVersionTrainingPayload(recipe=recipe, **payload),
            seed=1,
            recall_floor=0.98,
            index_trees=5,
        )

    def training_handler(self, run: TrainingRun = train_here) -> TrainingJobHandler:
        """Return a handler that trains in this process; `run_training` lets it start one for each training."""
        return TrainingJobHandler(
            self.store,
            self.workspace,
            store_settings=self.settings,
            options=TrainingOptions(seed=1, index_trees=5, checkpoint_seconds=0.0, ray_address=self.ray_address),
            flusher=self.flusher,
            run=run,
        )


def training_columns(
    *,
    excluded_columns: Mapping[str, Sequence[str]] = MappingProxyType({}),
    included_columns: Mapping[str, Sequence[str]] = MappingProxyType({}),
) -> TrainingDataConfig:
    """Return which columns a solution leaves out and which alone it takes, by type of dataset."""
    return TrainingDataConfig(
        excluded_dataset_columns={kind: StringList(values=names) for kind, names in excluded_columns.items()},
        included_dataset_columns={kind: StringList(values=names) for kind, names in included_columns.items()},
    )


def walks(users: int = 60, items: int = 40, length: int = 20, *, begin: int = 1_700_000_000) -> list[str]:
    """Return lines of interactions: every user walks along a ring of items from a place of their own."""
    return [
        f"u{user:03},i{(user * 7 + step) % items:03},{begin + user * 1000 + step},watch,{step % 5 + 1}"
        for user in range(users)
        for step in range(length)
    ]
