"""Runs of a catalogue of given vectors, for tests of single stages."""

from __future__ import annotations

import numpy as np

from common.positions import START
from common.vocabulary import Vocabulary
from inference.candidates import EVERYTHING
from inference.model import Model
from inference.new_items import NewItemList
from inference.request import RecommendationRequest
from inference.run import PipelineRun
from inference.user_state import UserStates
from recipes.catalog import get_recipe
from recipes.data.histories import Histories
from recipes.models.popularity.score import PopularityScorer


def make_model(vectors, *, index=None, scan=None, recipe):
    """Make a model whose items have the given vectors, and which knows no user."""
    names = [f"item-{number:04}" for number in range(len(vectors))]
    no_histories = Histories.of_items(np.zeros(1, np.int64), np.empty(0, np.int32))
    return Model(
        recipe=get_recipe(recipe),
        scorer=PopularityScorer(vectors),
        index=index,
        scan=scan,
        items=Vocabulary.build(names),
        item_ids=names,
        users=Vocabulary.build([]),
        user_vectors=np.empty((0, vectors.shape[1]), np.float32),
        histories=no_histories,
        event_types={},
        watermark=START,
        new_items=NewItemList.behind(len(names)),
    )


def make_run(
    vectors,
    state,
    *,
    index=None,
    scan=None,
    recipe="aws-user-personalization-v2",
    candidates=EVERYTHING,
    limit=25,
    **members,
):
    model = make_model(vectors, index=index, scan=scan, recipe=recipe)
    request = RecommendationRequest(limit, candidates=candidates, **members)
    return PipelineRun(
        request=request,
        model=model,
        users=UserStates(model, cache_users=0),
        new_items=model.new_items.current,
        explorer=None,
        random=np.random.default_rng(1),
        state=state,
        candidates=candidates,
        limit=limit,
    )
