"""What requests may say of filters, metadata columns and promotions, and what they get."""

from __future__ import annotations

import json
import time

import pytest

from common.errors import InvalidInput, ResourceNotFound
from common.testing import wait_until
from protos.tailorbird.runtime.v1 import explanation_service_pb2 as api
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from tests.runtime_service.features.running import filter_arn, group_message, publish_rows
from tests.runtime_service.servicers.wire import ids, ranked_ids
from tests.runtime_service.world import N_ITEMS, item, user

FILTERS = {
    "even": 'INCLUDE ItemID WHERE Items.T1 = "even"',
    "drawn": "INCLUDE ItemID WHERE Items.T1 IN ($KIND)",
    "unseen": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
    "like": "INCLUDE ItemID WHERE Items.T1 IN CurrentItem.T1",
    "nothing": 'INCLUDE ItemID WHERE Items.T1 = "nothing"',
    "of-actions": "INCLUDE ActionID WHERE Actions.I > 1",
    "not-taken": 'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("Not_Taken")',
    "taken": 'EXCLUDE ActionID WHERE Action_Interactions.EVENT_TYPE IN ("taken")',
    "broken": "INCLUDE ItemID WHERE Items.GONE = 5",
}
KIND = {"KIND": '"even"'}
FOREIGN = filter_arn("even").replace("000000000000", "111111111111")
EVEN = {item(number) for number in range(0, N_ITEMS, 2)}


