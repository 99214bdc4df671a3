"""What users did counts whole, for filters and for the automatic filters of use cases, from the next request on."""

from __future__ import annotations

import pytest

from common.filters import Target
from inference.used_items import EventWindow
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from runtime_service.features.user_events import UserEvents
from tests.runtime_service.features.running import SharedReader, filter_arn, group_message, publish_rows
from tests.runtime_service.servicers.wire import ids, ranked_ids
from tests.runtime_service.world import N_ITEMS, campaign, item, two_tastes, user

GROUP = "arn:aws:personalize:us-east-1:000000000000:dataset-group/used"
FILTERS = {
    "unclicked": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click")',
    "clicked": 'INCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("click")',
    "even": 'INCLUDE ItemID WHERE Items.T1 = "even"',
    "odd": 'INCLUDE ItemID WHERE Items.T1 = "odd"',
}
EVERYTHING = {item(number) for number in range(N_ITEMS)}
TOP_PICKS, FOR_YOU, MORE_LIKE = "aws-vod-top-picks", "aws-ecomm-recommended-for-you", "aws-vod-more-like-x"


@pytest.fixture(scope="module")
def names(runtime):
    rows = {item(n): {"T1": ("even", "odd")[n % 2], "T2": None, "I": n, "F": None} for n in range(N_ITEMS)}
    offset, epoch = runtime.writer.next_offset() - 1, runtime.writer.lineage().current
    place = publish_rows(runtime.store, "used", "ITEMS", rows, offset=offset, epoch=epoch)
    served = {model: runtime.serve(model, GROUP) for model in ("personal", "ranking")}
    served[TOP_PICKS] = runtime.serve("personal", GROUP, recipe=TOP_PICKS)
    served[FOR_YOU] = runtime.serve("personal", GROUP, recipe=FOR_YOU)
    served[MORE_LIKE] = runtime.serve("related", GROUP, recipe=MORE_LIKE)
    runtime.assign(group_message(GROUP, {"ITEMS": place}, FILTERS))
    return served


@pytest.fixture
def recommended(runtime, names):
    def run(model, user_id, **members):
        return ids(runtime.recommend(names[model], user_id=user_id, num_results=N_ITEMS, **members))

    return run


def watched(number):
    """Return what a user watched until the training."""
    data = two_tastes()
    rows = data.interactions
    chosen = (rows.user == number) & (rows.event_type == 1)
    return {item(what) for what in rows.item[chosen].tolist()}


def test_filters_know_events_that_models_do_not_learn_from(recommended):
    clicked = recommended("personal", user(3), filter_arn=filter_arn("clicked"))
    unclicked = recommended("personal", user(3), filter_arn=filter_arn("unclicked"))

    assert clicked == [item(0)]
    assert set(unclicked) == EVERYTHING - {item(0)}


def test_filters_know_items_that_models_do_not(runtime, names):
    listed = [item(1), "gone", "never-seen"]

    ranked = runtime.rank(names["ranking"], listed, user_id=user(3), filter_arn=filter_arn("unclicked"))

    assert ranked_ids(ranked) == [item(1), "never-seen"]


@pytest.mark.parametrize(("recipe", "left_out"), [(TOP_PICKS, watched(3)), (FOR_YOU, {item(25)})])
def test_use_cases_leave_out_what_the_user_has_used_in_the_way_that_they_name(recommended, recipe, left_out):
    assert set(recommended(recipe, user(3))) == EVERYTHING - left_out


def test_related_videos_are_unwatched_ones_also_for_guests_whom_the_model_does_not_know(recommended):
    assert set(recommended(MORE_LIKE, "guest", item_id=item(3))) == EVERYTHING - {item(3), item(7)}
    assert set(recommended(MORE_LIKE, user(3), item_id=item(3))) == EVERYTHING - {item(3)} - watched(3)


def test_what_is_watched_now_leaves_the_next_answer(runtime, recommended):
    before = recommended(TOP_PICKS, "viewer")

    runtime.send(GROUP, "viewer", before[0], "WATCH")
    runtime.send(GROUP, "viewer", before[1], "Click")
    runtime.send(GROUP, "viewer", "unknown-video", "Watch")

    assert set(before) == EVERYTHING
    assert set(recommended(TOP_PICKS, "viewer")) == EVERYTHING - {before[0]}


def test_the_callers_filter_and_a_promotion_choose_from_what_is_left(runtime, names, recommended):
    even = {item(number) for number in range(0, N_ITEMS, 2)}
    odd = EVERYTHING - even
    promotion = messages.Promotion(name="odd-ones", percent_promoted_items=100, filter_arn=filter_arn("odd"))

    filtered = recommended(TOP_PICKS, user(3), filter_arn=filter_arn("even"))
    answer = runtime.recommend(
        names[TOP_PICKS], user_id=user(3), num_results=N_ITEMS, filter_arn=filter_arn("even"), promotions=[promotion]
    )

    assert set(filtered) == even - watched(3)
    assert {one.item_id for one in answer.item_list if one.promotion_name} == odd - watched(3)
    assert {one.item_id for one in answer.item_list if not one.promotion_name} == even - watched(3)


def test_automatic_filters_need_no_features(runtime):
    name = runtime.serve("personal", GROUP + "-without-any", recipe=TOP_PICKS)

    answer = runtime.recommend(name, user_id=user(3), num_results=N_ITEMS)

    assert set(ids(answer)) == EVERYTHING - watched(3)


def test_a_window_reads_the_newest_events_of_each_type(runtime, names):
    deployment = runtime.deployments.find(campaign(names["personal"]))
    reader = SharedReader(runtime.writer)

    def used(size):
        events = UserEvents(reader, EventWindow(items=size))
        used_items = events.find(deployment, user(5), target=Target.ITEM, types=frozenset({"watch", "buy"}))
        return {name: len(items) + len(used_items.ids.get(name, ())) for name, items in used_items.items.items()}

    everything = used(None)
    assert used(2) == {"buy": 2, "watch": 2}
    runtime.send(GROUP, user(5), item(2), "Watch")
    assert used(None) == {**everything, "watch": everything["watch"] + 1}
    assert used(2) == {"buy": 2, "watch": 2}
    runtime.send(GROUP, user(5), item(4), "Watch")
    runtime.send(GROUP, user(5), item(6), "Watch")
    events = UserEvents(reader, EventWindow(items=2)).find(
        deployment, user(5), target=Target.ITEM, types=frozenset({"watch"})
    )
    assert (events.items["watch"].tolist(), events.ids["watch"]) == ([], [item(4), item(6)])


def test_what_one_request_reads_of_a_user_is_looked_up_once(runtime, names):
    deployment = runtime.deployments.find(campaign(names["personal"]))
    runtime.send(GROUP, user(6), item(2), "Watch")
    events, seen = UserEvents(SharedReader(runtime.writer), EventWindow()), {}

    def used():
        types = frozenset({"watch"})
        return events.find(deployment, user(6), target=Target.ITEM, types=types, seen=seen).ids["watch"]

    before, history = used(), seen["INTERACTIONS"]
    runtime.send(GROUP, user(6), item(4), "Watch")

    assert (used(), seen["INTERACTIONS"]) == (before, history)
    seen.clear()
    assert used() == [*before, item(4)]
