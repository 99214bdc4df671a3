"""Measuring models on the test users of a split: every model by the same metrics, with repeats and without."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from recipes.data.histories import Histories, ItemIndexes
from recipes.evaluation.items import ItemFacts
from recipes.evaluation.metrics import (
    LIST_LENGTH,
    UserValues,
    find_hits,
    further_values,
    personalize_values,
    published,
    weighted_values,
)
from recipes.evaluation.ranking import CatalogueScores, both_lists, coverage
from recipes.evaluation.splits import Split

__all__ = ["Evaluator", "Measured", "Measurement"]


@dataclass(frozen=True, slots=True)
class Measurement:
    """Metrics of one kind of lists of a model.

    Attributes:
        coverage: Share of the catalogue in the lists, 0 to 1.
        users: Every other metric, user by user.
    """

    coverage: float
    users: UserValues

    def named(self) -> dict[str, float]:
        """Return all metrics by name, without those that no user counts in."""
        return {"coverage": self.coverage, **self.users.named()}

    def personalize(self) -> dict[str, float]:
        """Return Personalize's eight keys, as it shows them; 0 where no user counts."""
        values = self.users.named()
        keys = [name for name in self.users.names if name.startswith(("mean_", "normalized_", "precision_"))]
        return published({"coverage": self.coverage, **{name: values.get(name, 0.0) for name in keys}})


@dataclass(frozen=True, slots=True)
class Measured:
    """Metrics of a model.

    Attributes:
        served: Metrics of lists in which everything may occur, as they are served.
        without_repeats: Metrics of lists without what the user has used already, where only items that are new to the
            user are relevant. Users without any such item count in no metric but coverage.
    """

    served: Measurement
    without_repeats: Measurement


@dataclass(frozen=True, slots=True)
class Evaluator:
    """Measures models on the test users of a split.

    Attributes:
        split: The test users: their histories, and the items that they used next.
        facts: Popularity and novelty of the items, for the metrics that need them.
    """

    split: Split
    facts: ItemFacts

    def measure(self, scores: CatalogueScores) -> Measured:
        """Measure a model that scores this catalogue for the test users."""
        return self.measure_lists(
            *both_lists(scores, n_items=len(self.facts), histories=self.split.histories, limit=LIST_LENGTH)
        )

    def measure_lists(self, served: ItemIndexes, without_repeats: ItemIndexes) -> Measured:
        """Measure lists of the test users: int32 [m, up to LIST_LENGTH], -1 for items of another catalogue."""
        return Measured(
            self._measure(served, self.split.relevant), self._measure(without_repeats, self.relevant_without_repeats())
        )

    def relevant_without_repeats(self) -> Histories:
        """Return the hidden items that the users had not used before."""
        seen, hidden = (
            each.owners() * len(self.facts) + each.items for each in (self.split.histories, self.split.relevant)
        )
        return self.split.relevant.where(~np.isin(hidden, seen))

    def _measure(self, lists: ItemIndexes, relevant: Histories) -> Measurement:
        hits = find_hits(lists, relevant=relevant, strata=self.facts.strata)
        further = further_values(hits, recommended=lists, facts=self.facts)
        values = personalize_values(hits).joined(further)
        weights = self.split.training.event_weights
        if weights is not None:
            values = values.joined(weighted_values(lists, relevant=relevant, event_weights=weights))
        return Measurement(coverage(lists, n_items=len(self.facts)), values)
