"""Does batch segment jobs: for each line of the input the users who are most likely to come, likeliest first.

A segment may have five million users, so a part has the fewer lines the larger its segments may be. What the job's
filter lets pass is worked out here, once for each set of values, and goes with the parts as bitmaps: processes that
answer parts read the model and nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import polars as pl

from common.deletions import DeletionWatch
from common.errors import InvalidInput
from common.settings import StoreSettings
from common.storage import Store
from common.vocabulary import Vocabulary
from protos.tailorbird.internal.v1 import jobs_pb2
from trainer.batch.inputs import PART_LINES, BatchInput, LinePart
from trainer.batch.lines import filter_values, read_lines
from trainer.batch.runner import BatchFiles, BatchRunner, Work
from trainer.batch.segment_parts import (
    PassingUsers,
    SegmentModel,
    SegmentPart,
    answer,
    open_segments,
    values_key,
)
from trainer.batch.user_filter import UserFilter
from trainer.flushing import Flusher
from trainer.worker import JobContext

__all__ = ["BatchSegmentJobHandler"]

#: Users of all segments of a part, about: some ten bytes for each are in memory, twice.
_USERS_OF_PART: Final = 1_000_000
#: Lines of a part at most, so that few lines are divided among processes too: a line is a pass over all users.
_MAX_LINES: Final = 32
#: Datasets that filters of users read.
_FILTERED: Final = ("USERS", "INTERACTIONS")
_COLUMNS: Final = {"usersList": pl.List(pl.String()), "recommendedUsers": pl.List(pl.String())}


class BatchSegmentJobHandler:
    """Makes segments of users; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        runner: Leads jobs from their input to their output.
        flusher: Moves acknowledged events and records into the tables that filters read.
        store_settings: Of the same store, for the processes that answer.
    """

    def __init__(self, store: Store, runner: BatchRunner, *, flusher: Flusher, store_settings: StoreSettings) -> None:
        self._store = store
        self._runner = runner
        self._flusher = flusher
        self._store_settings = store_settings

    def run(self, payload: jobs_pb2.BatchSegmentPayload, context: JobContext) -> jobs_pb2.BatchSegmentResult:
        """Answer the lines of a job.

        Raises:
            InvalidInput: The input cannot be read, the output cannot be written to, or the filter does not fit the
                datasets any more.
            ResourceNotFound: The solution version was deleted meanwhile.
            CorruptArtifact: The model or a table is damaged.
            Unavailable: Something needed cannot be reached now, or users were deleted meanwhile.
            JobCancelled: The job must end; the output has no marker.
        """

        def prepare(folder: Path, _: BatchInput) -> Work[SegmentPart]:
            context.report(fraction=0.0, activity="opening the model")
            return self._prepare(payload, folder, context)

        lines = max(1, min(_MAX_LINES, PART_LINES, _USERS_OF_PART // max(1, payload.num_results)))
        files = BatchFiles(payload.input_location, payload.output_location, part_lines=lines)
        counts = self._runner.run(files, prepare, context)
        return jobs_pb2.BatchSegmentResult(answered_lines=counts.answered, failed_lines=counts.failed)

    def _prepare(self, payload: jobs_pb2.BatchSegmentPayload, folder: Path, context: JobContext) -> Work[SegmentPart]:
        model = SegmentModel(self._store_settings, payload.artifact_location, folder / "copies")
        # Opened here too: what is wrong with it is said before anything is done, and it is verified once for all.
        segments = open_segments(model)
        user_filter = self._filter(payload, segments.users, folder, context) if payload.filter_expression else None

        def ask(lines: LinePart) -> SegmentPart:
            passing = None if user_filter is None else _passing(lines, user_filter)
            return SegmentPart(lines, model, payload.num_results, passing)

        return Work(answer, ask, _COLUMNS)

    def _filter(
        self, payload: jobs_pb2.BatchSegmentPayload, users: Vocabulary, folder: Path, context: JobContext
    ) -> UserFilter:
        """Bind the job's filter to what is known of the users now, what was put and streamed included."""
        tables = {table.dataset_type: table for table in payload.tables if table.dataset_type in _FILTERED}
        watch = DeletionWatch(self._store, [table.location for table in tables.values()])
        context.report(fraction=0.0, activity="waiting for the latest events")
        for table in tables.values():
            self._flusher.flush(table.location, context)
        features = folder / "features"
        features.mkdir()
        with watch.reading():
            context.report(fraction=0.0, activity="reading what the filter needs")
            return UserFilter.open(
                payload.filter_expression, tables, users, self._store, folder=features, check=context.check
            )


def _passing(lines: LinePart, user_filter: UserFilter) -> PassingUsers:
    """Return who passes with the values of each line, or why these are wrong."""
    passing: dict[frozenset[tuple[str, str]], bytes | str] = {}
    for line in read_lines(lines.data, first=lines.first):
        values = _values(line.members or {})
        if values is None or (key := values_key(values)) in passing:
            continue
        try:
            passing[key] = user_filter.passing(values)
        except InvalidInput as error:
            passing[key] = error.message
    return passing


def _values(members: Mapping[str, object]) -> dict[str, str] | None:
    """Return the values of a line; None where they are none, which its answer tells."""
    try:
        return filter_values(members)
    except InvalidInput:
        return None
