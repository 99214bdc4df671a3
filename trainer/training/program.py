"""One training from its spec to the files of an artifact, the same for every kind of recipe; runs in the child process.

`train` is the program, from top to bottom. What differs between the kinds is supplied by their steps, see
`trainer.training.programs`. A model is fitted twice in effect: once without the data of the test users, to be measured
on them, and then on with everybody's data, to be served. The first is kept too, next to the artifact, so that later
versions can be compared with it. `update` is the same program without fit and evaluation, and
`trainer.training.recipe_search` goes through its first part with several recipes and through its second with the best.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, Protocol, TypeVar

from common.storage import Store
from common.storage.objects import open_store
from protos.tailorbird.internal.v1.jobs_pb2 import HyperParameterTuning
from protos.tailorbird.storage.v1 import artifact_manifest_pb2 as manifest_pb2
from recipes.catalog import get_recipe
from recipes.config import RecipeConfig
from recipes.data.histories import Histories
from recipes.ports import FitProgress, KeepsCheckpoints
from recipes.registry import make_fitter, read_config
from recipes.spec import RecipeSpec
from trainer.training.champion import compare_with_champion
from trainer.training.checkpoints import StoredCheckpoints
from trainer.training.loading import LoadedData
from trainer.training.offline_evaluation import OfflineEvaluation
from trainer.training.progress import RESUMED, StageProgress
from trainer.training.spec import ARTIFACT, CHAMPION, MEASURED_MODEL, TrainingSpec

__all__ = [
    "Base", "LearningSteps", "Measured", "ServingSteps", "Training", "UpdateSteps", "finish", "measure", "train",
    "update",
]  # fmt: skip

LoadedT = TypeVar("LoadedT", bound=LoadedData)
SplitT = TypeVar("SplitT")
ModelT = TypeVar("ModelT")
# What a step only takes.
LoadedT_contra = TypeVar("LoadedT_contra", bound=LoadedData, contravariant=True)
SplitT_contra = TypeVar("SplitT_contra", contravariant=True)
ModelT_contra = TypeVar("ModelT_contra", contravariant=True)


@dataclass(frozen=True, slots=True)
class Training:
    """What the steps of a training work with.

    Attributes:
        spec: What to train.
        recipe: The declaration of the recipe that the spec names.
        store: The shared store.
        folder: For files; `folder`/artifact is for the artifact's.
    """

    spec: TrainingSpec
    recipe: RecipeSpec
    store: Store
    folder: Path

    @classmethod
    def open(cls, spec: TrainingSpec, folder: Path) -> Training:
        """Find the recipe and open the store.

        Raises:
            ResourceNotFound: No recipe that is built has the name.
        """
        return cls(spec, get_recipe(spec.recipe), open_store(spec.store_settings()), folder)


class ServingSteps(Protocol[LoadedT_contra, SplitT_contra, ModelT_contra]):
    """How a kind's model becomes an artifact."""

    def index(self, model: ModelT_contra, split: SplitT_contra, folder: Path, /) -> manifest_pb2.IndexCalibration:
        """Write the index into the artifact's folder, measured by what was held out; or say that there is none."""

    def export(self, model: ModelT_contra, loaded: LoadedT_contra, folder: Path, /) -> None:
        """Write all other files of the artifact into its folder."""

    def dimensions(self, model: ModelT_contra, /) -> int:
        """Return the length of the model's vectors."""


class LearningSteps(ServingSteps[LoadedT, SplitT, ModelT], Protocol[LoadedT, SplitT, ModelT]):
    """The steps of one kind of recipes, made for one training.

    Attributes:
        stage_names: The stages that it has, in order; see `trainer.training.progress`. The program goes through all
            of them: for one that a kind does not have, its step hands on what it is given.
    """

    stage_names: tuple[str, ...]

    def load(self) -> LoadedT:
        """Read the snapshot.

        Raises:
            InvalidInput: It is too little, or not what the recipe learns from.
            ResourceNotFound: A table has been deleted meanwhile.
            Unavailable: The store cannot be reached.
        """

    def split(self, loaded: LoadedT, /) -> SplitT:
        """Divide what is learnt from first from what the model is measured by.

        Raises:
            InvalidInput: Nothing can be held out.
        """

    def tune(
        self,
        tuning: HyperParameterTuning,
        config: RecipeConfig,
        split: SplitT,
        loaded: LoadedT,
        progress: FitProgress,
        /,
    ) -> dict[str, str]:
        """Return the hyperparameters that tuning chose, as strings by name; nothing for kinds without any to tune."""

    def fit(self, fitter: Any, split: SplitT, loaded: LoadedT, /) -> ModelT:
        """Learn from what is not held out; `fitter` is the recipe's own."""

    def evaluate(self, fitter: Any, model: ModelT, split: SplitT, loaded: LoadedT, /) -> OfflineEvaluation:
        """Measure the model, and the baselines that it has to beat, on what was held out.

        Raises:
            InvalidInput: There is nothing to measure by.
        """

    def keep_measured(self, model: ModelT, split: SplitT, loaded: LoadedT, folder: Path, /) -> int | None:
        """Write the model as it was measured into a new folder, where later versions can be compared with it.

        Returns:
            The highest key of the test users, see `recipes.evaluation.splits.hold_out_lowest`; None where users are not
            what is held out.
        """

    def refit(self, fitter: Any, model: ModelT, loaded: LoadedT, /) -> ModelT:
        """Learn on from everything, for the model that is served."""


