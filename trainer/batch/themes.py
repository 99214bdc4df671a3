"""Adds themes to the lists of similar items that batch inference jobs make: what a list is about, and each item of it.

What is said of items is read from the features of the Items dataset: the column of names that the job configures, the
textual columns and the categories.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import polars as pl

from common.errors import invalid
from common.features import Features
from common.features.columns import split_categories
from common.files.locations import INPUT_PATH
from recipes.components.themes.loading import load_writer
from recipes.components.themes.ports import DescribedItem
from recipes.data.texts import clean_text

if TYPE_CHECKING:  # trainers start without Numba and what that compiles
    from trainer.batch.scoring import Enrich

__all__ = ["MAX_LINES", "ThemeEnricher", "check_theme_job"]

#: Lines of a job's input at most, by Personalize's limit.
MAX_LINES: Final = 100


@dataclass(frozen=True, slots=True)
class ThemeEnricher:
    """Makes themes; a `trainer.batch.scoring.Enricher`.

    Attributes:
        name_column: Of the items' names.
        writer: Path of what writes themes, see `recipes.components.themes.loading`.
        seed: Of the sample of the catalogue, and of the vectors.
    """

    name_column: str
    writer: str
    seed: int

    @property
    def columns(self) -> Mapping[str, pl.DataType]:
        """The members that themes are, as columns of Parquet."""
        return {"theme": pl.String(), "itemsThemeRelevanceScores": pl.List(pl.Float64())}

    def open(self, features: Features | None) -> Enrich:
        """Learn what the catalogue is about, and return what makes the themes of some lists."""
        # Here, as trainers start without SciPy.
        from recipes.components.themes.catalogue import ThemeCatalogue
        from recipes.components.themes.themes import CATALOGUE_SAMPLE, make_themes

        assert features is not None, "`check_theme_job` wants items"
        described = _Descriptions(features, self.name_column)
        catalogue = ThemeCatalogue.of(described.sample(CATALOGUE_SAMPLE, seed=self.seed), seed=self.seed)
        writer = load_writer(self.writer)(catalogue)

        def enrich(lists: Sequence[Sequence[str]]) -> list[dict[str, Any]]:
            items = [[described.of(item_id) for item_id in item_ids] for item_ids in lists]
            return [
                {"theme": theme.text, "itemsThemeRelevanceScores": theme.relevance}
                for theme in make_themes(items, catalogue, writer=writer)
            ]

        return enrich


def check_theme_job(*, location: str, n_lines: int, has_items: bool) -> None:
    """Check that themes can be made of a job's input.

    Args:
        location: Of the input.
        n_lines: In all of its files.
        has_items: Whether items were imported or put.

    Raises:
        InvalidInput: They cannot.
    """
    if n_lines > MAX_LINES:
        raise INPUT_PATH.invalid(
            location, f"with {n_lines:,} lines, want at most {MAX_LINES} in the mode THEME_GENERATION"
        )
    if not has_items:
        raise invalid("batchInferenceJobMode", got="THEME_GENERATION", want="BATCH_INFERENCE until items are imported")


class _Descriptions:
    """What is said of items, read when it is needed.

    Args:
        features: Of the items.
        name_column: Of their names.
    """

    def __init__(self, features: Features, name_column: str) -> None:
        fields = [field for field in features.schema.fields if field.name != name_column]
        self._features = features
        self._name = name_column
        self._texts = [field.name for field in fields if field.textual]
        self._categories = [field.name for field in fields if field.categorical]

    def of(self, item_id: str) -> DescribedItem:
        """Describe an item; of one that the features do not have nothing is said."""
        row = self._features.row(item_id)
        return DescribedItem("") if row is None else self._of_row(row)

    def sample(self, most: int, *, seed: int) -> list[DescribedItem]:
        """Describe items that are drawn at random, all where there are no more; at least one."""
        n_rows = self._features.n_rows
        drawn = np.sort(np.random.default_rng(seed).permutation(n_rows)[:most])
        return [self._of_row(row) for row in drawn.tolist()] or [DescribedItem("")]

    def _of_row(self, row: int) -> DescribedItem:
        texts = (clean_text(self._features.text(row, name) or "") for name in self._texts)
        categories = (split_categories(self._features.text(row, name) or "") for name in self._categories)
        return DescribedItem(
            clean_text(self._features.text(row, self._name) or ""),
            tuple(filter(None, texts)),
            tuple(category for values in categories for category in values),
        )
