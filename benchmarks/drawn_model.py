"""A model in memory of which everything is drawn, nothing trained: made in a moment, where no artifact is wanted.

What serves it costs what a trained one of the same shapes would cost. Artifacts of any size, which a runtime can serve
and whose index is of use, are made by `benchmarks.planted`.

Items differ in popularity as in real catalogues (the uses of the n-th are proportional to 1 / (n + 10)), users stay
near a place of the catalogue, and rules and weights are counted from what the users did. Vectors lie around few
centres. So histories have as many different items, and their items as many followers, as the trained model of a data
set of this size; what the model recommends means nothing.
"""

from __future__ import annotations

import numpy as np

from common.positions import START
from common.vocabulary import Vocabulary
from inference.model import Model
from inference.new_items import NewItemList
from recipes.catalog import get_recipe
from recipes.components.item_age import ItemAges
from recipes.components.item_regression.limits import KEPT, MAX_ITEMS
from recipes.components.item_regression.score import ItemRegression
from recipes.components.score_fusion.score import COUNT_BUCKETS, RECENCY_BUCKETS, ScoreFusion
from recipes.components.sequence_scorer import GAP_BUCKETS
from recipes.components.sequential_rules import PLACES, SequentialRules
from recipes.data.histories import FloatArray, Histories
from recipes.models.sasrec.score import SASRecScorer

__all__ = ["EVENT_TYPES", "drawn_model"]

EVENT_TYPES = ("watch", "buy")
_RECIPE = "aws-user-personalization-v2"
_WIDTH, _LAYERS, _MAX_LENGTH, _CENTRES = 64, 2, 100, 64
#: What is drawn near a user's place, the rest is drawn by popularity alone; and how near.
_NEAR_SHARE, _NEAR = 0.5, 200
_DAY = 86_400
#: Share of the items that are new.
_NEW_SHARE = 0.01


def drawn_model(*, n_items: int, n_users: int, events: int, regression: bool = True, seed: int = 1) -> Model:
    """Make the model.

    Args:
        n_items: Items of the catalogue.
        n_users: Users of the snapshot.
        events: Of each user.
        regression: Whether there is one of items on items, if the catalogue is not too large for it.
        seed: The same seed gives the same model.
    """
    random = np.random.default_rng(seed)
    histories = _histories(random, n_items=n_items, n_users=n_users, events=events)
    scorer = _scorer(random, histories, n_items=n_items, regression=regression and n_items <= MAX_ITEMS)
    items = Vocabulary.build(f"item-{number}" for number in range(n_items))
    created = np.zeros(n_items, np.int64)
    latest = 1000 * _DAY
    created[random.choice(n_items, max(1, int(_NEW_SHARE * n_items)), replace=False)] = latest
    return Model(
        recipe=get_recipe(_RECIPE),
        scorer=scorer,
        index=None,
        scan=None,
        items=items,
        item_ids=items.ids(range(n_items)),
        users=Vocabulary.build(f"user-{number}" for number in range(n_users)),
        user_vectors=scorer.embed_histories(histories),
        histories=histories,
        event_types={name: number for number, name in enumerate(EVENT_TYPES, start=1)},
        watermark=START,
        new_items=NewItemList.behind(n_items),
        ages=ItemAges(created, np.bincount(histories.items, minlength=n_items), latest),
    )


def _histories(random: np.random.Generator, *, n_items: int, n_users: int, events: int) -> Histories:
    chances = 1.0 / (np.arange(n_items) + 10.0)
    drawn = random.choice(n_items, (n_users, events), p=chances / chances.sum())
    near = random.integers(0, n_items, (n_users, 1)) + random.integers(-_NEAR, _NEAR, (n_users, events))
    items = np.where(random.random((n_users, events)) < _NEAR_SHARE, near % n_items, drawn)
    steps = random.integers(60, _DAY, (n_users, events))
    return Histories(
        np.arange(n_users + 1, dtype=np.int64) * events,
        items.astype(np.int32).ravel(),
        random.integers(1, len(EVENT_TYPES) + 1, n_users * events).astype(np.uint8),
        np.cumsum(steps, axis=1).ravel(),
    )


def _scorer(random: np.random.Generator, histories: Histories, *, n_items: int, regression: bool) -> SASRecScorer:
    def drawn(*shape: int, scale: float = _WIDTH**-0.5) -> FloatArray:
        return (scale * random.standard_normal(shape)).astype(np.float32)

    parameters = {
        "actions": drawn(len(EVENT_TYPES) + 1, _WIDTH),
        "gaps": drawn(GAP_BUCKETS, _WIDTH),
        "start": drawn(_WIDTH),
        "attention_distances": drawn(_LAYERS, 1, _MAX_LENGTH + 1),
        "average_distances": drawn(_LAYERS, _MAX_LENGTH + 1),
        "average_gain": drawn(_LAYERS, _WIDTH),
        "attention_norm": np.ones((_LAYERS, _WIDTH), np.float32),
        "attention_in": drawn(_LAYERS, _WIDTH, 3 * _WIDTH),
        "attention_in_bias": np.zeros((_LAYERS, 3 * _WIDTH), np.float32),
        "final_norm": np.ones(_WIDTH, np.float32),
        "final_norm_bias": np.zeros(_WIDTH, np.float32),
        "forward_norm": np.ones((_LAYERS, _WIDTH), np.float32),
    }
    for name in ("attention_out", "forward_in", "forward_out"):
        parameters |= {name: drawn(_LAYERS, _WIDTH, _WIDTH), f"{name}_bias": np.zeros((_LAYERS, _WIDTH), np.float32)}
    for name in ("attention_norm_bias", "forward_norm_bias"):
        parameters[name] = np.zeros((_LAYERS, _WIDTH), np.float32)
    fusion = ScoreFusion(
        network=1.0,
        popularity=np.zeros(4, np.float32),
        rules=0.7,
        scale=0.05,
        places=(1.0 / np.arange(1, PLACES + 1)).astype(np.float32),
        recency=drawn(RECENCY_BUCKETS, len(EVENT_TYPES) + 1, scale=1.0) - 3.0,
        count=drawn(COUNT_BUCKETS, scale=0.5),
    )
    centres = drawn(_CENTRES, _WIDTH, scale=0.3)
    embeddings = centres[random.integers(0, _CENTRES, n_items)] + drawn(n_items, _WIDTH, scale=0.2)
    popularity = np.log(np.bincount(histories.items, minlength=n_items) + 0.5).astype(np.float32)
    scorer = SASRecScorer(
        fusion.item_vectors(embeddings, popularity / 4, np.zeros((4, n_items), np.float32)),
        parameters,
        heads=1,
        score_fusion=fusion,
        sequential_rules=SequentialRules.count(histories, n_items=n_items),
    )
    if not regression:
        return scorer
    # As many weights as a regression keeps; what they are, no cost hangs on.
    weights = SequentialRules.count(histories, n_items=n_items, kept=KEPT).rules
    return scorer.with_regression(ItemRegression(weights))