@dataclass(frozen=True, slots=True)
class Measured(Generic[LoadedT, SplitT, ModelT]):
    """A training between its parts: a model is fitted and measured, and the one that is served is not made yet.

    Attributes:
        training: What is trained.
        steps: What the recipe's kind does at each stage.
        stage_progress: Where it is.
        config: The hyperparameters, with those that tuning chose.
        fitter: The recipe's own, which has fitted the model.
        loaded: The data.
        split: What was held out.
        model: The model that was measured.
        evaluation: What was measured of it.
        tuned: The hyperparameters that tuning chose, by name.
        highest_test_key: As `LearningSteps.keep_measured` returns it.
        checkpoints: What the fitter goes on from and keeps; None where it begins anew.
    """

    training: Training
    steps: LearningSteps[LoadedT, SplitT, ModelT]
    stage_progress: StageProgress
    config: RecipeConfig
    fitter: Any
    loaded: LoadedT
    split: SplitT
    model: ModelT
    evaluation: OfflineEvaluation
    tuned: dict[str, str]
    highest_test_key: int | None
    checkpoints: StoredCheckpoints | None

    @property
    def resumed_seconds(self) -> float:
        """How long earlier attempts have fitted what this one went on from."""
        return 0.0 if self.checkpoints is None else self.checkpoints.resumed_seconds


@dataclass(frozen=True, slots=True)
class Base:
    """What an update begins from.

    Attributes:
        folder: Files of the artifact.
        manifest: What the artifact says of itself.
    """

    folder: Path
    manifest: manifest_pb2.ArtifactManifest


class UpdateSteps(ServingSteps[LoadedT, Histories, ModelT], Protocol[LoadedT, ModelT]):
    """The steps of an incremental update: nothing is fitted, nothing is measured.

    Attributes:
        stage_names: The stages that it has, in order; see `trainer.training.progress`.
    """

    stage_names: tuple[str, ...]

    def load_base(self) -> Base:
        """Open the artifact to begin from.

        Raises:
            InvalidInput: The recipe cannot be updated, or the artifact is another recipe's.
            ResourceNotFound: It was deleted.
            CorruptArtifact: It is damaged.
            Unavailable: The store cannot be reached.
        """

    def load(self, base: Base, /) -> LoadedT:
        """Read the snapshot; raises as `LearningSteps.load` does."""

    def update(self, base: Base, loaded: LoadedT, /) -> ModelT:
        """Return the base's model for the data as they are now.

        Raises:
            InvalidInput: The model cannot be updated.
            CorruptArtifact: Its files do not fit each other.
        """


def train(
    training: Training, steps: LearningSteps[LoadedT, SplitT, ModelT], *, progress: FitProgress
) -> manifest_pb2.ArtifactManifest:
    """Load, split, tune, fit, evaluate, compare, refit, index and export.

    Args:
        training: What to train.
        steps: What the recipe's kind does at each stage.
        progress: Takes how far the training is.

    Returns:
        What the training knows of its artifact: everything but who published it when and of which snapshot.

    Raises:
        InvalidInput: Too little data, or bad hyperparameters.
        ResourceNotFound: A table was deleted.
        Unavailable: The store cannot be reached.
    """
    return finish(measure(training, steps, progress=progress))


