"""All recipes, told once for the control plane, the trainer, the runtime and the documentation: data without code.

A recipe's algorithm is the folder under `recipes/models` that its paths name. `recipes.registry` loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from common.errors import ResourceNotFound
from recipes.hyper_parameters import (
    ACTION_PROPENSITY,
    COOCCURRENCE,
    COOCCURRENCE_FEATURES,
    EASE,
    GRU,
    GRU_COLDSTART_FEATURES,
    GRU_FEATURES,
    IALS,
    LARGE_GRU,
    SASREC,
    TRENDING,
    USER_SEGMENTS,
)
from recipes.spec import Domain, RecipeKind, RecipeSpec

__all__ = ["RECIPES", "get_recipe"]

_USER_PERSONALIZATION_V2: Final = RecipeSpec(
    "aws-user-personalization-v2",
    RecipeKind.USER_PERSONALIZATION,
    "Learns which items come next from the order of each user's interactions; events count at once.",
    config="recipes.models.sasrec.config:SASRecConfig",
    fitter="recipes.models.sasrec.fit:SASRecFitter",
    scorer="recipes.models.sasrec.score:load",
    encodes_new_items=True,
    hyper_parameters=SASREC,
    side_data=frozenset({"context", "users"}),
    exploration="managed",
    solution_options=frozenset({"eventsConfig"}),
    metadata_by_default=True,
    returns_reasons=True,
    published=datetime(2024, 1, 1, tzinfo=UTC),
)
_POPULARITY: Final = RecipeSpec(
    "aws-popularity-count",
    RecipeKind.POPULAR_ITEMS,
    "Ranks items by the number of different users who interacted with them; a baseline for the others.",
    config="recipes.models.popularity.config:PopularityConfig",
    fitter="recipes.models.popularity.fit:PopularityFitter",
    scorer="recipes.models.popularity.score:load",
    feature_transformation="sims",
)
_USER_PERSONALIZATION: Final = RecipeSpec(
    "aws-user-personalization",
    RecipeKind.USER_PERSONALIZATION,
    "Learns which items come next from interactions' order and items' columns; events count at once.",
    config="recipes.models.gru.config:LargeGRUConfig",
    fitter="recipes.models.gru.fit:make_text_fitter",
    scorer="recipes.models.gru.score:load",
    encodes_new_items=True,
    hyper_parameters=LARGE_GRU,
    feature_parameters=GRU_FEATURES,
    side_data=frozenset({"context", "users"}),
    exploration="configured",
    solution_options=frozenset({"optimizationObjective", "UPDATE"}),
)
_HRNN: Final = RecipeSpec(
    "aws-hrnn",
    RecipeKind.USER_PERSONALIZATION,
    "Learns which items come next by a recurrent network over interactions alone.",
    config="recipes.models.gru.config:GRUConfig",
    fitter="recipes.models.gru.fit:GRUFitter",
    scorer="recipes.models.gru.score:load",
    encodes_new_items=True,
    hyper_parameters=GRU,
    feature_parameters=GRU_FEATURES,
    feature_transformation="JSON-percentile-filtering",
)
_HRNN_METADATA: Final = replace(
    _HRNN,
    name="aws-hrnn-metadata",
    description="Learns which items come next by a recurrent network over interactions and items' columns.",
    fitter="recipes.models.gru.fit:make_metadata_fitter",
    side_data=frozenset({"context", "users"}),
    feature_transformation="featurize_metadata",
)
_TRENDING: Final = RecipeSpec(
    "aws-trending-now",
    RecipeKind.TRENDING_ITEMS,
    "Ranks items by how much their interactions increase from one interval to the next; events count within seconds, "
    "without a training.",
    config="recipes.models.trending.config:TrendingConfig",
    fitter="recipes.models.trending.fit:TrendingFitter",
    scorer="recipes.models.trending.score:load",
    feature_parameters=TRENDING,
    reads_event_values=False,
    algorithm="aws-trending-now-custom",
)
_SIMILAR_ITEMS: Final = RecipeSpec(
    "aws-similar-items",
    RecipeKind.RELATED_ITEMS,
    "Finds items that predict each other best in users' interactions, by a regression in closed form.",
    config="recipes.models.ease.config:EASEConfig",
    fitter="recipes.models.ease.fit:EASEFitter",
    scorer="recipes.models.ease.score:load",
    encodes_new_items=True,
    hyper_parameters=EASE,
    batch_options=frozenset({"THEME_GENERATION"}),
)
_ITEM_AFFINITY: Final = RecipeSpec(
    "aws-item-affinity",
    RecipeKind.USER_SEGMENTATION,
    "Finds the users who are most likely to interact with an item, for segments.",
    config="recipes.models.user_segments.config:SegmentsConfig",
    fitter="recipes.models.user_segments.fit:ItemAffinityFitter",
    scorer="recipes.models.user_segments.score:load_segments",
    hyper_parameters=USER_SEGMENTS,
    feature_transformation="item-affinity",
    published=datetime(2021, 7, 15, tzinfo=UTC),
)

#: Recipes of custom solutions.
_CUSTOM: Final = (
    _USER_PERSONALIZATION_V2,
    _POPULARITY,
    _USER_PERSONALIZATION,
    _HRNN,
    _HRNN_METADATA,
    replace(
        _HRNN_METADATA,
        name="aws-hrnn-coldstart",
        description="As aws-hrnn-metadata, and knows new items by their columns alone.",
        config="recipes.models.gru.config:GRUColdstartConfig",
        fitter="recipes.models.gru.fit:make_coldstart_fitter",
        hyper_parameters=LARGE_GRU,
        feature_parameters=GRU_COLDSTART_FEATURES,
        feature_transformation="featurize_coldstart",
        solution_options=frozenset({"UPDATE"}),
    ),
    _TRENDING,
    replace(
        _USER_PERSONALIZATION_V2,
        name="aws-personalized-ranking-v2",
        kind=RecipeKind.PERSONALIZED_RANKING,
        description="Puts given items into the order that fits a user, learnt as by aws-user-personalization-v2.",
        exploration="none",
        returns_reasons=False,
    ),
    replace(
        _USER_PERSONALIZATION,
        name="aws-personalized-ranking",
        kind=RecipeKind.PERSONALIZED_RANKING,
        description="Puts given items into the order that fits a user, learnt as by aws-user-personalization.",
        exploration="none",
        solution_options=frozenset({"optimizationObjective"}),
        feature_transformation="JSON-percentile-filtering",
    ),
    RecipeSpec(
        "aws-sims",
        RecipeKind.RELATED_ITEMS,
        "Finds items that the same users interact with, by counting those users.",
        config="recipes.models.cooccurrence.config:CooccurrenceConfig",
        fitter="recipes.models.cooccurrence.fit:CooccurrenceFitter",
        scorer="recipes.components.item_neighbors:load",
        hyper_parameters=COOCCURRENCE,
        feature_parameters=COOCCURRENCE_FEATURES,
        feature_transformation="sims",
    ),
    _SIMILAR_ITEMS,
    RecipeSpec(
        "aws-semantic-similarity",
        RecipeKind.SIMILAR_CONTENT,
        "Finds items whose names and texts are alike, whoever interacted with them.",
        config="recipes.models.lsa.config:LSAConfig",
        fitter="recipes.models.lsa.fit:LSAFitter",
        scorer="recipes.models.lsa.score:load",
        encodes_new_items=True,
        required_datasets=("ITEMS",),
        retrained_on="ITEMS",
        solution_options=frozenset({"performIncrementalUpdate"}),
        campaign_options=frozenset({"rankingInfluence"}),
        metadata_by_default=True,
        feature_transformation="aws-semantic-similarity",
        published=datetime(2025, 11, 30, tzinfo=UTC),
    ),
    RecipeSpec(
        "aws-next-best-action",
        RecipeKind.PERSONALIZED_ACTIONS,
        "Predicts how likely a user takes each of the actions, from items and actions of the past.",
        config="recipes.models.action_propensity.config:ActionPropensityConfig",
        fitter="recipes.models.action_propensity.fit:ActionPropensityFitter",
        scorer="recipes.models.action_propensity.score:load",
        feature_parameters=ACTION_PROPENSITY,
        retrained_on="ACTION_INTERACTIONS",
        side_data=frozenset({"users"}),
        published=datetime(2023, 8, 11, tzinfo=UTC),
    ),
    _ITEM_AFFINITY,
    replace(
        _ITEM_AFFINITY,
        name="aws-item-attribute-affinity",
        description="Finds the users who are most likely to interact with items of some attributes, for segments.",
        fitter="recipes.models.user_segments.fit:AttributeAffinityFitter",
        scorer="recipes.models.user_segments.score:load_attribute_segments",
        feature_transformation="item-attribute-affinity",
        published=datetime(2021, 8, 25, tzinfo=UTC),
    ),
    RecipeSpec(
        "tailorbird-ials",
        RecipeKind.USER_PERSONALIZATION,
        "An experiment, which Personalize does not have: vectors of users and items by alternating least squares; "
        "events count at once.",
        config="recipes.models.ials.config:IALSConfig",
        fitter="recipes.models.ials.fit:IALSFitter",
        scorer="recipes.models.ials.score:load",
        hyper_parameters=IALS,
        published=datetime(2026, 11, 28, tzinfo=UTC),
    ),
)

#: Personalize's domains were announced then.
_DOMAINS_PUBLISHED: Final = datetime(2021, 11, 29, tzinfo=UTC)


def _use_case(
    name: str,
    domain: Domain,
    description: str,
    like: RecipeSpec,
    *,
    event_type: str | None = None,
    names_user: bool = True,
    left_out: str | None = None,
) -> RecipeSpec:
    """Declare a use case of a domain: a recipe of custom solutions that is told what to learn from.

    Personalize names them after what a page shows. None has hyperparameters that solutions could set.
    """
    return replace(
        like,
        name=name,
        domain=domain,
        description=description,
        event_type=event_type,
        names_user=names_user,
        left_out_event_type=left_out,
        returns_reasons=False,
        # Of the service's own ways and those of campaigns, recommenders have the latter.
        exploration="none" if like.exploration == "none" else "configured",
        hyper_parameters={},
        feature_parameters={},
        solution_options=frozenset(),
        campaign_options=frozenset(),
        metadata_by_default=False,
        feature_transformation=None,
        published=_DOMAINS_PUBLISHED,
    )


def _baskets(
    name: str, description: str, *, event_type: str, fitter: str, names_user: bool, left_out: str | None = None
) -> RecipeSpec:
    """Declare a use case that learns from baskets or sessions in the place of users."""
    return replace(
        _use_case(
            name,
            "ECOMMERCE",
            description,
            _SIMILAR_ITEMS,
            event_type=event_type,
            names_user=names_user,
            left_out=left_out,
        ),
        config="recipes.models.baskets.config:BasketsConfig",
        fitter=f"recipes.models.baskets.fit:{fitter}",
    )


_USE_CASES: Final = (
    _use_case(
        "aws-ecomm-popular-items-by-views",
        "ECOMMERCE",
        "Most viewed: items by their viewers.",
        _POPULARITY,
        event_type="View",
    ),
    _use_case(
        "aws-ecomm-popular-items-by-purchases",
        "ECOMMERCE",
        "Best sellers: items by their buyers.",
        _POPULARITY,
        event_type="Purchase",
    ),
    _baskets(
        "aws-ecomm-frequently-bought-together",
        "Items that are bought with an item.",
        event_type="Purchase",
        fitter="BoughtTogetherFitter",
        names_user=False,
    ),
    _baskets(
        "aws-ecomm-customers-who-viewed-x-also-viewed",
        "Items that are viewed in the same visit as an item.",
        event_type="View",
        fitter="ViewedTogetherFitter",
        names_user=True,
        left_out="Purchase",
    ),
    _use_case(
        "aws-ecomm-recommended-for-you",
        "ECOMMERCE",
        "Items for a user; events count at once.",
        _USER_PERSONALIZATION_V2,
        left_out="Purchase",
    ),
    _use_case(
        "aws-vod-because-you-watched-x",
        "VIDEO_ON_DEMAND",
        "Videos that viewers of a video watch too.",
        _SIMILAR_ITEMS,
        event_type="Watch",
        left_out="Watch",
    ),
    replace(
        _use_case(
            "aws-vod-more-like-x", "VIDEO_ON_DEMAND", "Videos that are like a video.", _SIMILAR_ITEMS, left_out="Watch"
        ),
        required_datasets=("INTERACTIONS", "ITEMS"),
    ),
    _use_case("aws-vod-most-popular", "VIDEO_ON_DEMAND", "Videos by their viewers.", _POPULARITY, event_type="Watch"),
    _use_case(
        "aws-vod-trending-now",
        "VIDEO_ON_DEMAND",
        "Videos that rise most; events count within seconds.",
        _TRENDING,
        names_user=False,
    ),
    _use_case(
        "aws-vod-top-picks",
        "VIDEO_ON_DEMAND",
        "Videos for a user; events count at once.",
        _USER_PERSONALIZATION_V2,
        left_out="Watch",
    ),
)

#: Every recipe by name: those of custom solutions, then the use cases of domains.
RECIPES: Final[Mapping[str, RecipeSpec]] = {spec.name: spec for spec in (*_CUSTOM, *_USE_CASES)}


def get_recipe(name: str) -> RecipeSpec:
    """Return the declaration of a recipe.

    Raises:
        ResourceNotFound: No recipe that is built has this name.
    """
    spec = RECIPES.get(name)
    if spec is None:
        raise ResourceNotFound(f"`recipe`: got {name!r}, want one of {', '.join(sorted(RECIPES))}")
    return spec
