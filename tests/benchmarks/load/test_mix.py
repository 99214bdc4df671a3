"""The calls of a load: in the shares and by the users that it says, and the same for the same seed."""

from collections import Counter
from itertools import islice

import pytest

from benchmarks.load.mix import SHARES, Target, draw_calls, draws
from protos.tailorbird.events.v1 import events_service_pb2 as events
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as runtime

TARGET = Target(
    runtime="runtime:1",
    events="events:2",
    token="t",
    endpoint="http://gateway",
    access_key=("id", "secret"),
    campaign="arn:campaign",
    related="arn:related",
    ranking="arn:ranking",
    tracking_id="tracker",
    event_type="watch",
    users=[f"user-{number}" for number in range(100)],
    items=[f"item-{number}" for number in range(50)],
)
DRAWN = 20_000


def test_kinds_come_in_their_shares_and_users_by_zipfs_law():
    drawn = list(islice(draws(TARGET, seed=3), DRAWN))
    kinds = Counter(draw.kind for draw in drawn)
    assert {kind: count / DRAWN for kind, count in kinds.items()} == pytest.approx(SHARES, abs=0.02)
    users = Counter(draw.user for draw in drawn)
    assert users["user-0"] / users["user-1"] == pytest.approx(2, rel=0.15)
    assert users["user-0"] / users["user-9"] == pytest.approx(10, rel=0.3)


def test_the_same_seed_draws_the_same_and_another_does_not():
    first, again, another = (list(islice(draws(TARGET, seed=seed), 50)) for seed in (1, 1, 2))
    assert first == again != another


def test_calls_are_the_messages_of_their_method():
    by_kind = {call.kind: call for call in islice(draw_calls(TARGET, seed=1), 500)}
    assert set(by_kind) == set(SHARES)
    put = events.PutEventsRequest.FromString(by_kind["events"].body)
    assert by_kind["events"].address == TARGET.events
    assert (put.tracking_id, len(put.event_list), put.event_list[0].event_type) == ("tracker", 1, "watch")
    ranking = runtime.GetPersonalizedRankingRequest.FromString(by_kind["ranking"].body)
    assert ranking.campaign_arn == TARGET.ranking
    assert len(set(ranking.input_list)) == len(ranking.input_list) > 1
    related = runtime.GetRecommendationsRequest.FromString(by_kind["related"].body)
    assert (related.campaign_arn, related.HasField("user_id"), related.item_id in TARGET.items) == (
        TARGET.related, False, True,
    )  # fmt: skip


def test_a_target_is_the_same_after_its_file(tmp_path):
    path = tmp_path / "target.json"
    TARGET.write(path)
    assert Target.read(path) == TARGET
    assert path.stat().st_mode & 0o077 == 0
