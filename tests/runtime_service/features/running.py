"""Features as a runtime has them: snapshots that are published, what is put, and whoever follows both."""

from __future__ import annotations

import json
import threading
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import polars as pl

from common import columns
from common.arrow_schema import frame_schema
from common.avro import AvroSchema
from common.features.publishing import features_location, publish_snapshot
from common.features.snapshot import ID_COLUMNS
from common.positions import LEGACY_EPOCH, Position
from common.tables import Table
from protos.tailorbird.internal.v1.serving_pb2 import ServingDataset, ServingDatasetGroup, ServingFilter
from runtime_service.features.opener import SnapshotOpener
from runtime_service.features.updater import FeatureUpdater
from runtime_service.history.lmdb import LmdbHistoryReader
from runtime_service.history.records import lineage_of
from tests.runtime_service.world import local_store

ROWS = [
    {"name": "T1", "type": ["null", "string"], "categorical": True},
    {"name": "T2", "type": ["null", "string"]},
    {"name": "I", "type": ["null", "long"]},
    {"name": "F", "type": ["null", "float"]},
]


def schema_of(kind: str, *fields: Mapping[str, Any]) -> str:
    """Return a schema of items, users or actions with some columns, those of `ROWS` by default."""
    listed = [{"name": ID_COLUMNS[kind], "type": "string"}, *(fields or ROWS)]
    return json.dumps({"type": "record", "name": kind.capitalize(), "fields": listed})


EVENTS = json.dumps(
    {
        "type": "record",
        "name": "Events",
        "fields": [{"name": name, "type": kind} for name, kind in (("EVENT_TYPE", "string"), ("TIMESTAMP", "long"))],
    }
)


def publish_rows(
    store, name: str, kind: str, rows, *, offset: int, epoch: int = LEGACY_EPOCH, schema=None, deletions=()
) -> str:
    """Publish the snapshot of rows by their ids, which contains what was put up to an offset; return its location."""
    text, table = schema or schema_of(kind), Table(store, f"datasets/{name}/{kind.lower()}")
    types = {**frame_schema(AvroSchema.parse(text)), columns.SOURCE: pl.String(), columns.LOG_OFFSET: pl.Int64()}
    listed = [
        {ID_COLUMNS[kind]: key, **values, columns.SOURCE: columns.SOURCE_PUT, columns.LOG_OFFSET: offset}
        for key, values in rows.items()
    ]
    table.upsert_records(
        pl.DataFrame(listed, schema=types), Position(epoch, offset), key=ID_COLUMNS[kind], after=table.event_position()
    )
    with TemporaryDirectory() as place:
        publish_snapshot(
            store, table.location, text, dataset_type=kind, version=table.version(), folder=Path(place),
            deletions=deletions, check=lambda: None, confirm=lambda: None,
        )  # fmt: skip
    return features_location(table.location, table.version())


def group_message(arn: str, datasets: Mapping[str, str | None], filters: Mapping[str, str] | None = None, schemas=None):
    """Return what the control plane says of a group.

    Args:
        arn: Of the group.
        datasets: Locations of snapshots by type of dataset.
        filters: Expressions by name.
        schemas: By type of dataset those that are not the usual ones.
    """
    schemas = {kind: schema_of(kind) for kind in datasets} | {"INTERACTIONS": EVENTS, **(schemas or {})}
    return ServingDatasetGroup(
        dataset_group_arn=arn,
        datasets=[
            ServingDataset(dataset_type=kind, schema=schemas[kind], features_location=datasets.get(kind))
            for kind in {**datasets, "INTERACTIONS": None}
        ],
        filters=[
            ServingFilter(filter_arn=filter_arn(name), filter_expression=text) for name, text in (filters or {}).items()
        ],
    )


def filter_arn(name: str) -> str:
    return f"arn:aws:personalize:us-east-1:000000000000:filter/{name}"


class SharedReader(LmdbHistoryReader):
    """A reader in the process of its writer: LMDB opens a store once in each.

    Args:
        writer: Of the same store.
        impressions: Where what is shown is logged; None where nothing is explored.
    """

    def __init__(self, writer, impressions=None) -> None:
        self._impressions = impressions
        self._environment, self._state = writer._environment, writer._state
        self._histories, self._shown = writer._histories, writer._shown
        self._counts, self._puts = writer._counts, writer._puts
        self._read_lock, self._counts_lock, self._puts_lock = threading.Lock(), threading.Lock(), threading.Lock()
        self._cached_lineage, self._cached_progress = (None, lineage_of(None)), None


def idle_follower(histories, deployments) -> FeatureUpdater:
    """Return a follower of no groups, which need not be run."""
    with TemporaryDirectory() as place:
        opener = SnapshotOpener(local_store(Path(place)), cache=Path(place))
        return FeatureUpdater(histories, opener, deployments=deployments, note_held=lambda held: None)
