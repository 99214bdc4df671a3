"""Which versions are compared with which, and which of them a campaign that follows its solution serves."""

from __future__ import annotations

import pytest
from google.protobuf import json_format

from common.errors import InvalidInput, ResourceInUse, ResourceNotFound
from control_plane.serving.reconciler import Phase
from protos.tailorbird.storage.v1.evaluation_pb2 import Evaluation
from tests.control_plane.messages import campaign_config
from tests.control_plane.world import make_world

FOLLOWING = {"syncWithLatestSolutionVersion": True}


def evaluation(verdict: str, reason: str = "significantly worse") -> dict[str, object]:
    return {"test_users": 40, "comparison": {"verdict": f"VERDICT_{verdict}", "reason": reason}}


def train(world, solution, verdict=None, reason="significantly worse"):
    """Train one more version; a verdict comes with its evaluation."""
    world.clock.advance(seconds=1)
    version = world.version(solution)
    world.finish_next({"metrics": {}, "evaluation": evaluation(verdict, reason) if verdict else {"test_users": 40}})
    return version


def view(world, campaign):
    return world.resources.campaigns.describe(campaign)


def serving(world, campaign):
    """Let a worker take what is assigned; return what is served then."""
    world.sweep()
    world.serve("worker")
    return view(world, campaign).serving.solution_version_arn


@pytest.fixture
def solution(world):
    return world.solution(world.imported_group())


@pytest.fixture
def first(world, solution):
    return train(world, solution)


@pytest.fixture
def campaign(world, solution, first):
    made = world.campaign(f"{solution}/$LATEST", config=FOLLOWING)
    world.serve("worker")
    return made


def predecessor_of_next(world, solution):
    world.clock.advance(seconds=1)
    version = world.version(solution)
    lease = world.lease()
    world.complete(lease, {})
    named = lease.job.payload.get("predecessor")
    assert named is None or named["artifact_location"].startswith("artifacts/")
    return version, named and named["solution_version_arn"]


def test_a_first_version_has_no_predecessor(world, solution):
    assert predecessor_of_next(world, solution)[1] is None


def test_a_version_is_compared_with_the_newest_that_is_active_when_its_training_begins(world, solution):
    first = world.version(solution)
    world.clock.advance(seconds=1)
    world.version(solution)
    world.finish_next({})

    # The second was created before the first was trained, and is trained after it.
    assert world.lease().job.payload["predecessor"]["solution_version_arn"] == first


def test_a_worse_version_does_not_lower_the_bar_for_the_next(world, solution, first):
    train(world, solution, "WORSE")
    assert predecessor_of_next(world, solution)[1] == first


@pytest.mark.parametrize("verdict", ["BETTER", "UNDECIDED", "NOT_COMPARED"])
def test_any_other_version_is_the_predecessor_of_the_next(world, solution, first, verdict):
    second = train(world, solution, verdict)
    assert predecessor_of_next(world, solution)[1] == second


def test_another_attempt_is_given_the_predecessor_of_its_own_time(world, solution, first):
    world.version(solution)
    lease = world.lease()
    world.queue.fail(lease.job.id, lease.token, reason="no memory", retryable=True)
    world.clock.advance(seconds=60)

    again = world.lease()

    assert again.job.id == lease.job.id
    assert again.job.payload["predecessor"]["solution_version_arn"] == first


@pytest.mark.parametrize("verdict", [None, "BETTER", "UNDECIDED", "NOT_COMPARED"])
def test_a_version_that_is_not_worse_is_followed_to(world, solution, campaign, verdict):
    assert serving(world, campaign) != (version := train(world, solution, verdict))
    assert serving(world, campaign) == version


def test_a_worse_version_is_refused_and_the_reason_is_shown(world, solution, first, campaign):
    worse = train(world, solution, "WORSE", "significantly worse than the first")
    revision = world.watch("worker")

    assert serving(world, campaign) == first

    shown = view(world, campaign)
    assert shown.campaign.status == "ACTIVE"
    assert (shown.latest_update.status, shown.latest_update.solution_version_arn) == ("CREATE FAILED", worse)
    assert shown.latest_update.failure_reason == (
        f"refused: {worse} is significantly worse than the first. The campaign serves {first}. "
        f"To serve the version nevertheless, call UpdateCampaign with the solutionVersionArn {solution}/$LATEST"
    )
    assert world.watch("worker") == revision  # nothing changes for runtimes


