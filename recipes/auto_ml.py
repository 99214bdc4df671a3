"""What AutoML chooses among, and by which metrics: data without code, as the catalog.

All of these answer GetRecommendations for a user alone, and are measured in the same way on the same users.
"""

from __future__ import annotations

from typing import Final

__all__ = ["AUTO_ML_METRICS", "AUTO_ML_RECIPES", "DEFAULT_AUTO_ML_METRIC", "default_candidates"]

#: Names of recipes, those that are simpler and quicker to train first: where two are as good as each other, the first
#: is chosen.
AUTO_ML_RECIPES: Final = (
    "aws-popularity-count",
    "tailorbird-ials",
    "aws-hrnn",
    "aws-hrnn-metadata",
    "aws-hrnn-coldstart",
    "aws-user-personalization",
    "aws-user-personalization-v2",
)

#: Of the recipes above those that are tried where the caller names none: Personalize considers recipes of the type
#: USER_PERSONALIZATION.
_DEFAULTS: Final = ("aws-hrnn", "aws-user-personalization", "aws-user-personalization-v2")
#: Tried too where items or users have columns; without them it is aws-hrnn once more.
_WITH_COLUMNS: Final = "aws-hrnn-metadata"

#: The metric that decides where the caller names none. Personalize's own NDCG falls when a list gains a further hit far
#: down; see docs/evaluation.md.
DEFAULT_AUTO_ML_METRIC: Final = "standard_normalized_discounted_cumulative_gain_at_25"

#: Metrics that may decide: those that every user has, so that recipes can be compared user by user.
AUTO_ML_METRICS: Final = (
    "mean_reciprocal_rank_at_25",
    *(
        f"{name}_at_{cut}"
        for name in (
            "normalized_discounted_cumulative_gain",
            "precision",
            "standard_normalized_discounted_cumulative_gain",
            "recall",
        )
        for cut in (5, 10, 25)
    ),
)


def default_candidates(*, has_columns: bool) -> tuple[str, ...]:
    """Return the recipes that are tried where the caller names none, in the order of `AUTO_ML_RECIPES`.

    Args:
        has_columns: Whether there are datasets of items or users.
    """
    names = {*_DEFAULTS, _WITH_COLUMNS} if has_columns else set(_DEFAULTS)
    return tuple(name for name in AUTO_ML_RECIPES if name in names)
