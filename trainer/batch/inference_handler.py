"""Does batch inference jobs: what would be recommended to the users, or for the items, in files.

Answers are those of a runtime that serves the same artifact and has read the log up to the beginning of the job.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

import polars as pl

from common.artifacts import read_manifest
from common.deletions import DeletionWatch
from common.errors import invalid
from common.features.publishing import snapshot_files
from common.filters import Dataset, Filter, Target
from common.positions import Lineage, Position
from common.settings import StoreSettings
from common.storage import Store
from common.tables import Table
from inference.recent_events import EventRule
from inference.used_items import WHOLE_HISTORY, EventWindow
from protos.tailorbird.control.v1.batch_inference_job_pb2 import BatchInferenceJobMode
from protos.tailorbird.internal.v1 import jobs_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import TrainingSnapshot
from recipes.catalog import get_recipe
from recipes.components.themes.loading import DEFAULT_WRITER
from recipes.spec import RecipeSpec
from trainer.batch.feature_files import FeatureFiles
from trainer.batch.inputs import LinePart
from trainer.batch.lines import read_lines
from trainer.batch.recent_events import LearntEvents, RecentEvents, read_recent_events
from trainer.batch.runner import BatchFiles, BatchRunner, Work
from trainer.batch.themes import ThemeEnricher, check_theme_job
from trainer.flushing import Flusher
from trainer.worker import JobContext

if TYPE_CHECKING:  # imported where it is used: trainers start without Numba and what that compiles
    from trainer.batch.scoring import Enricher, Question, Setup

__all__ = ["OUTPUT_COLUMNS", "BatchInferenceJobHandler"]

_INTERACTIONS: Final = "INTERACTIONS"
_ITEMS: Final = "ITEMS"
_USERS: Final = "USERS"
#: The members of an output; the second of recipes that return scores.
OUTPUT_COLUMNS: Final[Mapping[str, pl.DataType]] = {
    "recommendedItems": pl.List(pl.String()),
    "scores": pl.List(pl.Float64()),
}
#: Of the themes: the same input gets the same ones.
_THEME_SEED: Final = 0


class BatchInferenceJobHandler:
    """Answers the lines of files; a `trainer.worker.JobHandler`.

    Args:
        store: The shared store.
        runner: Reads the input, lets parts be answered, and writes the output.
        flusher: Moves acknowledged events and records into the tables.
        store_settings: Where the store is, for the processes that answer.
        history_events: Newest events since the training that count of each user; as of the runtimes.
        window: How much of what users did counts for filters; as of the runtimes.
        theme_writer: Path of what writes themes, see `recipes.components.themes.loading`.
    """

    def __init__(
        self,
        store: Store,
        runner: BatchRunner,
        *,
        flusher: Flusher,
        store_settings: StoreSettings,
        history_events: int,
        window: EventWindow = WHOLE_HISTORY,
        theme_writer: str = DEFAULT_WRITER,
    ) -> None:
        self._store = store
        self._runner = runner
        self._flusher = flusher
        self._store_settings = store_settings
        self._history_events = history_events
        self._window = window
        self._theme_writer = theme_writer

    def run(self, payload: jobs_pb2.BatchInferencePayload, context: JobContext) -> jobs_pb2.BatchInferenceResult:
        """Answer all lines of an input.

        Raises:
            InvalidInput: The input cannot be read, the output cannot be written to, or the filter does not fit the
                recipe or the schemas; the message becomes the job's failureReason.
            ResourceNotFound: The artifact is gone.
            CorruptArtifact: The artifact or a table is damaged.
            Unavailable: Store, destination or events service cannot be reached, or users were deleted meanwhile.
            JobCancelled: The job must end; the output has no marker.
        """
        counts = self._runner.run(
            BatchFiles(payload.input_location, payload.output_location),
            lambda folder, batch_input: self._prepare(payload, folder, context, n_lines=batch_input.n_lines),
            context,
        )
        return jobs_pb2.BatchInferenceResult(answered_lines=counts.answered, failed_lines=counts.failed)

    def _prepare(
        self, payload: jobs_pb2.BatchInferencePayload, folder: Path, context: JobContext, *, n_lines: int
    ) -> Work[Question]:
        from trainer.batch.scoring import answer

        manifest = read_manifest(self._store, payload.artifact_location)
        recipe = get_recipe(manifest.recipe)
        tables = {item.dataset_type: item for item in payload.tables}
        watch = DeletionWatch(self._store, [table.location for table in tables.values()])
        setup = self._setup(payload, folder)
        _check_filter(setup, recipe)
        kinds = _feature_kinds(setup.filter(), recipe, is_themed=_is_themed(payload))
        context.report(fraction=0.0, activity="waiting for the latest events")
        lineage = None
        for kind, table in tables.items():
            if kind == _INTERACTIONS or kind in kinds:
                lineage = self._flusher.flush(table.location, context).lineage
        with watch.reading():
            context.report(fraction=0.0, activity="reading what came after the training")
            features = dict(self._features(kinds, tables, folder, context))
            recent = None
            if _INTERACTIONS in tables and (recipe.kind.is_personalized or payload.filter_expression):
                location = tables[_INTERACTIONS].location
                learnt = _learnt_events(manifest.snapshot, location, lineage)
                recent = read_recent_events(
                    self._store, location, learnt=learnt, most=self._history_events, check=context.check
                )
        enricher = self._enricher(payload, n_lines=n_lines, has_items=_ITEMS in features)
        setup = replace(setup, features=features, enricher=enricher)
        columns = {**OUTPUT_COLUMNS, **({} if setup.enricher is None else setup.enricher.columns)}
        if not recipe.returns_scores:
            del columns["scores"]
        return Work(answer, lambda part: _question(setup, part, recent), columns)

    def _setup(self, payload: jobs_pb2.BatchInferencePayload, folder: Path) -> Setup:
        """Return what is known before anything is read."""
        from inference.model import RankingInfluence
        from recipes.components.exploration import ExplorationSettings
        from trainer.batch.scoring import Setup

        return Setup(
            self._store_settings,
            payload.artifact_location,
            folder / "artifact",
            payload.num_results,
            event_type=payload.event_type or None,
            event_rules=tuple(_event_rules(payload)),
            exploration=ExplorationSettings.read(payload.config.item_exploration_config),
            influence=RankingInfluence.read(payload.config.ranking_influence),
            filter_text=payload.filter_expression,
            schemas={table.dataset_type: table.schema for table in payload.tables},
            window=self._window,
        )

    def _enricher(self, payload: jobs_pb2.BatchInferencePayload, *, n_lines: int, has_items: bool) -> Enricher | None:
        """Return what makes themes; None where none are asked for."""
        if not _is_themed(payload):
            return None
        check_theme_job(location=payload.input_location, n_lines=n_lines, has_items=has_items)
        column = payload.theme_generation_config.fields_for_theme_generation.item_name
        return ThemeEnricher(column, self._theme_writer, _THEME_SEED)

    def _features(
        self, kinds: Collection[str], tables: Mapping[str, jobs_pb2.DatasetTable], folder: Path, context: JobContext
    ) -> Iterable[tuple[str, FeatureFiles]]:
        """Yield the features of some datasets as they are now, by type of dataset."""
        for kind in kinds:
            if kind not in tables or not (table := Table(self._store, tables[kind].location)).exists():
                continue
            place = folder / f"features-{kind.lower()}"
            place.mkdir()
            files = snapshot_files(
                self._store,
                table.location,
                tables[kind].schema,
                dataset_type=kind,
                version=table.version(),
                folder=place,
                check=context.check,
            )
            yield kind, FeatureFiles(files.folder, files.manifest.SerializeToString(), tables[kind].schema)


def _is_themed(payload: jobs_pb2.BatchInferencePayload) -> bool:
    return payload.mode == BatchInferenceJobMode.BATCH_INFERENCE_JOB_MODE_THEME_GENERATION


def _feature_kinds(definition: Filter | None, recipe: RecipeSpec, *, is_themed: bool) -> list[str]:
    """Return the types of the datasets whose features lines are answered by: to gather them takes long."""
    filtered = set() if definition is None else {field.dataset for field in definition.fields}
    kinds = []
    if is_themed or recipe.encodes_new_items or Dataset.ITEMS in filtered:
        kinds.append(_ITEMS)
    if Dataset.USERS in filtered:
        kinds.append(_USERS)
    return kinds


def _learnt_events(snapshot: TrainingSnapshot, location: str, lineage: Lineage | None) -> LearntEvents:
    """Return which events a model has of a table of interactions."""
    versions = [table.version for table in snapshot.tables if table.location == location]
    watermark = Position(snapshot.event_epoch, snapshot.event_watermark)
    return LearntEvents(watermark, versions[0] if versions else None, lineage)


def _question(setup: Setup, part: LinePart, recent: RecentEvents | None) -> Question:
    """Return a part with what its users did since the training."""
    from trainer.batch.scoring import Question

    if recent is None or not len(recent.users):
        return Question(setup, part.first, part.data)
    users = {
        user_id
        for line in read_lines(part.data, first=part.first)
        if line.members is not None and isinstance(user_id := line.members.get("userId"), str)
    }
    return Question(setup, part.first, part.data, recent.of_users(users))


def _event_rules(payload: jobs_pb2.BatchInferencePayload) -> Iterable[EventRule]:
    for rule in payload.event_rules:
        yield EventRule(rule.event_type or None, rule.least_value if rule.HasField("least_value") else None)


def _check_filter(setup: Setup, recipe: RecipeSpec) -> None:
    """Check that the filter of a job fits its recipe, before any line is answered.

    Raises:
        InvalidInput: The schemas no longer fit it, it is none of items, or it needs an item that lines do not name.
    """
    from inference.pipelines import relates_items

    definition = setup.filter()
    if definition is None:
        return
    if definition.target is not Target.ITEM:
        raise invalid("filterArn", got=f"a filter of {definition.target}s", want="a filter of items")
    if definition.needs_item and not relates_items(recipe.kind):
        want = "a filter without CurrentItem: the job's recipe relates no items"
        raise invalid("filterArn", got=definition.text, want=want)