def test_a_version_is_refused_once(world, solution, campaign):
    train(world, solution, "WORSE")
    for _ in range(3):
        world.sweep()
    assert view(world, campaign).latest_update.number == 2


def test_the_version_before_a_refused_one_is_followed_to(world, solution, campaign):
    good = train(world, solution, "BETTER")
    train(world, solution, "WORSE")
    assert serving(world, campaign) == good


def test_the_next_good_version_ends_it(world, solution, campaign):
    train(world, solution, "WORSE")
    world.sweep()
    good = train(world, solution, "UNDECIDED")
    assert serving(world, campaign) == good


def test_a_refused_version_can_be_served_by_hand_and_is_kept(world, solution, campaign):
    worse = train(world, solution, "WORSE")
    world.sweep()

    world.resources.campaigns.update(campaign, solution_version_arn=f"{solution}/$LATEST")

    assert serving(world, campaign) == worse
    assert serving(world, campaign) == worse


def test_a_refused_version_can_be_served_by_its_arn(world, solution, campaign):
    worse = train(world, solution, "WORSE")
    world.sweep()
    world.resources.campaigns.update(campaign, solution_version_arn=worse, campaign_config=campaign_config({}))
    assert serving(world, campaign) == worse


def test_another_change_of_the_campaign_does_not_bring_the_refused_version(world, solution, first, campaign):
    train(world, solution, "WORSE")
    world.sweep()

    world.resources.campaigns.update(campaign, min_provisioned_tps=3)

    assert serving(world, campaign) == first
    assert view(world, campaign).serving.min_provisioned_tps == 3


def test_a_campaign_that_begins_to_follow_takes_the_newest(world, solution, first):
    campaign = world.campaign(first)
    world.serve("worker")
    newest = train(world, solution)
    world.resources.campaigns.update(campaign, campaign_config=campaign_config(FOLLOWING))
    assert serving(world, campaign) == newest


def test_a_campaign_that_begins_to_follow_takes_no_worse_version(world, solution, first):
    campaign = world.campaign(first)
    world.serve("worker")
    good, worse = train(world, solution, "BETTER"), train(world, solution, "WORSE")

    world.resources.campaigns.update(campaign, campaign_config=campaign_config(FOLLOWING))

    assert serving(world, campaign) == good
    assert view(world, campaign).latest_update.solution_version_arn == worse
    assert view(world, campaign).latest_update.status == "CREATE FAILED"


def test_a_campaign_that_begins_to_follow_does_not_go_back(world, solution, first):
    worse = train(world, solution, "WORSE")
    campaign = world.campaign(worse)
    world.serve("worker")

    world.resources.campaigns.update(campaign, campaign_config=campaign_config(FOLLOWING))

    assert serving(world, campaign) == worse


@pytest.mark.parametrize("config", [None, FOLLOWING])
def test_a_new_campaign_begins_with_the_newest_version_that_is_not_worse(world, solution, first, config):
    good = train(world, solution, "UNDECIDED")
    worse = [train(world, solution, "WORSE", f"worse in the way {number}") for number in (1, 2)]

    campaign = world.campaign(f"{solution}/$LATEST", config=config)

    assert view(world, campaign).campaign.status == "CREATE PENDING"
    assert serving(world, campaign) == good
    for number, version in enumerate(worse, 1):
        (refused,) = world.evaluations.get(version).rejections
        assert (refused.target_arn, refused.status) == (campaign, "CREATE FAILED")
        assert refused.failure_reason == (
            f"refused: {version} is worse in the way {number}. The campaign serves {good}. To serve the version "
            f"nevertheless, call UpdateCampaign with the solutionVersionArn {solution}/$LATEST"
        )
    world.sweep()
    shown = view(world, campaign)
    assert (shown.campaign.status, shown.latest_update.refused, shown.latest_update.number) == ("ACTIVE", True, 3)


def test_a_version_that_a_new_campaign_refused_can_be_served_by_hand(world, solution, first):
    worse = train(world, solution, "WORSE")
    campaign = world.campaign(f"{solution}/$LATEST")
    assert serving(world, campaign) == first

    world.resources.campaigns.update(campaign, solution_version_arn=f"{solution}/$LATEST")

    assert serving(world, campaign) == worse


def test_a_new_campaign_serves_a_worse_version_that_it_names(world, solution, first):
    worse = train(world, solution, "WORSE")
    assert serving(world, world.campaign(worse)) == worse


