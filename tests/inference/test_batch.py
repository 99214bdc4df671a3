"""Many users at once are scored as each of them is served."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from inference.batch import catalogue_scores, embed_users, user_codes_of
from inference.model import ModelLoader
from inference.pipelines import Pipeline
from inference.stages.score import score_all
from recipes.components.context import ContextCodes, ContextTable
from recipes.components.user_features import UserFeatureTable
from recipes.data.columns import Columns
from recipes.evaluation.ranking import top_items
from tests.inference.asking import recommend
from tests.runtime_service.world import N_ITEMS, N_USERS, user


@pytest.fixture(scope="module")
def plain(shelf, tmp_path_factory):
    return ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index="exact").load("artifacts/personal")


@pytest.fixture(scope="module")
def featured(plain):
    """The same model, which has learnt something of devices and of clubs."""
    width = plain.scorer.item_vectors.shape[1] - 1
    random = np.random.default_rng(6)

    def table(name, *values):
        columns = np.array([-1, *[0] * len(values)], np.int32)
        codes = ContextCodes((name,), columns, ("", *values), np.full(len(columns), np.nan))
        vectors = random.standard_normal((len(columns), width)).astype(np.float32)
        vectors[0] = 0.0
        return ContextTable(codes, vectors)

    features = UserFeatureTable(table("CLUB", "even", "odd"), np.array([1.0, 0.5, 0.25], np.float32))
    scorer = plain.scorer.with_tables(context=table("DEVICE", "tv", "car"), user_features=features)
    codes = np.tile(np.array([[1], [2]], np.int32), (N_USERS // 2, 1))
    vectors = embed_users(scorer, plain.histories, user_codes=codes)
    return replace(plain, scorer=scorer, user_codes=codes, user_vectors=vectors)


def test_lists_of_all_users_are_those_that_each_is_served(plain):
    scores = catalogue_scores(plain.scorer, plain.histories)
    lists = top_items(scores, n_items=N_ITEMS, histories=plain.histories, limit=10)

    pipeline = Pipeline.make(plain)
    assert lists.tolist() == [recommend(pipeline, user(number)).items.tolist() for number in range(N_USERS)]


def test_scores_are_those_of_serving_with_context_and_users_columns(featured):
    devices = np.resize(np.array([1, 2, 0], np.int32), N_USERS)[:, None]
    scores = catalogue_scores(featured.scorer, featured.histories, devices, user_codes=featured.user_codes)

    users = Pipeline.make(featured).users
    served = [
        score_all(featured.scorer.item_vectors, users.with_context(users.snapshot_state(number), {"DEVICE": device}))
        for number, device in zip(range(N_USERS), ["tv", "car", "unknown"] * (N_USERS // 3), strict=True)
    ]
    np.testing.assert_allclose(scores(slice(0, N_USERS)), served, rtol=1e-4, atol=1e-4)
    np.testing.assert_array_equal(scores(slice(7, 9)), scores(slice(0, N_USERS))[7:9])
    plain_scores = catalogue_scores(featured.scorer, featured.histories)(slice(0, N_USERS))
    assert not np.allclose(plain_scores, served, atol=1e-2)


def test_embeddings_of_the_snapshot_are_those_of_one_user_at_a_time(featured):
    users = Pipeline.make(featured).users
    one_by_one = [users.embed_history(number, featured.histories.of(number)) for number in range(N_USERS)]

    np.testing.assert_allclose(featured.user_vectors, one_by_one, rtol=1e-4, atol=1e-4)


def test_model_that_has_learnt_nothing_of_users_has_no_codes_for_them(plain, popular):
    assert user_codes_of(plain.scorer, Columns(), n_users=3) is None
    assert user_codes_of(popular.scorer, Columns(), n_users=3) is None
