"""Personalize's metrics of a fitted model, and of the baselines that it has to beat, on the same held-out users."""

from __future__ import annotations

from recipes.evaluation.metrics import LIST_LENGTH, personalize_metrics, published
from recipes.evaluation.ranking import CatalogueScores, by_scorer, top_items
from recipes.evaluation.split import Split
from recipes.interface import Scorer
from recipes.popularity.config import PopularityConfig
from recipes.popularity.fit import PopularityFitter
from recipes.rules import SequenceRules

__all__ = ["baseline_metrics", "model_metrics"]

_JUDGED_BY = "normalized_discounted_cumulative_gain_at_25"


def model_metrics(scorer: Scorer, split: Split) -> dict[str, float]:
    """Measure a model as it would be served.

    Args:
        scorer: Fitted to the training part of the split.
        split: By users.
    """
    return published(_measure(by_scorer(scorer, split.histories), split))


def baseline_metrics(split: Split, *, seed: int) -> dict[str, dict[str, float]]:
    """Measure popularity and sequence rules.

    A baseline knows nothing of repeats; each is given the benefit of the doubt: with what users have seen in its lists
    or without, whichever earns more.

    Returns:
        Metrics by name of the baseline.
    """
    popular = PopularityFitter(PopularityConfig(), seed=seed).fit(split.training)
    scores = {
        "popularity": by_scorer(popular, split.histories),
        "sequence-rules": SequenceRules.fit(split.training).scores(split.histories),
    }
    found = {}
    for name, of_baseline in scores.items():
        both = [_measure(of_baseline, split, exclude_seen=choice) for choice in (False, True)]
        found[name] = published(max(both, key=lambda metrics: metrics[_JUDGED_BY]))
    return found


def _measure(scores: CatalogueScores, split: Split, *, exclude_seen: bool = False) -> dict[str, float]:
    n_items = split.training.n_items
    lists = top_items(scores, n_items=n_items, histories=split.histories, limit=LIST_LENGTH, exclude_seen=exclude_seen)
    return personalize_metrics(lists, relevant=split.relevant, n_items=n_items)
