"""The hyperparameters and feature parameters of all recipes: what they mean, their defaults and bounds, as data.

Configurations of algorithms take their defaults and bounds from here, and the catalog says which recipe has which.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from recipes.spec import HyperParameter

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
    "SASREC",
    "SEQUENCE",
    "TRENDING",
    "USER_SEGMENTS",
]

#: How every network learns. Tailorbird's own, meant for experiments; every default is meant to be left alone.
SEQUENCE: Final = {
    "max_length": HyperParameter("integer", 100, "Newest items that the network reads.", low=2, high=1000),
    "dropout": HyperParameter(
        "float",
        None,
        "Share of activations dropped while learning; by default 0.2 to 0.4, the more the fewer interactions users "
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
    "patience": HyperParameter("integer", 6, "Validations without a gain of 0.3 % before stopping.", low=1),
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
