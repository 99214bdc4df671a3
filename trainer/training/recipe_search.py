"""Choosing the recipe by trial (AutoML): each candidate is fitted and measured, and the best one is finished.

All candidates learn from the same users and are measured on the same others, so they are compared user by user. A
candidate takes the place of the best before it only if it is significantly better: the candidates come in an order in
which the simpler ones are first, and of two that are as good the simpler one is wanted. One that cannot be trained on
these data is reported and passed over.
"""

from __future__ import annotations

import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

from common.errors import InvalidInput, StorageFull, TailorbirdError
from common.logs import get_logger
from protos.tailorbird.internal.v1.jobs_pb2 import RecipeSearch, RecipeToTry
from protos.tailorbird.storage.v1 import evaluation_pb2
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.evaluation.paired_tests import Pair
from recipes.ports import FitProgress
from recipes.spec import RecipeKind
from trainer.training.champion import describe_pair
from trainer.training.program import LearningSteps, Measured, Training, finish, measure
from trainer.training.progress import RESUMED, SubProgress
from trainer.training.spec import ARTIFACT, MEASURED_MODEL, TrainingSpec

__all__ = ["search_recipe"]

#: Share of the whole that is left for finishing the best, in candidates.
_FINISH: Final = 0.5
#: Codes of errors that are trouble of the moment, not of the candidate.
_TRANSIENT: Final = ("UNAVAILABLE", "INTERNAL", StorageFull.code)
_log = get_logger(__name__)

AnyMeasured = Measured[Any, Any, Any]
StepsByKind = Mapping[RecipeKind, Callable[[Training], LearningSteps[Any, Any, Any]]]


def search_recipe(
    spec: TrainingSpec,
    search: RecipeSearch,
    folder: Path,
    *,
    steps_by_kind: StepsByKind,
    progress: FitProgress,
) -> ArtifactManifest:
    """Try the candidates out one after another, and train the best.

    Args:
        spec: What to train, without a recipe.
        search: The candidates, and the metric that decides.
        folder: For files; those of the artifact are in `folder`/artifact afterwards.
        steps_by_kind: How each kind of recipes is trained.
        progress: Takes how far the search is.

    Returns:
        As `trainer.training.program.train`, with what every candidate scored in its evaluation.

    Raises:
        InvalidInput: No candidate can be trained on the data; all their reasons are named.
        ResourceNotFound: A table was deleted.
        Unavailable: The store cannot be reached.
    """
    total = len(search.candidates) + _FINISH
    trials: list[evaluation_pb2.RecipeCandidate] = []
    best: _Trial | None = None
    resumed_by_others = 0.0
    for number, candidate in enumerate(search.candidates):
        words = f"{candidate.recipe} ({number + 1} of {len(search.candidates)})"
        reporter = _Reporter(progress, words=words, span=(number / total, (number + 1) / total))
        trial = _Trial(candidate, folder / f"candidate-{number}", reporter)
        trials.append(trial.described)
        trial.run(spec, steps_by_kind)
        if trial.measured is None:
            continue
        if best is None or trial.beats(best, metric=search.metric_name):
            best, trial = trial, best
        if trial is not None:
            resumed_by_others += trial.measured.resumed_seconds if trial.measured is not None else 0.0
            trial.forget()
    if best is None or best.measured is None:
        raise InvalidInput(_nothing_fits(trials))
    best.described.chosen = True
    best.reporter.words, best.reporter.span = best.candidate.recipe, (len(search.candidates) / total, 1.0)
    message = best.measured.evaluation.message
    assert message is not None, "candidates are compared by it"
    message.recipe_choice.judged_by = search.metric_name
    message.recipe_choice.candidates.extend(trials)
    manifest = finish(best.measured)
    if resumed_by_others:
        manifest.stage_seconds[RESUMED] += resumed_by_others
    for name in (ARTIFACT, MEASURED_MODEL):
        (best.folder / name).rename(folder / name)
    return manifest


