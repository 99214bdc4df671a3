"""Batch jobs in a test: a handler on a store, its input and its output."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import polars as pl

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.avro import AvroSchema
from common.compute import Compute
from common.files.locations import INPUT_PATH, OUTPUT_PATH
from common.files.outputs import Outputs
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.tables import Table
from inference.used_items import WHOLE_HISTORY, EventWindow
from protos.tailorbird.internal.v1 import jobs_pb2
from tests.trainer.place import NoEvents
from trainer.batch.inference_handler import BatchInferenceJobHandler
from trainer.batch.runner import MAX_FILES, BatchRunner
from trainer.files.sources import Sources
from trainer.worker import NO_DETAILS, CancelReason, JobCancelled, JobContext, NullJobContext
from trainer.workspace import Workspace


class SameProcess:
    """A `Compute` that does the parts here, one after the other, the last one first."""

    parallelism = 1

    def run(self, task: Callable[[Any], Any], parts: Sequence[Any], *, check: Callable[[], object]) -> Iterator[Any]:
        for place in reversed(range(len(parts))):
            check()
            yield place, task(parts[place])


class OtherMachine(SameProcess):
    """The same on a machine that does not have the trainer's folder of running jobs.

    Args:
        work: That folder.
    """

    def __init__(self, work: Path) -> None:
        self._work = work

    def run(self, task: Callable[[Any], Any], parts: Sequence[Any], *, check: Callable[[], object]) -> Iterator[Any]:
        def there(part: Any) -> Any:
            hidden = self._work.with_name("hidden")
            self._work.rename(hidden)
            try:
                return task(part)
            finally:
                hidden.rename(self._work)

        return super().run(there, parts, check=check)


@dataclass
class BatchPlace:
    """A store, a bucket and a handler.

    Attributes:
        root: Of everything.
        store_url: Of the store; below the root unless it is named.
    """

    root: Path
    store_url: str = ""
    compute: Compute = field(default_factory=SameProcess)
    history_events: int = 200
    window: EventWindow = WHOLE_HISTORY

    def __post_init__(self) -> None:
        self.settings = StoreSettings(store_url=self.store_url or str(self.root / "store"))
        self.store = open_store(self.settings)
        self.bucket = self.root / "s3" / "films"
        self.bucket.mkdir(parents=True, exist_ok=True)
        self.flusher = NoEvents()

    def runner(self) -> BatchRunner:
        buckets = self.root / "s3"
        sources = Sources(
            self.settings, buckets=buckets, roots=(buckets,), field=INPUT_PATH, content="a file of lines",
            max_files=MAX_FILES,
        )  # fmt: skip
        outputs = Outputs(self.settings, buckets=buckets, roots=(buckets,), field=OUTPUT_PATH)
        return BatchRunner(sources, outputs, Workspace(self.root / "work"), self.compute)

    def handler(self) -> BatchInferenceJobHandler:
        return BatchInferenceJobHandler(
            self.store,
            self.runner(),
            flusher=self.flusher,
            store_settings=self.settings,
            history_events=self.history_events,
            window=self.window,
        )

    def ask(self, *lines: Mapping[str, Any] | str, name: str = "in/lines.json") -> None:
        """Write lines to a file of the bucket."""
        path = self.bucket / name
        path.parent.mkdir(parents=True, exist_ok=True)
        texts = [line if isinstance(line, str) else json.dumps(line) for line in lines]
        path.write_text("".join(f"{text}\n" for text in texts))

    def run(
        self,
        artifact: str,
        *,
        source: str = "s3://films/in/",
        output: str = "s3://films/out/",
        context: JobContext | None = None,
        tables: Sequence[jobs_pb2.DatasetTable] = (),
        num_results: int = 25,
        **members: Any,
    ) -> jobs_pb2.BatchInferenceResult:
        payload = jobs_pb2.BatchInferencePayload(
            artifact_location=artifact,
            input_location=source,
            output_location=output,
            num_results=num_results,
            tables=tables,
            **members,
        )
        return self.handler().run(payload, context or NullJobContext())

    def output_lines(self, name: str = "out/lines.json.out") -> list[dict[str, Any]]:
        """Return the lines of an output."""
        return [json.loads(line) for line in (self.bucket / name).read_text().splitlines()]

    def outputs(self) -> list[str]:
        """Return the names of all files of the output."""
        return sorted(path.name for path in (self.bucket / "out").glob("*"))


class StoppedWhile(NullJobContext):
    """The context of a job that is stopped while it does something; its end is not asked for, only noticed."""

    def __init__(self, activity: str) -> None:
        self._activity = activity
        self._stopped = False

    def report(self, *, fraction: float, activity: str, details: Mapping[str, float] = NO_DETAILS) -> None:
        self._stopped = activity == self._activity

    def check(self) -> None:
        if self._stopped:
            raise JobCancelled(CancelReason.STOP)


@dataclass(frozen=True)
class Sent:
    """An event as the log has it."""

    offset: int
    user_id: str
    session_id: str
    item_id: str
    event_type: str
    seconds: int
    event_id: str


def append_events(table: Table, schema: str, events: Sequence[Sent]) -> None:
    """Append events to a table as the events service does."""
    names = interactions_frame_schema(AvroSchema.parse(schema))
    rows = [
        {
            columns.USER_ID: event.user_id or None,
            columns.ITEM_ID: event.item_id,
            columns.EVENT_TYPE: event.event_type or None,
            columns.TIMESTAMP: event.seconds,
            columns.SOURCE: columns.SOURCE_PUT,
            columns.EVENT_ID: event.event_id,
            columns.LOG_OFFSET: event.offset,
            columns.SESSION_ID: event.session_id,
        }
        for event in events
    ]
    frame = pl.DataFrame([{name: row.get(name) for name in names} for row in rows], schema=names)
    table.append(frame, app_id=columns.EVENTS_APP_ID, number=max(event.offset for event in events))
