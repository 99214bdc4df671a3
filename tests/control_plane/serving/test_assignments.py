"""Campaigns and the runtime workers: assignments, reports, updates, silence."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput, LimitExceeded, ResourceInUse, ResourceNotFound
from control_plane.domain.quotas import Quotas
from control_plane.metadata_store.tables import RuntimeWorker
from control_plane.serving.reconciler import Phase
from tests.control_plane.world import make_world


def status(world, campaign):
    return world.resources.campaigns.describe(campaign).campaign.status


def update_of(world, campaign):
    return world.resources.campaigns.describe(campaign).latest_update


def next_version(world, campaign):
    """Train one more version of a campaign's solution."""
    world.clock.advance(seconds=1)
    version = world.version(world.resources.campaigns.describe(campaign).campaign.solution_arn)
    world.finish_next({"metrics": {}})
    return version


def test_campaign_waits_for_a_worker(world):
    campaign = world.campaign(world.active_version())
    world.sweep()

    assert status(world, campaign) == "CREATE PENDING"


def test_campaign_is_active_when_every_live_worker_is_ready(world):
    campaign = world.campaign(world.active_version())
    world.watch("worker-1")
    world.watch("worker-2")

    world.serve("worker-1", Phase.LOADING)
    assert status(world, campaign) == "CREATE IN_PROGRESS"
    world.serve("worker-1")
    assert status(world, campaign) == "CREATE IN_PROGRESS"
    world.serve("worker-2")

    assert status(world, campaign) == "ACTIVE"


def test_silent_worker_does_not_hold_a_campaign_up(world):
    campaign = world.campaign(world.active_version())
    world.watch("silent")
    world.clock.advance(seconds=31)

    world.serve("worker")

    assert status(world, campaign) == "ACTIVE"


def test_worker_that_falls_silent_while_others_are_ready_is_noticed(world):
    campaign = world.campaign(world.active_version())
    world.watch("silent")
    world.clock.advance(seconds=20)
    world.serve("worker")
    assert status(world, campaign) == "CREATE IN_PROGRESS"

    world.clock.advance(seconds=20)
    world.sweep()

    assert status(world, campaign) == "ACTIVE"


def test_campaign_that_a_worker_cannot_load_fails_with_its_reason(world):
    campaign = world.campaign(world.active_version())
    world.watch("worker-2")
    world.serve("worker-1", Phase.FAILED, "item_vectors.npy is damaged")
    assert status(world, campaign) == "CREATE IN_PROGRESS"

    world.serve("worker-2")

    found = world.resources.campaigns.describe(campaign).campaign
    assert found.status == "CREATE FAILED"
    assert found.failure_reason == "1 of 2 runtime workers could not load it: item_vectors.npy is damaged"
    assert world.assigned() == {}


def test_worker_that_loads_for_too_long_does_not_hold_a_campaign_up(world):
    campaign = world.campaign(world.active_version())
    world.serve("slow", Phase.LOADING)
    world.serve("worker")
    world.clock.advance(seconds=899)
    world.serve("slow", Phase.LOADING)
    world.serve("worker")
    assert status(world, campaign) == "CREATE IN_PROGRESS"

    world.clock.advance(seconds=2)
    world.sweep()

    assert status(world, campaign) == "ACTIVE"


def test_campaign_fails_when_every_worker_loads_it_for_too_long(world):
    campaign = world.campaign(world.active_version())
    world.serve("slow", Phase.LOADING)
    world.clock.advance(seconds=901)

    world.serve("slow", Phase.LOADING)

    found = world.resources.campaigns.describe(campaign).campaign
    assert found.status == "CREATE FAILED"
    assert found.failure_reason == "none of 1 runtime workers loaded it within 900 seconds"


def test_trouble_of_a_worker_with_an_active_campaign_is_told_until_it_is_over(world):
    campaign = world.active_campaign()
    world.watch("other")

    world.serve("other", Phase.FAILED, "item_vectors.npy is damaged")

    found = world.resources.campaigns.describe(campaign).campaign
    assert found.status == "ACTIVE"
    assert found.failure_reason == "1 of 2 runtime workers could not load it: item_vectors.npy is damaged"
    assert world.assigned()[campaign].active

    world.serve("other")

    assert world.resources.campaigns.describe(campaign).campaign.failure_reason is None


