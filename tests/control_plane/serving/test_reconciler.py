"""Campaigns by the reports of runtime workers: they become active, fail, are updated."""

from __future__ import annotations

from control_plane.serving.reconciler import Phase


def test_campaign_waits_for_a_worker(world):
    campaign = world.campaign(world.active_version())
    world.sweep()

    assert world.status(campaign) == "CREATE PENDING"


def test_campaign_is_active_when_every_live_worker_is_ready(world):
    campaign = world.campaign(world.active_version())
    world.watch("worker-1")
    world.watch("worker-2")

    world.serve("worker-1", Phase.LOADING)
    assert world.status(campaign) == "CREATE IN_PROGRESS"
    world.serve("worker-1")
    assert world.status(campaign) == "CREATE IN_PROGRESS"
    world.serve("worker-2")

    assert world.status(campaign) == "ACTIVE"


def test_silent_worker_does_not_hold_a_campaign_up(world):
    campaign = world.campaign(world.active_version())
    world.watch("silent")
    world.clock.advance(seconds=31)

    world.serve("worker")

    assert world.status(campaign) == "ACTIVE"


def test_worker_that_falls_silent_while_others_are_ready_is_noticed(world):
    campaign = world.campaign(world.active_version())
    world.watch("silent")
    world.clock.advance(seconds=20)
    world.serve("worker")
    assert world.status(campaign) == "CREATE IN_PROGRESS"

    world.clock.advance(seconds=20)
    world.sweep()

    assert world.status(campaign) == "ACTIVE"


def test_campaign_that_a_worker_cannot_load_fails_with_its_reason(world):
    campaign = world.campaign(world.active_version())
    world.watch("worker-2")
    world.serve("worker-1", Phase.FAILED, "item_vectors.npy is damaged")
    assert world.status(campaign) == "CREATE IN_PROGRESS"

    world.serve("worker-2")

    row = world.resources.campaigns.describe(campaign).campaign
    assert row.status == "CREATE FAILED"
    assert row.failure_reason == "1 of 2 runtime workers could not load it: item_vectors.npy is damaged"
    assert world.assigned() == {}


def test_worker_that_loads_for_too_long_does_not_hold_a_campaign_up(world):
    campaign = world.campaign(world.active_version())
    world.serve("slow", Phase.LOADING)
    world.serve("worker")
    world.clock.advance(seconds=899)
    world.serve("slow", Phase.LOADING)
    world.serve("worker")
    assert world.status(campaign) == "CREATE IN_PROGRESS"

    world.clock.advance(seconds=2)
    world.sweep()

    assert world.status(campaign) == "ACTIVE"


def test_campaign_fails_when_every_worker_loads_it_for_too_long(world):
    campaign = world.campaign(world.active_version())
    world.serve("slow", Phase.LOADING)
    world.clock.advance(seconds=901)

    world.serve("slow", Phase.LOADING)

    row = world.resources.campaigns.describe(campaign).campaign
    assert row.status == "CREATE FAILED"
    assert row.failure_reason == "none of 1 runtime workers loaded it within 900 seconds"


def test_failure_of_a_worker_with_an_active_campaign_is_shown_until_it_is_over(world):
    campaign = world.active_campaign()
    world.watch("other")

    world.serve("other", Phase.FAILED, "item_vectors.npy is damaged")

    row = world.resources.campaigns.describe(campaign).campaign
    assert row.status == "ACTIVE"
    assert row.failure_reason == "1 of 2 runtime workers could not load it: item_vectors.npy is damaged"
    assert world.assigned()[campaign].active

    world.serve("other")

    assert world.resources.campaigns.describe(campaign).campaign.failure_reason is None


def test_failure_of_a_worker_that_is_gone_is_no_longer_shown(world):
    campaign = world.active_campaign()
    world.serve("other", Phase.FAILED, "item_vectors.npy is damaged")
    world.clock.advance(seconds=31)

    world.serve("worker")

    assert world.resources.campaigns.describe(campaign).campaign.failure_reason is None


def test_update_is_loaded_while_the_old_deployment_answers(world):
    campaign = world.active_campaign()
    old = world.assigned()[campaign]
    version = world.next_version(campaign)

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
    version = world.next_version(campaign)
    world.resources.campaigns.update(campaign, solution_version_arn=version)

    world.clock.advance(seconds=31)
    world.serve("worker")

    view = world.resources.campaigns.describe(campaign)
    assert view.serving.solution_version_arn == version
    assert view.latest_update.status == "ACTIVE"


def test_failed_update_brings_the_old_deployment_back(world):
    campaign = world.active_campaign()
    old = world.assigned("worker")[campaign]
    world.resources.campaigns.update(campaign, solution_version_arn=world.next_version(campaign))

    world.serve("worker", Phase.FAILED, "no memory")

    view = world.resources.campaigns.describe(campaign)
    assert view.campaign.status == "ACTIVE"
    assert view.latest_update.status == "CREATE FAILED"
    assert "no memory" in view.latest_update.failure_reason
    assert world.assigned("worker")[campaign] == old


def test_failed_campaign_can_be_repaired_by_an_update(world):
    campaign = world.campaign(world.active_version())
    world.serve("worker", Phase.FAILED, "no memory")
    world.resources.campaigns.update(campaign, min_provisioned_tps=2)

    world.serve("worker")

    row = world.resources.campaigns.describe(campaign).campaign
    assert (row.status, row.failure_reason) == ("ACTIVE", None)


def test_worker_that_is_silent_for_long_is_removed(world):
    world.active_campaign()
    world.clock.advance(seconds=30 * 21)
    world.sweep()
    second = world.campaign(world.active_version())

    world.serve("another")

    assert world.status(second) == "ACTIVE"
