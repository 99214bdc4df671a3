"""What is answered in blocks of users is what each is answered alone, to the last bit."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from benchmarks.drawn_model import drawn_model
from inference.blocks import UserBlocks
from inference.candidates import Bitmap
from inference.pipelines import Pipeline
from inference.request import RecommendationRequest
from recipes.data.histories import Histories
from recipes.retrieval.lists import ListIndex, build_lists
from recipes.retrieval.scan import ScanIndex, build_scan
from recipes.retrieval.transforms import Transform
from trainer.batch.randomness import LineRandom

N_ITEMS, N_USERS, EVENTS = 1500, 90, 40


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """Make a model of users with up to 40 events; of the items each third is exactly like the one before."""
    drawn, folder = drawn_model(n_items=N_ITEMS, n_users=N_USERS, events=EVENTS), tmp_path_factory.mktemp("lists")
    vectors, users = drawn.scorer.item_vectors, drawn.user_vectors
    vectors[2::3] = vectors[1::3]
    vectors.flags.writeable = users.flags.writeable = False  # as mapped ones, or all would be compiled once more
    histories = Histories.gather([drawn.histories.of(user).newest(user % EVENTS) for user in range(N_USERS)])
    transform = Transform.fit("whitened", item_vectors=vectors, user_vectors=users)
    build_lists(vectors, users, folder, transform=transform, clusters=10, length=240, seed=1)
    build_scan(vectors, folder, user_vectors=users)
    scan = ScanIndex.open(folder, vectors)
    return replace(drawn, histories=histories, index=ListIndex.open(folder, vectors, probes=1), scan=scan)


def ask(users, limit, **members):
    return [RecommendationRequest(limit, user_id=f"user-{user}", **members) for user in users]


def answer(blocks, requests):
    """Answer requests as batch jobs do: those that blocks take together, and say how many of them it answered."""
    assert all(blocks.takes(request) for request in requests)
    joint = blocks.answer(requests, draws=LineRandom("drawn"))
    return [scored or blocks.pipeline.run(one) for scored, one in zip(joint, requests, strict=True)], len(
        [scored for scored in joint if scored is not None]
    )


@pytest.mark.parametrize(
    ("probes", "depth", "limit", "least", "most"),
    [
        (1, 500, 25, N_USERS, N_USERS),
        (3, 500, 120, N_USERS, N_USERS),
        (1, 25, 25, 1, N_USERS - 1),  # where repeats push others out, the lists are not deep enough
        (2, 500, 1, N_USERS, N_USERS),
    ],
)
def test_blocks_come_to_what_requests_come_to(model, probes, depth, limit, least, most):
    model = replace(model, ages=None, index=replace(model.index, probes=probes), index_depth=depth)
    pipeline, requests = Pipeline.make(model), ask(np.random.default_rng(3).permutation(N_USERS), limit)

    scored, n_together = answer(UserBlocks.of(pipeline, limit=limit), requests)

    assert least <= n_together <= most
    for request, one in zip(requests, scored, strict=True):
        alone = pipeline.run(request)
        assert one.items.tolist() == alone.items.tolist()
        assert (one.item_ids, one.scores) == (alone.item_ids, alone.scores)


def test_what_asks_for_more_is_not_taken(model):
    pipeline = Pipeline.make(replace(model, ages=None, index_depth=100))
    blocks = UserBlocks.of(pipeline, limit=10)

    (plain,) = ask([1], 10)
    assert blocks.takes(plain)
    some = Bitmap(np.arange(N_ITEMS) < 50)
    for members in ({"candidates": some}, {"context": {"DEVICE": "tv"}}, {"columns": {"TITLE": str}}):
        assert not blocks.takes(ask([1], 10, **members)[0])
    assert not blocks.takes(ask([1], 9)[0])
    assert not blocks.takes(replace(plain, user_id=""))
    assert blocks.answer([replace(plain, user_id="nobody")], draws=LineRandom("drawn")) == [None]


def test_models_without_lists_are_asked_one_by_one(model):
    assert UserBlocks.of(Pipeline.make(replace(model, index=None)), limit=10) is None
    assert UserBlocks.of(Pipeline.make(replace(model, index=model.scan)), limit=10) is None
    assert UserBlocks.of(Pipeline.make(replace(model, index_depth=9)), limit=10) is None