class _Reporter:
    """Reports of one candidate's training as reports of the whole search; both attributes may be changed.

    Args:
        progress: Takes how far the search is.
        words: What precedes the stage in what a person reads.
        span: Fractions of the search between which the training lies.
    """

    def __init__(self, progress: FitProgress, *, words: str, span: tuple[float, float]) -> None:
        self._progress = progress
        self.words = words
        self.span = span

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        """Take a report of the training."""
        SubProgress(self._progress, self.span)(fraction=fraction, stage=f"{self.words}: {stage}", metrics=metrics)


class _Trial:
    """One candidate and what came of it.

    Args:
        candidate: The recipe.
        folder: For its files, does not exist yet.
        reporter: Takes its progress.
    """

    def __init__(self, candidate: RecipeToTry, folder: Path, reporter: _Reporter) -> None:
        self.candidate = candidate
        self.folder = folder
        self.reporter = reporter
        self.described = evaluation_pb2.RecipeCandidate(recipe=candidate.recipe)
        self.measured: AnyMeasured | None = None

    def run(self, spec: TrainingSpec, steps_by_kind: StepsByKind) -> None:
        """Fit and measure the candidate; where it cannot be, `measured` stays None and the reason is described.

        Raises:
            TailorbirdError: Something went wrong that has nothing to do with the candidate.
        """
        self.folder.mkdir()
        began = time.monotonic()
        try:
            training = Training.open(spec.of_candidate(self.candidate), self.folder)
            self.measured = measure(training, steps_by_kind[training.recipe.kind](training), progress=self.reporter)
        except TailorbirdError as error:
            if error.code in _TRANSIENT:
                raise
            self._fail(error.message)
        except MemoryError:
            self._fail("memory ran out; give the trainer more, or train on fewer interactions")
        self.described.seconds = round(time.monotonic() - began, 3)
        if self.measured is None:
            return
        self.described.tuned_hyper_parameters.update(self.measured.tuned)
        message = self.measured.evaluation.message
        assert message is not None, "recipes that may be searched are measured on users"
        self.described.metrics.extend(message.model.metrics)

    def beats(self, best: _Trial, *, metric: str) -> bool:
        """Return whether it is significantly better than the best until then, and describe both beside each other."""
        assert self.measured is not None, "what failed is not compared"
        assert best.measured is not None, "what failed is never the best"
        challenger, champion = self.measured.evaluation.by_user, best.measured.evaluation.by_user
        assert challenger is not None, "recipes that may be searched are measured on users"
        assert champion is not None, "recipes that may be searched are measured on users"
        pair = Pair.of_users(challenger, champion, primary_metric=metric)
        comparison = describe_pair(pair, before=best.candidate.recipe, seed=self.measured.training.spec.seed)
        self.described.compared_with = best.candidate.recipe
        self.described.comparison.CopyFrom(comparison)
        return comparison.verdict == evaluation_pb2.VERDICT_BETTER

    def forget(self) -> None:
        """Drop the model, and its files: memory and disk hold two candidates at most."""
        self.measured = None
        shutil.rmtree(self.folder)

    def _fail(self, reason: str) -> None:
        self.described.failure_reason = reason
        shutil.rmtree(self.folder)
        # The reason may quote what stands in a caller's files; the evaluation has it.
        _log.warning("candidate_failed", recipe=self.candidate.recipe)
        _log.debug("candidate_failed", recipe=self.candidate.recipe, reason=reason)


def _nothing_fits(trials: Sequence[evaluation_pb2.RecipeCandidate]) -> str:
    """Return why no recipe was chosen; where all failed for one reason, that alone."""
    reasons = dict.fromkeys(trial.failure_reason for trial in trials)
    if len(reasons) == 1:
        return next(iter(reasons))
    return "no recipe can be trained on these data: " + "; ".join(
        f"{trial.recipe}: {trial.failure_reason}" for trial in trials
    )
