"""Hyperparameters of what is bought, or viewed, together: there are none."""

from __future__ import annotations

from recipes.config import RecipeConfig
from recipes.data.size import DataSize
from recipes.models.ease.config import EASEConfig

__all__ = ["BasketsConfig"]


class BasketsConfig(RecipeConfig):
    """No hyperparameters, as of recommenders in Personalize."""

    def fit_bytes(self, size: DataSize) -> int:
        """Return about how much memory a fit takes at its peak: that of the regression, see `EASEConfig.fit_bytes`."""
        return EASEConfig().fit_bytes(size)