def measure(
    training: Training, steps: LearningSteps[LoadedT, SplitT, ModelT], *, progress: FitProgress
) -> Measured[LoadedT, SplitT, ModelT]:
    """Load, split, tune, fit and evaluate: the first part of `train`, whose arguments and errors it has."""
    spec, recipe = training.spec, training.recipe
    config = read_config(recipe, spec.configuration.hyperparameters)  # refused before anything is read
    stage_progress = StageProgress(steps.stage_names, progress, trials=0 if spec.tuning is None else spec.tuning.trials)
    with stage_progress.stage("load"):
        loaded = steps.load()
    with stage_progress.stage("split"):
        split = steps.split(loaded)
    tuned: dict[str, str] = {}
    if spec.tuning is not None:
        with stage_progress.stage("tune"):
            tuned = steps.tune(spec.tuning, config, split, loaded, stage_progress)
        config = read_config(recipe, {**spec.configuration.hyperparameters, **tuned})
    # The registry names fitters by one type; the steps know what their kind's learn from.
    fitter: Any = make_fitter(recipe, config, seed=spec.seed, progress=stage_progress)
    checkpoints = None
    if spec.checkpoints is not None and isinstance(fitter, KeepsCheckpoints):
        checkpoints = StoredCheckpoints(training.store, spec.checkpoints, training.folder)
        fitter.keep_checkpoints(checkpoints)
    with stage_progress.stage("fit"):
        model = steps.fit(fitter, split, loaded)
    with stage_progress.stage("evaluate", metrics=fitter.report):
        evaluation = steps.evaluate(fitter, model, split, loaded)
        highest_test_key = steps.keep_measured(model, split, loaded, training.folder / MEASURED_MODEL)
    return Measured(
        training,
        steps,
        stage_progress,
        config,
        fitter,
        loaded,
        split,
        model,
        evaluation,
        tuned,
        highest_test_key,
        checkpoints,
    )


def finish(measured: Measured[LoadedT, SplitT, ModelT]) -> manifest_pb2.ArtifactManifest:
    """Compare, refit, index and export: the second part of `train`."""
    training, steps, loaded = measured.training, measured.steps, measured.loaded
    spec, evaluation, stage_progress = training.spec, measured.evaluation, measured.stage_progress
    if spec.champion is not None and evaluation.pair_with is not None:
        with stage_progress.stage("compare"):
            cache = training.folder / CHAMPION
            evaluation.add_comparison(
                compare_with_champion(training.store, spec.champion, evaluation.pair_with, cache=cache, seed=spec.seed)
            )
    with stage_progress.stage("extend"):
        model = steps.refit(measured.fitter, measured.model, loaded)
    manifest = _write_artifact(training, steps, model, loaded, measured.split, stage_progress=stage_progress)
    manifest.recipe_config_json = measured.config.model_dump_json()
    evaluation.describe(manifest, warnings=loaded.warnings)
    manifest.tuned_hyper_parameters.update(measured.tuned)
    if measured.resumed_seconds:
        manifest.stage_seconds[RESUMED] = measured.resumed_seconds
    if measured.highest_test_key is not None:
        manifest.highest_test_key = measured.highest_test_key
    return manifest


def update(
    training: Training, steps: UpdateSteps[LoadedT, ModelT], *, progress: FitProgress
) -> manifest_pb2.ArtifactManifest:
    """Load, update, index and export.

    Args:
        training: What to train; its spec names the artifact to begin from.
        steps: What an update does at each stage.
        progress: Takes how far the training is.

    Returns:
        As `train`. Metrics are those of the base, whose weights the model still has.

    Raises:
        InvalidInput: Too little data, or the recipe cannot be updated.
        ResourceNotFound: The artifact to begin from, or a table, was deleted.
        CorruptArtifact: The artifact to begin from is damaged.
        Unavailable: The store cannot be reached.
    """
    stage_progress = StageProgress(steps.stage_names, progress)
    with stage_progress.stage("load"):
        base = steps.load_base()
        loaded = steps.load(base)
    with stage_progress.stage("update"):
        model = steps.update(base, loaded)
    manifest = _write_artifact(training, steps, model, loaded, loaded.data.histories(), stage_progress=stage_progress)
    manifest.recipe_config_json = base.manifest.recipe_config_json
    manifest.metrics.update(base.manifest.metrics)
    manifest.baselines.extend(base.manifest.baselines)
    return manifest


def _write_artifact(
    training: Training,
    steps: ServingSteps[LoadedT, SplitT, ModelT],
    model: ModelT,
    loaded: LoadedT,
    split: SplitT,
    *,
    stage_progress: StageProgress,
) -> manifest_pb2.ArtifactManifest:
    """Write the artifact's files, and begin its manifest with what they hold."""
    folder = training.folder / ARTIFACT
    folder.mkdir()
    with stage_progress.stage("index"):
        calibration = steps.index(model, split, folder)
    with stage_progress.stage("pack"):
        steps.export(model, loaded, folder)
    return manifest_pb2.ArtifactManifest(
        recipe=training.recipe.name,
        n_items=loaded.data.n_items,
        n_users=loaded.data.n_users,
        event_types=loaded.data.event_types,
        dimensions=steps.dimensions(model),
        index=calibration,
        stage_seconds=stage_progress.seconds,
    )