def test_trouble_of_a_worker_that_is_gone_is_told_no_more(world):
    campaign = world.active_campaign()
    world.serve("other", Phase.FAILED, "item_vectors.npy is damaged")
    world.clock.advance(seconds=31)

    world.serve("worker")

    assert world.resources.campaigns.describe(campaign).campaign.failure_reason is None


def test_campaign_that_never_answered_is_assigned_as_not_active(world):
    campaign = world.campaign(world.active_version())

    assert not world.assigned()[campaign].active


def test_assignment_tells_the_worker_all_it_needs(world):
    version = world.resources.versions.describe(world.active_version())
    tracker = world.resources.trackers.create("films", dataset_group_arn=version.dataset_group_arn)
    campaign = world.campaign(version.arn, campaign_config={"enableMetadataWithRecommendations": False})

    found = world.assigned()[campaign]

    assert found.solution_version_arn == version.arn
    assert found.artifact_location == version.artifact_location
    assert found.config_json == '{"enableMetadataWithRecommendations": false}'
    assert found.tracking_ids == (tracker.tracking_id,)
    assert found.dataset_group_arn == version.dataset_group_arn
    assert found.event_type is None


@pytest.mark.parametrize("change", ["tracker", "campaign", "update", "delete", "failed update"])
def test_whatever_changes_the_set_changes_its_revision(world, change):
    campaign = world.active_campaign()
    solution = world.resources.campaigns.describe(campaign).campaign.solution_arn
    group = world.resources.solutions.describe(solution)[0].dataset_group_arn
    if change == "failed update":
        world.resources.campaigns.update(campaign, min_provisioned_tps=2)
    before = world.watch("worker")

    if change == "tracker":
        world.resources.trackers.create("films", dataset_group_arn=group)
    elif change == "campaign":
        world.campaign(f"{solution}/$LATEST")
    elif change == "update":
        world.resources.campaigns.update(campaign, min_provisioned_tps=2)
    elif change == "delete":
        world.resources.campaigns.delete(campaign)
    else:
        world.serve("worker", Phase.FAILED)

    assert world.watch("worker") > before


def test_readiness_changes_no_revision(world):
    world.campaign(world.active_version())
    before = world.watch("worker")

    world.serve("worker")

    assert world.watch("worker") == before


def test_update_is_loaded_while_the_old_deployment_answers(world):
    campaign = world.active_campaign()
    old = world.assigned()[campaign]
    version = next_version(world, campaign)

    world.resources.campaigns.update(campaign, solution_version_arn=version, min_provisioned_tps=3)

    new = world.assigned()[campaign]
    view = world.resources.campaigns.describe(campaign)
    assert new.deployment_id != old.deployment_id
    assert new.solution_version_arn == version
    assert view.campaign.status == "ACTIVE"
    assert view.serving.solution_version_arn == old.solution_version_arn
    assert (view.latest_update.status, view.latest_update.min_provisioned_tps) == ("CREATE PENDING", 3)


def test_finished_update_is_what_the_campaign_shows(world):
    campaign = world.active_campaign()
    version = next_version(world, campaign)
    world.resources.campaigns.update(campaign, solution_version_arn=version)

    world.clock.advance(seconds=31)
    world.serve("worker")

    view = world.resources.campaigns.describe(campaign)
    assert view.serving.solution_version_arn == version
    assert view.latest_update.status == "ACTIVE"


def test_failed_update_brings_the_old_deployment_back(world):
    campaign = world.active_campaign()
    old = world.assigned("worker")[campaign]
    world.resources.campaigns.update(campaign, solution_version_arn=next_version(world, campaign))

    world.serve("worker", Phase.FAILED, "no memory")

    view = world.resources.campaigns.describe(campaign)
    assert view.campaign.status == "ACTIVE"
    assert view.latest_update.status == "CREATE FAILED"
    assert "no memory" in view.latest_update.failure_reason
    assert world.assigned("worker")[campaign] == old


def test_failed_campaign_can_be_mended_by_an_update(world):
    campaign = world.campaign(world.active_version())
    world.serve("worker", Phase.FAILED, "no memory")
    world.resources.campaigns.update(campaign, min_provisioned_tps=2)

    world.serve("worker")

    found = world.resources.campaigns.describe(campaign).campaign
    assert (found.status, found.failure_reason) == ("ACTIVE", None)


