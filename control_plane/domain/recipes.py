"""What the control plane must know of recipes to judge requests: names, hyperparameters, what campaigns may configure.

The algorithms live elsewhere, and no process but trainer and runtime loads them. A test compares these facts with the
recipes' own declarations, so the two cannot drift apart.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, Literal

from common.arn import Arn, ArnFactory
from common.errors import invalid
from control_plane.domain.fields import does_not_exist

__all__ = ["RECIPES", "HyperParameter", "RecipeSpec", "described_recipe", "trainable_recipe"]

_MAX_DIGITS: Final = 100


@dataclass(frozen=True, slots=True)
class HyperParameter:
    """One key of `algorithmHyperParameters` or `featureTransformationParameters`; values travel as strings.

    Attributes:
        kind: How the string is read.
        low: Smallest value, None for no limit; `above` excludes it.
        high: Largest value, None for no limit.
        above: The value must be larger than `low`, not equal to it.
        step: Integers must be multiples of it.
        choices: The values that a text may have.
        tunable: Whether tuning may choose it; then it has limits.
    """

    kind: Literal["boolean", "integer", "float", "text"]
    low: float | None = None
    high: float | None = None
    above: bool = False
    step: int = 1
    choices: tuple[str, ...] = ()
    tunable: bool = False

    @property
    def want(self) -> str:
        """The range, for an error message."""
        if self.kind == "boolean":
            return "true or false"
        if self.kind == "text":
            return f"one of {', '.join(self.choices)}"
        article = "an integer" if self.kind == "integer" else "a number"
        low = "" if self.low is None else f" {'above' if self.above else 'from'} {self.low:g}"
        high = "" if self.high is None else f" to {self.high:g}"
        return f"{article}{low}{high}" + (f", a multiple of {self.step}" if self.step > 1 else "")

    def accepts(self, text: str) -> bool:
        """Whether the string is a value in range."""
        if self.kind == "boolean":
            return text.lower() in ("true", "false")
        if self.kind == "text":
            return text in self.choices
        # Every number in range is short, and Python neither reads nor compares integers of any length.
        if len(text) > _MAX_DIGITS:
            return False
        try:
            value = int(text) if self.kind == "integer" else float(text)
        except ValueError:
            return False
        if not math.isfinite(value) or (value % self.step and self.kind == "integer"):
            return False
        low_enough = self.high is None or value <= self.high
        high_enough = self.low is None or (value > self.low if self.above else value >= self.low)
        return low_enough and high_enough


@dataclass(frozen=True, slots=True)
class RecipeSpec:
    """One recipe of Personalize.

    Attributes:
        name: Last part of its ARN.
        recipe_type: Personalize's type.
        description: For DescribeRecipe.
        hyper_parameters: Keys that `algorithmHyperParameters` may hold.
        feature_parameters: Keys that `featureTransformationParameters` may hold.
        feature_transformation: Last part of the ARN of its feature transformation, None where none is known.
        configurable_exploration: Whether campaigns may set `itemExplorationConfig`.
        weighs_events: Whether solutions may set `eventsConfig`.
        counts_events: Whether it ranks by counts of what everybody did a moment ago, which hold no event values.
        takes_objective: Whether solutions may set `optimizationObjective`.
        updatable: Whether versions may be trained with the mode UPDATE.
        domain: Personalize's domain, for recipes of recommenders; None for those of solutions.
        ranking_influence: Whether campaigns may set `rankingInfluence`.
        learns_from: The dataset that a training cannot do without: interactions, or items with names and texts.
        published: When Personalize first listed it.
    """

    name: str
    recipe_type: str
    description: str = ""
    hyper_parameters: Mapping[str, HyperParameter] | None = None
    feature_parameters: Mapping[str, HyperParameter] | None = None
    feature_transformation: str | None = None
    configurable_exploration: bool = False
    weighs_events: bool = False
    counts_events: bool = False
    takes_objective: bool = False
    updatable: bool = False
    domain: Literal["ECOMMERCE", "VIDEO_ON_DEMAND"] | None = None
    ranking_influence: bool = False
    learns_from: Literal["interactions", "items"] = "interactions"
    published: datetime = datetime(2019, 6, 10, tzinfo=UTC)

    @property
    def arn(self) -> str:
        """ARN of the recipe."""
        return ArnFactory.make_global("recipe", self.name)

    @property
    def algorithm_arn(self) -> str:
        """ARN of the algorithm behind it."""
        return ArnFactory.make_global("algorithm", self.name)

    @property
    def feature_transformation_arn(self) -> str | None:
        """ARN of its feature transformation."""
        name = self.feature_transformation
        return ArnFactory.make_global("feature-transformation", name) if name else None

    @property
    def tunable_parameters(self) -> Mapping[str, HyperParameter]:
        """The keys of `algorithmHyperParameters` that tuning may choose."""
        return {name: rule for name, rule in (self.hyper_parameters or {}).items() if rule.tunable}

    def check_hyper_parameters(self, values: Mapping[str, str]) -> None:
        """Check `algorithmHyperParameters`.

        Raises:
            InvalidInput: A key that the recipe does not have, or a value out of range.
        """
        _check_parameters(
            values, self.hyper_parameters, member="algorithmHyperParameters", none="the recipe has no hyperparameters"
        )

    def check_feature_parameters(self, values: Mapping[str, str]) -> None:
        """Check `featureTransformationParameters`.

        Raises:
            InvalidInput: A key that the recipe does not have, or a value out of range.
        """
        _check_parameters(
            values, self.feature_parameters, member="featureTransformationParameters", none=f"{self.name} has none"
        )


def _check_parameters(
    values: Mapping[str, str], known: Mapping[str, HyperParameter] | None, *, member: str, none: str
) -> None:
    for key, value in values.items():
        field = f"solutionConfig.{member}.{key}"
        rule = (known or {}).get(key)
        if rule is None:
            raise invalid(field, got=key, want=f"one of {', '.join(known)}" if known else f"none: {none}")
        if not rule.accepts(value):
            raise invalid(field, got=value, want=rule.want)


#: Tailorbird's own, meant for experiments.
_SEQUENCE: Final = {
    "max_length": HyperParameter("integer", 2, 1000),
    "dropout": HyperParameter("float", 0, 0.9),
    "learning_rate": HyperParameter("float", 0, 0.1, above=True),
    "batch_size": HyperParameter("integer", 1, 4096),
    "epochs": HyperParameter("integer", 1, 10_000),
    "patience": HyperParameter("integer", 1),
    "full_softmax_items": HyperParameter("integer", 0),
    "sampled_items": HyperParameter("integer", 1),
    "validation_targets": HyperParameter("integer", 1),
    "time_limit_seconds": HyperParameter("float", 0, above=True),
}
_NETWORK: Final = {
    "apply_recency_bias": HyperParameter("boolean"),
    # Personalize has no more than the one above.
    "embedding_size": HyperParameter("integer", 8, 512, step=8),
    "layers": HyperParameter("integer", 1, 8),
    "heads": HyperParameter("integer", 1, 16),
    **_SEQUENCE,
}
_HRNN: Final = {
    "hidden_dimension": HyperParameter("integer", 32, 256, tunable=True),
    "bptt": HyperParameter("integer", 2, 32, tunable=True),
    "recency_mask": HyperParameter("boolean", tunable=True),
    **_SEQUENCE,
}

_PERCENTILE: Final = HyperParameter("float", 0, 1)
_HISTORY_LENGTHS: Final = {
    "min_user_history_length_percentile": _PERCENTILE,
    "max_user_history_length_percentile": _PERCENTILE,
}
_COLDSTART: Final = {
    **_HISTORY_LENGTHS,
    "cold_start_max_interactions": HyperParameter("integer", 1),
    "cold_start_max_duration": HyperParameter("float", 0, above=True),
    "cold_start_relative_from": HyperParameter("text", choices=("latestItem", "currentTime")),
}
_SIMS: Final = {
    "popularity_discount_factor": HyperParameter("float", 0, 1, tunable=True),
    "min_cointeraction_count": HyperParameter("integer", 0, 10, tunable=True),
}
_SIMS_FEATURES: Final = {
    **_HISTORY_LENGTHS,
    "min_item_interaction_count_percentile": _PERCENTILE,
    "max_item_interaction_count_percentile": _PERCENTILE,
}
_SIMILAR_ITEMS: Final = {
    "popularity_discount_factor": HyperParameter("float", 0, 1),
    "item_id_hidden_dim": HyperParameter("integer", 30, 200, tunable=True),
    "item_metadata_hidden_dim": HyperParameter("integer", 30, 200, tunable=True),
}

_TRENDING: Final = {
    "trend_discovery_frequency": HyperParameter("text", choices=("30 minutes", "1 hour", "2 hours", "3 hours", "1 day"))
}

_NEXT_BEST_ACTION: Final = {"action_optimization_period": HyperParameter("integer", 7, 28)}
_SEGMENTS: Final = {"hidden_dimension": HyperParameter("integer", 32, 256)}

_ALL: Final = (
    RecipeSpec(
        "aws-user-personalization-v2",
        "USER_PERSONALIZATION",
        description="Learns which items come next from the order of each user's interactions; events count at once.",
        hyper_parameters=_NETWORK,
        weighs_events=True,
        published=datetime(2024, 1, 1, tzinfo=UTC),
    ),
    RecipeSpec(
        "aws-popularity-count",
        "POPULAR_ITEMS",
        description="Ranks items by the number of different users who interacted with them; a baseline for the others.",
        feature_transformation="sims",
    ),
    RecipeSpec(
        "aws-user-personalization",
        "USER_PERSONALIZATION",
        description="Learns which items come next from interactions' order and items' columns; events count at once.",
        hyper_parameters=_HRNN,
        feature_parameters=_HISTORY_LENGTHS,
        configurable_exploration=True,
        takes_objective=True,
        updatable=True,
    ),
    RecipeSpec(
        "aws-hrnn",
        "USER_PERSONALIZATION",
        description="Learns which items come next by a recurrent network over interactions alone.",
        hyper_parameters=_HRNN,
        feature_parameters=_HISTORY_LENGTHS,
        feature_transformation="JSON-percentile-filtering",
    ),
    RecipeSpec(
        "aws-hrnn-metadata",
        "USER_PERSONALIZATION",
        description="Learns which items come next by a recurrent network over interactions and items' columns.",
        hyper_parameters=_HRNN,
        feature_parameters=_HISTORY_LENGTHS,
        feature_transformation="featurize_metadata",
    ),
    RecipeSpec(
        "aws-hrnn-coldstart",
        "USER_PERSONALIZATION",
        description="As aws-hrnn-metadata, and knows new items by their columns alone.",
        hyper_parameters=_HRNN,
        feature_parameters=_COLDSTART,
        feature_transformation="featurize_coldstart",
        updatable=True,
    ),
    RecipeSpec(
        "aws-trending-now",
        "POPULAR_ITEMS",
        description="Ranks items by how much their interactions increase from one interval to the next; events count "
        "within seconds, without a training.",
        counts_events=True,
        hyper_parameters={},
        feature_parameters=_TRENDING,
    ),
    RecipeSpec(
        "aws-personalized-ranking-v2",
        "PERSONALIZED_RANKING",
        description="Puts given items into the order that fits a user, learnt as by aws-user-personalization-v2.",
        hyper_parameters=_NETWORK,
        weighs_events=True,
        published=datetime(2024, 1, 1, tzinfo=UTC),
    ),
    RecipeSpec(
        "aws-personalized-ranking",
        "PERSONALIZED_RANKING",
        description="Puts given items into the order that fits a user, learnt as by aws-user-personalization.",
        hyper_parameters=_HRNN,
        feature_parameters=_HISTORY_LENGTHS,
        feature_transformation="JSON-percentile-filtering",
        takes_objective=True,
    ),
    RecipeSpec(
        "aws-sims",
        "RELATED_ITEMS",
        description="Finds items that the same users interact with, by counting those users.",
        hyper_parameters=_SIMS,
        feature_parameters=_SIMS_FEATURES,
        feature_transformation="sims",
    ),
    RecipeSpec(
        "aws-similar-items",
        "RELATED_ITEMS",
        description="Finds items that predict each other best in users' interactions, by a regression in closed form.",
        hyper_parameters=_SIMILAR_ITEMS,
    ),
    RecipeSpec(
        "aws-semantic-similarity",
        "RELATED_ITEMS",
        description="Finds items whose names and texts are alike, whoever interacted with them.",
        feature_transformation="aws-semantic-similarity",
        ranking_influence=True,
        learns_from="items",
        published=datetime(2025, 11, 30, tzinfo=UTC),
    ),
    RecipeSpec(
        "aws-next-best-action",
        "PERSONALIZED_ACTIONS",
        description="Predicts how likely a user takes each of the actions, from items and actions of the past.",
        hyper_parameters={},
        feature_parameters=_NEXT_BEST_ACTION,
        published=datetime(2023, 8, 11, tzinfo=UTC),
    ),
    RecipeSpec(
        "aws-item-affinity",
        "USER_SEGMENTATION",
        description="Finds the users who are most likely to interact with an item, for segments.",
        hyper_parameters=_SEGMENTS,
        feature_transformation="item-affinity",
        published=datetime(2021, 7, 15, tzinfo=UTC),
    ),
    RecipeSpec(
        "aws-item-attribute-affinity",
        "USER_SEGMENTATION",
        description="Finds the users who are most likely to interact with items of some attributes, for segments.",
        hyper_parameters=_SEGMENTS,
        feature_transformation="item-attribute-affinity",
        published=datetime(2021, 8, 25, tzinfo=UTC),
    ),
)

#: Personalize's domains were announced then.
_DOMAINS_PUBLISHED: Final = datetime(2021, 11, 29, tzinfo=UTC)


def _of_domain(
    domain: Literal["ECOMMERCE", "VIDEO_ON_DEMAND"], use_cases: Mapping[str, tuple[str, str]]
) -> tuple[RecipeSpec, ...]:
    """Return the recipes of a domain's use cases, given their types and descriptions."""
    return tuple(
        RecipeSpec(name, recipe_type, description=description, domain=domain, published=_DOMAINS_PUBLISHED)
        for name, (recipe_type, description) in use_cases.items()
    )


