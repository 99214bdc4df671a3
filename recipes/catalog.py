"""The declaration of a recipe: everything about it that can be known without loading its code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from recipes.config import RecipeConfig

__all__ = ["Domain", "Exploration", "Recipe", "RecipeType"]

#: Personalize's types of recipes.
RecipeType = Literal[
    "USER_PERSONALIZATION",
    "POPULAR_ITEMS",
    "PERSONALIZED_RANKING",
    "RELATED_ITEMS",
    "USER_SEGMENTATION",
    "PERSONALIZED_ACTIONS",
]

#: Personalize's domains of dataset groups.
Domain = Literal["ECOMMERCE", "VIDEO_ON_DEMAND"]

#: Who explores new items: nobody, the service by itself, or the service as campaigns say.
Exploration = Literal["none", "managed", "configured"]


@dataclass(frozen=True, slots=True)
class Recipe:
    """The declaration of a recipe: everything about it that can be known without loading its code.

    Attributes:
        name: Personalize's name, e.g. `aws-user-personalization-v2`.
        family: The folder under `recipes`.
        recipe_type: Personalize's type.
        config: The class of its hyperparameters.
        fitter: `module:attribute` of its `FitterFactory`. A path, because its module imports JAX, which serving does
            not have.
        scorer: `module:attribute` of the function that opens a saved scorer.
        returns_scores: Whether responses carry scores.
        uses_history: Whether a user's history changes the recommendations, hence whether events do at once.
        max_history: Newest interactions of a user that the scorer can make use of, more than a network reads, so that
            older items are known as repeats too; stored for every user.
        exploration: Who explores new items, if anybody.
        uses_context: Whether metadata columns of the interactions are learnt from, and requests may give them.
        uses_users: Whether the users' columns are learnt from; users who have some are known without interactions too.
        counts_events: Whether the recommendations follow from what everybody did a moment ago: a runtime then counts
            events by item and asks the scorer's `trend`; see `recipes.models.trending.score`.
        fit_metrics: Metrics that the fitter measures on newest data that it hides itself, by their names in its report;
            those of the popularity baseline stand beside them with `popularity_` in front.
        domain: For recommenders of this domain only; None for custom solutions.
        event_type: The only type of interactions that it learns from, in any case; None for all.
        needs_items: Whether there must be an Items dataset.
        learns_from: What a training cannot do without: interactions, or items with names and texts.
    """

    name: str
    family: str
    recipe_type: RecipeType
    config: type[RecipeConfig]
    fitter: str
    scorer: str
    returns_scores: bool = False
    uses_history: bool = False
    max_history: int = 1000
    exploration: Exploration = "none"
    uses_context: bool = False
    uses_users: bool = False
    counts_events: bool = False
    fit_metrics: tuple[str, ...] = ()
    domain: Domain | None = None
    event_type: str | None = None
    needs_items: bool = False
    learns_from: Literal["interactions", "items"] = "interactions"
