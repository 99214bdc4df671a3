"""Answers tell up to which offset they include the log, and wait for what their callers want to be included."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

from common.errors import DeadlineExceeded, InvalidInput
from common.event_offsets import OFFSET_KEY, WAIT_KEY
from common.positions import Position
from common.rpc import from_rpc_error
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from runtime_service.history import Put
from tests.runtime_service.features.running import filter_arn, group_message
from tests.runtime_service.servicers.wire import as_role, ids
from tests.runtime_service.world import N_ITEMS, campaign, item

GROUP = "arn:aws:personalize:us-east-1:000000000000:dataset-group/offsets"


@pytest.fixture(scope="module")
def names(runtime):
    """Serve two models from a group with items that are put."""
    made = {model: runtime.serve(model, GROUP) for model in ("personal", "ranking")}
    runtime.assign(group_message(GROUP, {"ITEMS": None}, {"even": 'INCLUDE ItemID WHERE Items.T1 = "even"'}))
    return made


@pytest.fixture
def ask(runtime, names):
    """Give a call that returns an answer and its offset."""

    def call(user_id, *, wait_for=None, timeout=60, role="client", **members):
        request = messages.GetRecommendationsRequest(
            campaign_arn=campaign(names["personal"]), user_id=user_id, **members
        )
        metadata = [*as_role(role), *([] if wait_for is None else [(WAIT_KEY, str(wait_for))])]
        answer, answered = runtime.stub.GetRecommendations.with_call(request, metadata=metadata, timeout=timeout)
        return answer, Position.parse(dict(answered.trailing_metadata())[OFFSET_KEY], field="offset")

    return call


def next_position(runtime, *, ahead=0):
    """Return the position of the next record that is stored."""
    return runtime.writer.lineage().at(runtime.writer.next_offset() + ahead)


def test_an_answer_tells_the_offset_that_it_includes(runtime, ask):
    position = next_position(runtime)
    runtime.send(GROUP, "teller", item(0), "watch")

    _, included = ask("teller", wait_for=position)

    assert included == position


def test_rankings_tell_it_as_well(runtime, names):
    request = messages.GetPersonalizedRankingRequest(
        campaign_arn=campaign(names["ranking"]), user_id="u", input_list=[item(1)]
    )
    _, answered = runtime.stub.GetPersonalizedRanking.with_call(request, metadata=as_role("client"), timeout=60)

    position = Position.parse(dict(answered.trailing_metadata())[OFFSET_KEY], field="offset")
    assert 0 < position.offset < next_position(runtime).offset


def test_callers_read_what_they_wrote(runtime, ask):
    before = ids(ask("writer")[0])
    position = next_position(runtime)

    with ThreadPoolExecutor(1) as caller:
        answer = caller.submit(ask, "writer", wait_for=position)
        assert not answer.done()
        runtime.send(GROUP, "writer", item(N_ITEMS - 1), "watch")
        after, included = answer.result(timeout=60)

    assert ids(after) != before
    assert included.offset >= position.offset


def test_an_item_that_was_put_is_waited_for_until_filters_see_it(runtime, ask):
    for number in range(5):
        offset = runtime.put(GROUP, "ITEMS", item(number), '{"t1": "even"}')
        answer, included = ask("putter", filter_arn=filter_arn("even"), wait_for=runtime.writer.lineage().at(offset))

        assert sorted(ids(answer)) == sorted(item(place) for place in range(number + 1))
        assert included.offset >= offset


def test_what_is_not_included_yet_is_not_told(runtime, ask):
    """Without a wait an answer may lack what was put last, and then it says so."""
    seen = [ask("reader")[1].offset]
    for number in range(20):
        offset = runtime.writer.next_offset()
        runtime.writer.append(
            [], puts=[Put(offset, GROUP, "ITEMS", "late", f'{{"i": {number}}}')], next_offset=offset + 1
        )
        seen.append(ask("reader")[1].offset)

    assert seen == sorted(seen)


def test_a_wait_ends_with_what_was_wanted_and_reached(runtime, ask):
    included, required = next_position(runtime, ahead=-1), next_position(runtime, ahead=5)
    ask("late", wait_for=included)

    with pytest.raises(grpc.RpcError) as caught:
        ask("late", wait_for=required, timeout=1.0)

    error = from_rpc_error(caught.value)
    assert isinstance(error, DeadlineExceeded)
    assert caught.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
    assert error.metadata == {"wanted_event_offset": str(required), "reached_event_offset": str(included)}
    assert str(required) in error.message


def test_an_offset_of_another_log_is_never_reached(runtime, ask):
    with pytest.raises(grpc.RpcError) as caught:
        ask("stranger", wait_for=Position(12345, 1), timeout=0.6)

    assert isinstance(from_rpc_error(caught.value), DeadlineExceeded)


def test_what_is_no_offset_is_refused_at_once(ask):
    with pytest.raises(grpc.RpcError) as caught:
        ask("u", wait_for="yesterday")

    error = from_rpc_error(caught.value)
    assert isinstance(error, InvalidInput)
    assert error.violations[0].field == WAIT_KEY


def test_nobody_waits_without_a_token(runtime, names):
    request = messages.GetRecommendationsRequest(campaign_arn=campaign(names["personal"]), user_id="u")

    with pytest.raises(grpc.RpcError) as caught:
        runtime.stub.GetRecommendations(
            request, metadata=[(WAIT_KEY, str(next_position(runtime, ahead=9)))], timeout=60
        )

    assert caught.value.code() is grpc.StatusCode.UNAUTHENTICATED
