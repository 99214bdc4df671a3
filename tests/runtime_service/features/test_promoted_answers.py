"""Filters, promotions, exploration and automatic filters together: brute force says what may be in an answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from inference.result import EXPLORED, PROMOTED
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from recipes.components.item_age import ItemAges
from tests.common.filters import oracle
from tests.runtime_service.features.running import filter_arn, group_message
from tests.runtime_service.features.test_filtered_answers import USER, World, drawn_filter
from tests.runtime_service.servicers.wire import ids
from tests.runtime_service.world import N_ITEMS, campaign, item

TOP_PICKS = "aws-vod-top-picks"
#: More than there are.
ALL = 2 * N_ITEMS


@pytest.fixture(scope="module")
def kinds(runtime):
    """Give what is served: by name the model, and the recipe where that is another one's."""
    old = np.where(np.arange(N_ITEMS) % 3 == 0, 0, -(10**8))
    explored = replace(runtime.models["personal"], ages=ItemAges(old, np.zeros(N_ITEMS, np.int64), 0))
    runtime.models["explored"] = explored
    return {
        "personal": ("personal", ""), "explored": ("explored", ""), "popular": ("popular", ""),
        "picks": ("personal", TOP_PICKS),
    }  # fmt: skip


def chains_of(drawn, count):
    """Draw filters of items that read no current item."""
    chains = []
    while len(chains) < count:
        target, chain, values = drawn_filter(drawn)
        text = oracle.written(drawn.random, target, chain)
        if "CURRENTITEM" not in text.upper():
            chains.append((text, chain, {name: oracle.literal(value) for name, value in values.items()}, values))
    return chains


def check(answer, *, passing, promotable, in_order, limit, percent, is_explored):
    """Compare an answer with what brute force chooses from a whole list."""
    promoted = [one.item_id for one in answer.item_list if one.promotion_name]
    others = [one.item_id for one in answer.item_list if not one.promotion_name]
    expected = [name for name in in_order if name in promotable][: max(1, int(percent / 100 * limit + 0.5))]
    left = [name for name in in_order if name in passing and name not in expected]
    assert promoted == expected
    assert len(others) == min(limit - len(expected), len(left))
    assert len({*promoted, *others}) == len(answer.item_list)
    if is_explored:
        assert set(others) <= set(left)
    else:
        assert others == left[: limit - len(expected)]


def check_words(answer, *, explains):
    """Check that what stands beside items agrees with why they are there."""
    for one in answer.item_list:
        if explains:
            assert (PROMOTED in one.reason) == bool(one.promotion_name)
            assert one.HasField("score") == (EXPLORED not in one.reason)
            assert 0.0 <= one.score <= 1.0
        else:
            assert not one.reason
            assert not one.HasField("score")


@settings(
    max_examples=25,
    deadline=None,
    derandomize=True,
    phases=[Phase.generate],  # a smaller seed draws nothing simpler
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(st.integers(0, 2**63))
def test_promoted_and_explored_items_pass_their_filters_and_answers_are_full(runtime, kinds, seed):
    drawn = oracle.Generator(seed)
    world = World(runtime, drawn)
    chains = chains_of(drawn, 3)
    names = {name: runtime.serve(model, world.group, recipe=recipe) for name, (model, recipe) in kinds.items()}
    runtime.deployments.find(campaign(names["explored"])).pipeline.explorer.share = 1.0
    texts = {f"f{place}": chain[0] for place, chain in enumerate(chains)}
    runtime.assign(group_message(world.group, world.locations, texts))
    runtime.wait_for_puts(world.group, "ITEMS", world.last)
    passing = [world.passing(chain, values, None) for _, chain, _, values in chains]
    for name, campaign_name in names.items():
        whole_of = names["personal"] if name == "explored" else campaign_name
        in_order = ids(runtime.recommend(whole_of, user_id=USER, num_results=ALL))
        for place in range(len(chains)):
            other = (place + 1) % len(chains)
            limit, percent = drawn.random.randint(1, N_ITEMS), drawn.random.randint(1, 100)
            promotion = messages.Promotion(
                name="p", percent_promoted_items=percent, filter_arn=filter_arn(f"f{other}"),
                filter_values=chains[other][2],
            )  # fmt: skip
            answer = runtime.recommend(
                campaign_name, user_id=USER, num_results=limit, filter_arn=filter_arn(f"f{place}"),
                filter_values=chains[place][2], promotions=[promotion],
            )  # fmt: skip
            check(
                answer, passing=passing[place], promotable=passing[other], in_order=in_order, limit=limit,
                percent=percent, is_explored=name == "explored",
            )  # fmt: skip
            check_words(answer, explains=name in ("personal", "explored"))


def test_an_explored_item_passes_the_filter_where_every_place_is_explored(runtime, kinds):
    group = "arn:aws:personalize:us-east-1:000000000000:dataset-group/explored"
    name = runtime.serve(kinds["explored"][0], group)
    runtime.deployments.find(campaign(name)).pipeline.explorer.share = 1.0
    runtime.assign(group_message(group, {}, {"unseen": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")'}))
    runtime.send(group, "explorer", item(0), "click")
    runtime.send(group, "explorer", item(3), "click")

    answer = runtime.recommend(name, user_id="explorer", num_results=5, filter_arn=filter_arn("unseen"))

    assert len(answer.item_list) == 5
    explored = {one.item_id for one in answer.item_list if EXPLORED in one.reason}
    assert explored
    assert explored <= {item(number) for number in range(6, N_ITEMS, 3)}
