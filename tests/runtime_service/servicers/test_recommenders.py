"""Recommenders: what they answer and what they ask for."""

from __future__ import annotations

import grpc
import pytest

from common.errors import InvalidInput, ResourceNotFound
from common.rpc import from_rpc_error
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from tests.runtime_service.servicers.conftest import RECOMMENDERS
from tests.runtime_service.servicers.wire import KEYS
from tests.runtime_service.world import campaign, item, recommender, user

MOST_VIEWED = "aws-ecomm-popular-items-by-views"
BOUGHT_TOGETHER = "aws-ecomm-frequently-bought-together"
VIEWED_TOO = "aws-ecomm-customers-who-viewed-x-also-viewed"
FOR_YOU = "aws-ecomm-recommended-for-you"


def query(name, **members):
    return {"name": None, "recommender_arn": recommender(name), **members}


@pytest.mark.parametrize("name", RECOMMENDERS)
def test_recommenders_answer_as_campaigns_do_but_without_scores(recommend, name):
    members = {"user_id": user(5), "item_id": item(3), "num_results": 5}

    answer = recommend(**query(name, **members))

    like = recommend(RECOMMENDERS[name], **members)
    assert [entry.item_id for entry in answer.item_list] == [entry.item_id for entry in like.item_list]
    assert len(answer.item_list) == 5
    assert answer.recommendation_id.startswith("RID-")
    assert not any(entry.HasField("score") for entry in answer.item_list)


def test_what_was_done_a_moment_ago_counts_for_recommenders_too(recommend):
    knowing, unknowing = (recommend(**query(FOR_YOU, user_id=name)) for name in ("new-user", "nobody"))

    assert [entry.item_id for entry in knowing.item_list] != [entry.item_id for entry in unknowing.item_list]


@pytest.mark.parametrize("name", [MOST_VIEWED, VIEWED_TOO, FOR_YOU])
def test_most_recommenders_want_a_user(refused, name):
    assert refused(**query(name, item_id=item(3))).message.startswith("`userId`: got ''")


@pytest.mark.parametrize("name", [BOUGHT_TOGETHER, VIEWED_TOO])
def test_recommenders_that_relate_items_want_one(refused, name):
    assert refused(**query(name, user_id=user(5))).message.startswith("`itemId`: got ''")


def test_nobody_has_to_be_named_to_say_what_is_bought_together(recommend):
    assert recommend(**query(BOUGHT_TOGETHER, item_id=item(3))).item_list


def test_campaigns_and_recommenders_are_named_by_their_own_members(refused):
    both = refused("films", recommender_arn=recommender(FOR_YOU), user_id=user(5))
    exchanged = refused(None, recommender_arn=campaign("films"), user_id=user(5))

    assert isinstance(both, InvalidInput)
    assert both.message.startswith("`recommenderArn`")
    assert isinstance(exchanged, InvalidInput)
    assert exchanged.message.startswith("`recommenderArn`")


def test_unknown_recommenders_are_not_found(refused):
    error = refused(**query("gone", user_id=user(5)))

    assert isinstance(error, ResourceNotFound)
    assert error.metadata == {"recommender_arn": recommender("gone")}


def test_recommenders_of_other_accounts_are_like_none(grpc_stub, refused):
    missing = refused(**query("gone", user_id=user(5)))
    request = messages.GetRecommendationsRequest(recommender_arn=recommender(FOR_YOU), user_id=user(5))
    foreign = [("authorization", f"Bearer {KEYS.token('client', account='123456789012')}")]

    with pytest.raises(grpc.RpcError) as caught:
        grpc_stub.GetRecommendations(request, metadata=foreign, timeout=60)

    error = from_rpc_error(caught.value)
    assert (type(error), error.message) == (ResourceNotFound, missing.message.replace("gone", FOR_YOU))
