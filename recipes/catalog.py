"""All recipes, told once for the control plane, the trainer, the runtime and the documentation: data without code.

A recipe's algorithm is the folder under `recipes/models` that its paths name. `recipes.registry` loads it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Final

from common.errors import ResourceNotFound
from recipes.spec import Domain, HyperParameter, RecipeKind, RecipeSpec

__all__ = [
    "ACTION_PROPENSITY",
    "COOCCURRENCE",
    "COOCCURRENCE_FEATURES",
    "EASE",
    "GRU",
    "GRU_COLDSTART_FEATURES",
    "GRU_FEATURES",
    "IALS",
    "LARGE_GRU",
    "RECIPES",
    "SASREC",
    "SEQUENCE",
    "TRENDING",
    "USER_SEGMENTS",
    "get_recipe",
]

#: How every network learns. Tailorbird's own, meant for experiments; every default is meant to be left alone.
SEQUENCE: Final = {
    "max_length": HyperParameter("integer", 100, "Newest items that the network reads.", low=2, high=1000),
    "dropout": HyperParameter(
        "float",
        None,
        "Share of activations dropped while learning; by default 0.2 to 0.4, the more the fewer interactions items "
        "have.",
        low=0,
        high=0.9,
    ),
    "learning_rate": HyperParameter("float", 0.002, "Step size of Adam.", low=0, high=0.1, above=True),
    "batch_size": HyperParameter(
        "integer",
        None,
        "Longest sequences in one step; by default 8 to 48, or 128 with sampled items, as the data are large.",
        low=1,
        high=4096,
    ),
    "epochs": HyperParameter("integer", 100, "Passes over the data at most.", low=1, high=10_000),
    # Fewer stop at a figure that was high by chance: with 4, one of three seeds on Amazon Beauty ended 5 % lower.
    "patience": HyperParameter("integer", 6, "Validations without a gain before stopping.", low=1),
    "full_softmax_items": HyperParameter(
        "integer", 5_000, "Catalogues up to this size are learnt with the full softmax, larger ones sampled.", low=0
    ),
    "sampled_items": HyperParameter("integer", 2048, "Items sampled for one step of the sampled softmax.", low=1),
    "validation_targets": HyperParameter(
        "integer",
        2048,
        "Newest steps of users that are held out, to decide when to stop and how to blend.",
        low=1,
    ),
    "time_limit_seconds": HyperParameter(
        "float",
        None,
        "Seconds after which no further epoch begins. A limit that is reached makes the result depend on the speed of "
        "the machine.",
        low=0,
        above=True,
    ),
}
#: Personalize has `apply_recency_bias` alone.
SASREC: Final = {
    "apply_recency_bias": HyperParameter(
        "boolean", True, "Weigh the newest interactions up to twice as much as the oldest when learning."
    ),
    "embedding_size": HyperParameter("integer", 64, "Width of the network.", low=8, high=512, step=8),
    "layers": HyperParameter("integer", 2, "Transformer blocks.", low=1, high=8),
    "heads": HyperParameter("integer", 1, "Attention heads; must divide `embedding_size`.", low=1, high=16),
    **SEQUENCE,
}
GRU: Final = {
    "hidden_dimension": HyperParameter("integer", 43, "Width of the network.", low=32, high=256, tunable=True),
    "bptt": HyperParameter("integer", 32, "Steps that gradients flow back in time.", low=2, high=32, tunable=True),
    "recency_mask": HyperParameter(
        "boolean",
        True,
        "Weigh the newest interactions more, in what is learnt and in what is popular.",
        tunable=True,
    ),
    **SEQUENCE,
}
LARGE_GRU: Final = GRU | {"hidden_dimension": replace(GRU["hidden_dimension"], default=149)}
GRU_FEATURES: Final = {
    "min_user_history_length_percentile": HyperParameter(
        "float", 0.0, "Users with shorter histories are left out of the training; 0: nobody.", low=0, high=1
    ),
    "max_user_history_length_percentile": HyperParameter(
        "float", 0.99, "Users with longer histories are left out of the training; 1: nobody.", low=0, high=1
    ),
}
GRU_COLDSTART_FEATURES: Final = {
    **GRU_FEATURES,
    "cold_start_max_interactions": HyperParameter("integer", 15, "Interactions of a cold item at most.", low=1),
    "cold_start_max_duration": HyperParameter("float", 5.0, "Age of a cold item at most, in days.", low=0, above=True),
    "cold_start_relative_from": HyperParameter(
        "text",
        "latestItem",
        "When a cold item's age ends: when the newest item was created, or now.",
        choices=("latestItem", "currentTime"),
    ),
}
COOCCURRENCE: Final = {
    "popularity_discount_factor": HyperParameter(
        "float",
        0.5,
        "Power of both items' popularity that common users are divided by. With 0 an item's most popular companions "
        "come first, with 0.5 those of highest cosine, with 1 those that are used together more often than chance has "
        "it, however rare.",
        low=0,
        high=1,
        tunable=True,
    ),
    "min_cointeraction_count": HyperParameter(
        "integer", 3, "Users that two items must have in common.", low=0, high=10, tunable=True
    ),
}
COOCCURRENCE_FEATURES: Final = {
    "min_user_history_length_percentile": HyperParameter(
        "float", 0.005, "Users with shorter histories are left out; 0: nobody.", low=0, high=1
    ),
    "max_user_history_length_percentile": HyperParameter(
        "float", 0.995, "Users with longer histories are left out; 1: nobody.", low=0, high=1
    ),
    "min_item_interaction_count_percentile": HyperParameter(
        "float", 0.01, "Items with fewer interactions get no neighbours and are none.", low=0, high=1
    ),
    "max_item_interaction_count_percentile": HyperParameter(
        "float", 0.9, "Items with more interactions get no neighbours and are none.", low=0, high=1
    ),
}
EASE: Final = {
    "popularity_discount_factor": HyperParameter(
        "float",
        0.0,
        "Power of a neighbour's popularity that its weight is divided by. The regression's weights with 0 predict "
        "best; towards 1 rare neighbours come first.",
        low=0,
        high=1,
    ),
    "item_id_hidden_dim": HyperParameter(
        "integer",
        100,
        "Width of what is learnt from interactions: in catalogues that are too large to solve exactly, an item is "
        "regressed on twice as many of its closest companions. No effect in smaller ones, which are solved on all "
        "items.",
        low=30,
        high=200,
        tunable=True,
    ),
    "item_metadata_hidden_dim": HyperParameter(
        "integer",
        100,
        "Coordinates of the vectors that items' columns are turned into. No effect without such columns.",
        low=30,
        high=200,
        tunable=True,
    ),
}
TRENDING: Final = {
    "trend_discovery_frequency": HyperParameter(
        "text",
        "2 hours",
        "Length of the intervals that are compared.",
        choices=("30 minutes", "1 hour", "2 hours", "3 hours", "1 day"),
    )
}
ACTION_PROPENSITY: Final = {
    "action_optimization_period": HyperParameter(
        "integer",
        14,
        "Days within which an action that was shown must be taken to count as taken.",
        low=7,
        high=28,
    )
}
USER_SEGMENTS: Final = {
    "hidden_dimension": HyperParameter("integer", 149, "Width of the vectors of users and items.", low=32, high=256)
}
#: Tailorbird's own, of an experiment.
IALS: Final = {
    "embedding_size": HyperParameter("integer", 64, "Width of the vectors of users and items.", low=8, high=512),
    "regularization": HyperParameter(
        "float", 0.01, "How strongly vectors are held to 0, by how often a user or an item occurs.", low=0, above=True
    ),
    "unobserved_weight": HyperParameter(
        "float", 0.3, "How much a pair of a user and an item that was not used counts.", low=0, high=1, above=True
    ),
    "epochs": HyperParameter("integer", 16, "Passes over users and items.", low=1, high=1000),
    "validation_targets": HyperParameter(
        "integer",
        2048,
        "Newest steps of users that are held out, by which the scale of scores and repeats are learnt.",
        low=1,
    ),
}

_USER_PERSONALIZATION_V2: Final = RecipeSpec(
    "aws-user-personalization-v2",
    RecipeKind.USER_PERSONALIZATION,
    "Learns which items come next from the order of each user's interactions; events count at once.",
    config="recipes.models.sasrec.config:SASRecConfig",
    fitter="recipes.models.sasrec.fit:SASRecFitter",
    scorer="recipes.models.sasrec.score:load",
    hyper_parameters=SASREC,
    side_data=frozenset({"context", "users"}),
    exploration="managed",
    solution_options=frozenset({"eventsConfig"}),
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
    scorer="recipes.components.item_neighbors:load",
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
        required_datasets=("ITEMS",),
        retrained_on="ITEMS",
        solution_options=frozenset({"performIncrementalUpdate"}),
        campaign_options=frozenset({"rankingInfluence"}),
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
        # Of the service's own ways and those of campaigns, recommenders have the latter.
        exploration="none" if like.exploration == "none" else "configured",
        hyper_parameters={},
        feature_parameters={},
        solution_options=frozenset(),
        campaign_options=frozenset(),
        feature_transformation=None,
        published=_DOMAINS_PUBLISHED,
    )


def _baskets(name: str, description: str, *, event_type: str, fitter: str, names_user: bool) -> RecipeSpec:
    """Declare a use case that learns from baskets or sessions in the place of users."""
    return replace(
        _use_case(name, "ECOMMERCE", description, _SIMILAR_ITEMS, event_type=event_type, names_user=names_user),
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
    ),
    _use_case(
        "aws-ecomm-recommended-for-you",
        "ECOMMERCE",
        "Items for a user; events count at once.",
        _USER_PERSONALIZATION_V2,
    ),
    _use_case(
        "aws-vod-because-you-watched-x",
        "VIDEO_ON_DEMAND",
        "Videos that viewers of a video watch too.",
        _SIMILAR_ITEMS,
        event_type="Watch",
    ),
    replace(
        _use_case("aws-vod-more-like-x", "VIDEO_ON_DEMAND", "Videos that are like a video.", _SIMILAR_ITEMS),
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
        "aws-vod-top-picks", "VIDEO_ON_DEMAND", "Videos for a user; events count at once.", _USER_PERSONALIZATION_V2
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