def test_campaign_that_is_being_created_or_updated_cannot_be_updated(world):
    campaign = world.campaign(world.active_version())
    with pytest.raises(ResourceInUse, match="CREATE PENDING"):
        world.resources.campaigns.update(campaign, min_provisioned_tps=2)
    world.serve("worker")
    world.resources.campaigns.update(campaign, min_provisioned_tps=2)

    with pytest.raises(ResourceInUse, match="whose update is CREATE PENDING"):
        world.resources.campaigns.update(campaign, min_provisioned_tps=3)


def test_update_without_a_change_is_refused(world):
    with pytest.raises(InvalidInput, match="want solutionVersionArn"):
        world.resources.campaigns.update(world.active_campaign())


def test_update_to_another_solution_is_refused(world):
    campaign = world.active_campaign()

    with pytest.raises(InvalidInput, match="`solutionVersionArn`"):
        world.resources.campaigns.update(campaign, solution_version_arn=world.active_version())


def test_latest_stands_for_the_newest_active_version(world):
    solution = world.solution(world.imported_group())
    with pytest.raises(ResourceNotFound, match="without an ACTIVE version"):
        world.campaign(f"{solution}/$LATEST")
    world.version(solution)
    world.finish_next({})
    world.clock.advance(seconds=1)
    newest = world.version(solution)
    world.finish_next({})
    world.clock.advance(seconds=1)
    world.version(solution)

    campaign = world.campaign(f"{solution}/$LATEST")

    assert world.resources.campaigns.describe(campaign).serving.solution_version_arn == newest


def test_version_in_training_cannot_be_served(world):
    with pytest.raises(ResourceInUse, match="CREATE PENDING"):
        world.campaign(world.version(world.solution(world.imported_group())))


def test_campaign_that_follows_its_solution_moves_on_to_a_new_version(world):
    solution = world.resources.versions.describe(world.active_version()).solution_arn
    campaign = world.campaign(f"{solution}/$LATEST", campaign_config={"syncWithLatestSolutionVersion": True})
    world.serve("worker")
    version = next_version(world, campaign)

    world.sweep()

    assert world.assigned()[campaign].solution_version_arn == version
    assert update_of(world, campaign).solution_version_arn == version


def test_version_that_could_not_be_loaded_is_not_tried_again_by_itself(world):
    solution = world.resources.versions.describe(world.active_version()).solution_arn
    campaign = world.campaign(f"{solution}/$LATEST", campaign_config={"syncWithLatestSolutionVersion": True})
    world.serve("worker")
    next_version(world, campaign)
    world.sweep()
    world.serve("worker", Phase.FAILED, "no memory")

    world.sweep()

    assert update_of(world, campaign).status == "CREATE FAILED"


def test_campaign_that_does_not_follow_stays_with_its_version(world):
    campaign = world.active_campaign()
    next_version(world, campaign)

    world.sweep()

    assert update_of(world, campaign) is None


def test_campaigns_of_a_group_have_a_quota(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(campaigns_per_group=1))
    version = world.active_version()
    world.campaign(version)

    with pytest.raises(LimitExceeded, match="campaigns_per_group"):
        world.campaign(version)
    world.metadata_store.close()


def test_workers_that_ask_again_wake_nobody_and_are_not_written_down_each_time(world):
    revision = world.watch("worker")
    world.watch("worker", revision)
    changes, noted = world.metadata_store.changed.changes, last_seen(world)

    world.clock.advance(seconds=1)
    world.watch("worker", revision)
    assert last_seen(world) == noted
    world.clock.advance(seconds=9)
    world.watch("worker", revision)
    assert last_seen(world) == world.clock.now()
    assert world.metadata_store.changed.changes == changes

    world.watch("worker", revision - 1)
    assert world.metadata_store.changed.changes == changes + 1


def last_seen(world):
    with world.metadata_store.read() as unit:
        return unit.get(RuntimeWorker, "worker").last_seen_at


def test_worker_that_is_gone_for_long_is_forgotten(world):
    world.active_campaign()
    world.clock.advance(seconds=30 * 21)
    world.sweep()
    second = world.campaign(world.active_version())

    world.serve("another")

    assert status(world, second) == "ACTIVE"