_USE_CASES: Final = (
    *_of_domain(
        "ECOMMERCE",
        {
            "aws-ecomm-popular-items-by-views": ("POPULAR_ITEMS", "Most viewed: items by their viewers."),
            "aws-ecomm-popular-items-by-purchases": ("POPULAR_ITEMS", "Best sellers: items by their buyers."),
            "aws-ecomm-frequently-bought-together": ("RELATED_ITEMS", "Items that are bought with an item."),
            "aws-ecomm-customers-who-viewed-x-also-viewed": (
                "RELATED_ITEMS",
                "Items that are viewed in the same visit as an item.",
            ),
            "aws-ecomm-recommended-for-you": ("USER_PERSONALIZATION", "Items for a user; events count at once."),
        },
    ),
    *_of_domain(
        "VIDEO_ON_DEMAND",
        {
            "aws-vod-because-you-watched-x": ("RELATED_ITEMS", "Videos that viewers of a video watch too."),
            "aws-vod-more-like-x": ("RELATED_ITEMS", "Videos that are like a video."),
            "aws-vod-most-popular": ("POPULAR_ITEMS", "Videos by their viewers."),
            "aws-vod-trending-now": ("POPULAR_ITEMS", "Videos that rise most; events count within seconds."),
            "aws-vod-top-picks": ("USER_PERSONALIZATION", "Videos for a user; events count at once."),
        },
    ),
)

#: Every recipe of Personalize.
RECIPES: Final = {recipe.name: recipe for recipe in (*_ALL, *_USE_CASES)}


def described_recipe(arn: str) -> RecipeSpec:
    """Return a recipe, of solutions or of recommenders.

    Raises:
        InvalidInput: Not the ARN of a recipe.
        ResourceNotFound: No such recipe.
    """
    name = Arn.parse(arn, field="recipeArn", kind="recipe").name
    recipe = RECIPES.get(name)
    if recipe is None or recipe.arn != arn:
        raise does_not_exist(arn, field="recipeArn", more=f"Recipes of solutions are {_trainable()}.")
    return recipe


def trainable_recipe(arn: str) -> RecipeSpec:
    """Return the recipe that a solution asks for.

    Raises:
        InvalidInput: Not the ARN of a recipe, or of one that serves recommenders only.
        ResourceNotFound: No such recipe.
    """
    recipe = described_recipe(arn)
    if recipe.domain is not None:
        raise invalid(
            "recipeArn",
            got=arn,
            want=f"a recipe of solutions: {recipe.name} is for recommenders of {recipe.domain} only",
        )
    return recipe


def _trainable() -> str:
    return ", ".join(recipe.arn for recipe in _ALL)