def test_a_new_campaign_takes_the_only_version_whatever_it_is_like(world, solution):
    only = train(world, solution, "WORSE")
    campaign = world.campaign(f"{solution}/$LATEST")
    assert serving(world, campaign) == only
    assert world.evaluations.get(only).rejections == ()


def test_a_new_campaign_that_failed_is_mended_with_the_version_that_it_tried(world, solution, first):
    train(world, solution, "WORSE")
    campaign = world.campaign(f"{solution}/$LATEST")
    world.serve("worker", Phase.FAILED, "no memory")
    assert view(world, campaign).campaign.status == "CREATE FAILED"

    world.resources.campaigns.update(campaign, min_provisioned_tps=2)

    assert serving(world, campaign) == first


def test_a_version_that_could_not_be_loaded_gives_way_to_the_one_before(world, solution, campaign):
    second = train(world, solution)
    broken = train(world, solution)
    world.sweep()
    world.serve("worker", Phase.FAILED, "no memory")

    assert serving(world, campaign) == second

    assert broken not in {item.solution_version_arn for item in world.assigned().values()}


def test_the_refusal_can_be_switched_off(tmp_path):
    world = make_world(tmp_path, refuse_worse_versions=False)
    solution = world.solution(world.imported_group())
    train(world, solution)
    campaign = world.campaign(f"{solution}/$LATEST", config=FOLLOWING)
    world.serve("worker")
    worse = train(world, solution, "WORSE")

    assert serving(world, campaign) == worse
    assert serving(world, world.campaign(f"{solution}/$LATEST")) == worse
    world.metadata_store.close()


def arns(evaluated):
    return [item.version.arn for item in evaluated]


def test_versions_are_compared_newest_first(world, solution, first):
    second, third = train(world, solution, "WORSE"), train(world, solution)
    assert arns(world.evaluations.compare(solution, [])) == [third, second, first]
    assert arns(world.evaluations.compare(solution, [first, third, first])) == [third, first]


def test_five_versions_are_compared_when_none_is_named(world, solution, first):
    others = [train(world, solution) for _ in range(5)]
    world.version(solution)
    assert arns(world.evaluations.compare(solution, [])) == others[::-1]


def test_what_cannot_be_compared_is_refused(world, solution):
    with pytest.raises(ResourceNotFound, match="no ACTIVE version"):
        world.evaluations.compare(solution, [])
    pending = world.version(solution)
    with pytest.raises(ResourceInUse, match="CREATE PENDING"):
        world.evaluations.get(pending)
    world.finish_next({})
    with pytest.raises(InvalidInput, match=f"want versions of {solution}"):
        world.evaluations.compare(solution, [world.active_version()])
    with pytest.raises(InvalidInput, match="at most 20"):
        world.evaluations.compare(solution, [pending] * 21)
    with pytest.raises(ResourceNotFound):
        world.evaluations.get(f"{solution}/unknown")


def test_refusals_are_shown_with_the_version(world, solution, campaign):
    worse = train(world, solution, "WORSE")
    world.sweep()

    (refused,) = world.evaluations.get(worse).rejections

    assert refused.target_arn == campaign
    assert refused.failure_reason.startswith(f"refused: {worse}")
    assert world.evaluations.get(worse).version.evaluation == json_format.ParseDict(evaluation("WORSE"), Evaluation())


def test_campaign_that_follows_its_solution_moves_on_to_a_new_version(world):
    solution = world.resources.versions.describe(world.active_version()).solution_arn
    campaign = world.campaign(f"{solution}/$LATEST", config={"syncWithLatestSolutionVersion": True})
    world.serve("worker")
    version = world.next_version(campaign)

    world.sweep()

    assert world.assigned()[campaign].solution_version_arn == version
    assert world.latest_update(campaign).solution_version_arn == version


def test_version_that_could_not_be_loaded_is_not_tried_again_by_itself(world):
    solution = world.resources.versions.describe(world.active_version()).solution_arn
    campaign = world.campaign(f"{solution}/$LATEST", config={"syncWithLatestSolutionVersion": True})
    world.serve("worker")
    world.next_version(campaign)
    world.sweep()
    world.serve("worker", Phase.FAILED, "no memory")

    world.sweep()

    assert world.latest_update(campaign).status == "CREATE FAILED"


def test_campaign_that_does_not_follow_stays_with_its_version(world):
    campaign = world.active_campaign()
    world.next_version(campaign)

    world.sweep()

    assert world.latest_update(campaign) is None