@pytest.fixture(scope="module")
def names(runtime):
    """Serve each kind of model from a group with items and actions, and one more without any."""
    group, name = "arn:aws:personalize:us-east-1:000000000000:dataset-group/requests", "requests"
    items = {item(n): {"T1": ("even", "odd")[n % 2], "T2": None, "I": n, "F": None} for n in range(N_ITEMS)}
    actions = {
        action: {"T1": None, "T2": None, "I": n, "F": None} for n, action in enumerate(("lower", "upper", "never"))
    }
    offset, epoch = runtime.writer.next_offset() - 1, runtime.writer.lineage().current
    places = {
        kind: publish_rows(runtime.store, name, kind, rows, offset=offset, epoch=epoch)
        for kind, rows in (("ITEMS", items), ("ACTIONS", actions))
    }
    served = {model: runtime.serve(model, group) for model in ("personal", "popular", "ranking", "related", "actions")}
    served["silent"] = runtime.serve("personal", group, metadata=False)
    served["popular-with-metadata"] = runtime.serve("popular", group, metadata=True)
    served["group"] = group
    message = group_message(group, places, FILTERS)
    message.datasets.add(dataset_type="ACTION_INTERACTIONS", schema=message.datasets[-1].schema)
    elsewhere = group_message(group + "-2", {}, {"elsewhere": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE = "buy"'})
    served["bare"] = runtime.serve("personal", group + "-2")
    foreign = group_message(group + "-3", {}, {"x": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE = "buy"'})
    foreign.filters[0].filter_arn = FOREIGN
    runtime.assign(message, elsewhere, foreign)
    return served


@pytest.fixture
def recommend(runtime, names):
    def run(model="personal", **members):
        return runtime.recommend(names[model], **members)

    return run


@pytest.mark.parametrize(
    ("members", "text"),
    [
        ({"filter_values": KIND}, "`filterValues`: got ['KIND'], want none without a filterArn"),
        ({"filter_arn": "films"}, "`filterArn`: got 'films', want an ARN of a filter"),
        ({"filter_arn": filter_arn("drawn")}, "`filterValues.KIND`: got None, want texts in double quotes"),
        ({"filter_arn": filter_arn("drawn"), "filter_values": {"KIND": "even"}}, "`filterValues.KIND`: got 'even'"),
        (
            {"filter_arn": filter_arn("even"), "filter_values": KIND},
            "which are: none",
        ),
        ({"filter_arn": filter_arn("of-actions")}, "want a filter of ItemIDs; this one chooses ActionIDs"),
        ({"filter_arn": filter_arn("like")}, "want a filter without CurrentItem"),
        ({"filter_arn": filter_arn("elsewhere")}, "want a filter of the campaign's dataset group; it is one of"),
        ({"filter_arn": filter_arn("broken")}, "want a field that the schema of Items has"),
        ({"metadata_columns": {"USERS": messages.StringList(values=["T1"])}}, "want columns of ITEMS only"),
        ({"metadata_columns": {"ITEMS": messages.StringList(values=["X"])}}, "`metadataColumns.ITEMS`: got 'X'"),
        (
            {"metadata_columns": {"ITEMS": messages.StringList(values=map(str, range(11)))}},
            "want at most 10",
        ),
        (
            {"metadata_columns": {"ITEMS": messages.StringList(values=["T1"])}, "num_results": 51},
            "`numResults`: got 51, want an integer from 0 to 50",
        ),
        (
            {"promotions": [messages.Promotion(), messages.Promotion()]},
            "want at most 1",
        ),
        ({"promotions": [messages.Promotion(name="-")]}, "`promotions[0].name`: got '-'"),
        ({"promotions": [messages.Promotion(name="p")]}, "`promotions[0].percentPromotedItems`: got 0"),
        (
            {"promotions": [messages.Promotion(name="p", percent_promoted_items=5)]},
            "`promotions[0].filterArn`: got None",
        ),
        (
            {"promotions": [messages.Promotion(name="p", percent_promoted_items=5, filter_arn=filter_arn("like"))]},
            "`promotions[0].filterArn`: got",
        ),
    ],
)
def test_requests_that_do_not_fit_are_refused_by_member(runtime, recommend, members, text):
    error = runtime.refused(recommend, user_id=user(0), **members)

    assert isinstance(error, InvalidInput)
    assert text in error.message


def test_filter_that_does_not_exist_is_named_in_the_words_of_the_service(runtime, recommend):
    arn = filter_arn("gone")
    for unknown in (arn, arn.replace("000000000000", "111111111111")):
        error = runtime.refused(recommend, user_id=user(0), filter_arn=unknown)

        assert isinstance(error, ResourceNotFound)
        assert error.message.startswith(f"Resource Arn {unknown} does not exist.")


def test_filter_of_another_account_does_not_exist_although_it_is_served(runtime, recommend):
    assert runtime.follower.filter_group(FOREIGN) is not None

    assert isinstance(runtime.refused(recommend, user_id=user(0), filter_arn=FOREIGN), ResourceNotFound)


def test_filter_needs_a_user_where_it_reads_one(runtime, recommend):
    assert set(ids(recommend("popular", num_results=N_ITEMS, filter_arn=filter_arn("even")))) == EVEN

    error = runtime.refused(recommend, "popular", filter_arn=filter_arn("unseen"))

    assert isinstance(error, InvalidInput)
    assert error.message.startswith("`userId`")


def test_values_choose_and_nothing_passes_gives_an_empty_list(recommend):
    even = recommend(user_id=user(0), num_results=N_ITEMS, filter_arn=filter_arn("drawn"), filter_values=KIND)
    assert set(ids(even)) - {"brand-new"} == EVEN  # which another test may have put before
    assert ids(recommend(user_id=user(0), filter_arn=filter_arn("nothing"))) == []


def test_related_items_are_like_the_current_one_in_a_field(recommend):
    answer = recommend("related", item_id=item(4), user_id=user(0), num_results=N_ITEMS, filter_arn=filter_arn("like"))
    assert set(ids(answer)) == EVEN - {item(4)}
    assert ids(recommend("related", item_id="nowhere", filter_arn=filter_arn("like"))) == []


def test_unknown_items_of_a_ranking_are_filtered_as_well(runtime, names):
    group = names["group"]
    last = runtime.put(group, "ITEMS", "brand-new", json.dumps({"t1": "even"}))
    runtime.wait_for_puts(group, "ITEMS", last)
    runtime.send(group, "ranker", "nowhere", "watch")
    listed = [item(1), "nowhere", item(2), "brand-new", "nobody-knows"]

    even = runtime.rank(names["ranking"], listed, user_id="ranker", filter_arn=filter_arn("even"))
    assert ranked_ids(even) == [item(2), "brand-new"]

    wait_until(lambda: len(ranked_ids(runtime.rank(names["ranking"], listed, user_id="ranker"))) == 5)
    unseen = ranked_ids(runtime.rank(names["ranking"], listed, user_id="ranker", filter_arn=filter_arn("unseen")))
    assert (set(unseen[:2]), unseen[2:]) == ({item(1), item(2)}, ["brand-new", "nobody-knows"])


def test_ranked_items_carry_columns_also_those_that_the_model_does_not_know(runtime, names):
    group = names["group"]
    last = runtime.put(group, "ITEMS", "described", json.dumps({"t1": "x|y", "i": 7}))
    runtime.wait_for_puts(group, "ITEMS", last)

    answer = runtime.rank(
        names["ranking"], [item(1), "described", "nobody-knows"], user_id=user(0),
        metadata_columns={"ITEMS": messages.StringList(values=["T1", "I"])},
    )  # fmt: skip

    assert [dict(one.metadata) for one in answer.personalized_ranking] == [
        {"T1": "odd", "I": "1"}, {"T1": "x|y", "I": "7"}, {"T1": "", "I": ""},
    ]  # fmt: skip
    error = runtime.refused(
        runtime.rank, names["ranking"], [item(0)] * 51, user_id=user(0),
        metadata_columns={"ITEMS": messages.StringList(values=["T1"])},
    )  # fmt: skip
    assert "want the ids of 1 to 50 items" in error.message


def test_metadata_is_for_campaigns_that_allow_it(runtime, recommend):
    members = {"user_id": user(0), "metadata_columns": {"ITEMS": messages.StringList(values=["T1"])}}

    for model in ("silent", "popular"):
        assert "enableMetadataWithRecommendations" in runtime.refused(recommend, model, **members).message
    assert "no Items dataset" in runtime.refused(recommend, "bare", **members).message
    for model in ("personal", "popular-with-metadata"):
        assert {dict(one.metadata)["T1"] for one in recommend(model, **members).item_list} >= {"even", "odd"}


def test_actions_are_filtered_by_their_columns_and_by_what_the_user_did(runtime, names):
    def act(name, user_id):
        answer = runtime.act(names["actions"], user_id=user_id, filter_arn=filter_arn(name))
        return {one.action_id for one in answer.action_list}

    assert act("of-actions", user(5)) == {"never"}
    # User 5 took `upper` before the training, and declines `lower` now.
    assert act("taken", user(5)) == {"lower", "never"}
    runtime.send(names["group"], user(5), "lower", "Not taken", dataset_type="ACTION_INTERACTIONS")
    assert act("not-taken", user(5)) == {"upper", "never"}
    last = runtime.put(names["group"], "ACTIONS", "lower", '{"i": 9}')
    runtime.wait_for_puts(names["group"], "ACTIONS", last)
    assert act("of-actions", user(5)) == {"lower", "never"}


def test_an_action_is_not_repeated_too_soon_after_what_the_user_did_a_moment_ago(runtime):
    group = "arn:aws:personalize:us-east-1:000000000000:dataset-group/repeats"
    name = runtime.serve("repeating-actions", group)

    def act(user_id):
        return {one.action_id for one in runtime.act(name, user_id=user_id).action_list}

    assert act("chooser") == {"lower", "upper", "never"}
    runtime.send(group, "chooser", "upper", "Viewed", dataset_type="ACTION_INTERACTIONS", seconds=int(time.time()))
    runtime.send(group, "chooser", "lower", "Viewed", dataset_type="ACTION_INTERACTIONS", seconds=1)
    runtime.send(group, "chooser", "unknown-action", "Viewed", dataset_type="ACTION_INTERACTIONS", seconds=1)
    assert act("chooser") == {"lower", "never"}
    assert act("nobody") == {"lower", "upper", "never"}


def test_promoted_items_pass_their_own_filter_alone_and_the_others_that_of_the_request(recommend):
    promotion = messages.Promotion(name="odd-ones", percent_promoted_items=40, filter_arn=filter_arn("drawn"))
    promotion.filter_values["KIND"] = '"odd"'

    answer = recommend(user_id=user(0), num_results=10, filter_arn=filter_arn("even"), promotions=[promotion])

    promoted = [one.item_id for one in answer.item_list if one.promotion_name]
    others = [one.item_id for one in answer.item_list if not one.promotion_name]
    assert (len(promoted), len(others)) == (4, 6)
    assert set(others) <= {*EVEN, "brand-new"}  # which another test puts
    assert EVEN.isdisjoint(promoted)
    assert {one.promotion_name for one in answer.item_list} == {"", "odd-ones"}
    odd = ids(
        recommend(user_id=user(0), num_results=4, filter_arn=filter_arn("drawn"), filter_values={"KIND": '"odd"'})
    )
    assert promoted == odd


def test_current_item_is_never_promoted(recommend):
    promotion = messages.Promotion(name="p", percent_promoted_items=100, filter_arn=filter_arn("like"))

    answer = recommend("related", item_id=item(4), user_id=user(0), num_results=N_ITEMS, promotions=[promotion])

    promoted = {one.item_id for one in answer.item_list if one.promotion_name}
    assert promoted == EVEN - {item(4)}
    assert item(4) not in ids(answer)


def test_explanations_name_the_filters_that_leave_items_out(runtime, names):
    arn = filter_arn("even")

    explanation = runtime.explain(
        names["personal"], user_id=user(0), filter_arn=arn, num_results=5, explained_ids=[item(1), item(38)]
    )

    odd, even = explanation.other_items
    assert {entry.item_id for entry in explanation.items} <= {*EVEN, "brand-new"}  # which another test puts
    assert (odd.absence_reason, list(odd.excluding_filter_arns)) == (api.ABSENCE_REASON_FILTERED, [arn])
    assert not odd.HasField("rank")
    assert (even.absence_reason, list(even.excluding_filter_arns)) == (api.ABSENCE_REASON_RANKED_BELOW, [])
    assert [entry.rank for entry in explanation.items] == [1, 2, 3, 4, 5]


def test_explanations_of_rankings_tell_what_was_not_listed_from_what_was_filtered(runtime, names):
    explanation = runtime.explain(
        names["ranking"],
        user_id=user(0),
        input_list=[item(2), item(3)],
        filter_arn=filter_arn("even"),
        explained_ids=[item(3), item(4)],
    )

    assert [entry.item_id for entry in explanation.items] == [item(2)]
    assert [entry.absence_reason for entry in explanation.other_items] == [
        api.ABSENCE_REASON_FILTERED,
        api.ABSENCE_REASON_NOT_LISTED,
    ]


def test_promoted_items_are_explained_by_their_promotion(runtime, names):
    promotion = messages.Promotion(name="odd", percent_promoted_items=40, filter_arn=filter_arn("drawn"))
    promotion.filter_values["KIND"] = '"odd"'

    explanation = runtime.explain(
        names["personal"], user_id=user(0), filter_arn=filter_arn("even"), promotions=[promotion], num_results=5
    )

    promoted = [entry for entry in explanation.items if entry.source == api.CANDIDATE_SOURCE_PROMOTION]
    assert [(entry.promotion_name, entry.item_id in EVEN) for entry in promoted] == 2 * [("odd", False)]
    assert explanation.exact
