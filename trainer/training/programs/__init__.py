"""Which kind of recipe is trained by which steps: the one place of the trainer that names kinds."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.ports import FitProgress
from recipes.spec import RecipeKind
from trainer.training.program import LearningSteps, Training, train, update
from trainer.training.programs.actions import ActionsSteps
from trainer.training.programs.incremental_update import IncrementalUpdateSteps
from trainer.training.programs.item_recommendation import ItemRecommendationSteps, TrendingItemsSteps
from trainer.training.programs.similar_content import SimilarContentSteps, SimilarContentUpdateSteps
from trainer.training.programs.user_segments import UserSegmentsSteps
from trainer.training.recipe_search import search_recipe
from trainer.training.spec import TrainingSpec

__all__ = ["PROGRAMS", "run_program", "update_steps"]

#: The steps of `trainer.training.program.train` by the recipe's kind. What the steps hand on differs from kind to kind.
PROGRAMS: Final[Mapping[RecipeKind, Callable[[Training], LearningSteps[Any, Any, Any]]]] = {
    RecipeKind.USER_PERSONALIZATION: ItemRecommendationSteps,
    RecipeKind.PERSONALIZED_RANKING: ItemRecommendationSteps,
    RecipeKind.POPULAR_ITEMS: ItemRecommendationSteps,
    RecipeKind.TRENDING_ITEMS: TrendingItemsSteps,
    RecipeKind.RELATED_ITEMS: ItemRecommendationSteps,
    RecipeKind.SIMILAR_CONTENT: SimilarContentSteps,
    RecipeKind.PERSONALIZED_ACTIONS: ActionsSteps,
    RecipeKind.USER_SEGMENTATION: UserSegmentsSteps,
}


def update_steps(kind: RecipeKind) -> type[IncrementalUpdateSteps]:
    """Return the steps of `trainer.training.program.update` for a kind of recipe."""
    return SimilarContentUpdateSteps if kind is RecipeKind.SIMILAR_CONTENT else IncrementalUpdateSteps


def run_program(spec: TrainingSpec, folder: Path, *, progress: FitProgress) -> ArtifactManifest:
    """Train by the steps of the recipe's kind, or search the recipe, or update an artifact: as the spec says.

    Args:
        spec: What to train.
        folder: For files; those of the artifact are in `folder`/artifact afterwards.
        progress: Takes how far the training is.

    Returns:
        What the training knows of its artifact.

    Raises:
        InvalidInput: Too little data, bad hyperparameters, or a recipe that cannot be updated.
        ResourceNotFound: The recipe is not built, or a table or the artifact to begin from was deleted.
        CorruptArtifact: The artifact to begin from is damaged.
        Unavailable: The store cannot be reached.
    """
    if spec.search is not None:
        return search_recipe(spec, spec.search, folder, steps_by_kind=PROGRAMS, progress=progress)
    training = Training.open(spec, folder)
    if spec.base is not None:
        return update(training, update_steps(training.recipe.kind)(training), progress=progress)
    return train(training, PROGRAMS[training.recipe.kind](training), progress=progress)
