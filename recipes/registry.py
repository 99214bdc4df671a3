"""The one place where a recipe's code is loaded, by the paths of its declaration.

Paths are imported on demand: an import statement, even inside of a function, would make JAX reachable from the runtime,
which does without it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, cast

from recipes.config import RecipeConfig
from recipes.ports import FitProgress, Fitter, FitterFactory, ItemScorer, ignore_progress
from recipes.spec import RecipeSpec

__all__ = ["config_class", "import_scorers", "make_fitter", "open_scorer", "read_config"]


def config_class(recipe: RecipeSpec) -> type[RecipeConfig]:
    """Return the class of a recipe's hyperparameters."""
    return cast("type[RecipeConfig]", _resolve(recipe.config))


def read_config(recipe: RecipeSpec, hyperparameters: Mapping[str, str]) -> RecipeConfig:
    """Read a recipe's hyperparameters, with every default.

    Args:
        recipe: Its declaration.
        hyperparameters: Strings by name, as they travel in the API.

    Raises:
        InvalidInput: A name is not one of this recipe's, or a value is out of its range.
    """
    return config_class(recipe).from_hyperparameters(hyperparameters)


def make_fitter(
    recipe: RecipeSpec, config: RecipeConfig, *, seed: int, progress: FitProgress = ignore_progress
) -> Fitter:
    """Load the learning side of a recipe, and with it JAX where the recipe needs it, for one training.

    Args:
        recipe: Its declaration.
        config: Its hyperparameters, as `read_config` returns them.
        seed: Of every random number of the fit.
        progress: Is told how far the fit is.
    """
    factory = cast("FitterFactory", _resolve(recipe.fitter))
    return factory(config, seed=seed, progress=progress)


def open_scorer(recipe: RecipeSpec, folder: Path) -> ItemScorer:
    """Open the serving side of a recipe from the folder that it was saved in.

    Raises:
        CorruptArtifact: Files are missing or do not belong together.
    """
    return cast("Callable[[Path], ItemScorer]", _resolve(recipe.scorer))(folder)


def import_scorers(recipes: Iterable[RecipeSpec]) -> None:
    """Import the serving side of recipes, and with it the compiled functions of their requests."""
    for recipe in recipes:
        _resolve(recipe.scorer)


def _resolve(path: str) -> Any:
    module, _, attribute = path.partition(":")
    return getattr(importlib.import_module(module), attribute)
