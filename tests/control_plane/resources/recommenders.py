"""Recommenders in the states that tests begin with, and what is to be seen of them."""

from __future__ import annotations

from control_plane.metadata_store.tables import Solution, SolutionVersion
from control_plane.serving.assignments import assignment_set
from tests.control_plane.world import avro, column

FEW_EVENTS = "Create failed. Dataset has fewer than 1000 interactions after filtering by event type: View. It has 7."
SHOP_ITEMS = avro(
    "Items",
    column("ITEM_ID"),
    column("PRICE", "float"),
    column("CATEGORY_L1", categorical=True),
    column("BRAND", ["null", "string"], categorical=True),
)
BRAND_LEFT_OUT = {"excludedDatasetColumns": {"ITEMS": ["BRAND"]}}


def described(world, recommender):
    return world.resources.recommenders.describe(recommender)


def assigned(world):
    """Return the assignments by ARN, as no worker sees them."""
    return {item.serving_arn: item for item in world.metadata_store.view(assignment_set).assignments}


def update_of(world, recommender):
    update = described(world, recommender).latest_update
    return None if update is None else (update.status, update.failure_reason)


def shop(world):
    """Return a domain group with interactions and items."""
    group = world.imported_group("ECOMMERCE")
    world.import_job(world.dataset(group, "Items", SHOP_ITEMS))
    world.finish_next({"imported_rows": 10, "files": 1})
    return group


def active(world, group):
    recommender = world.recommender(group)
    world.finish_next({"metrics": {"coverage": 0.5}})
    world.serve("worker")
    return recommender


def fail_next(world, reason):
    lease = world.lease()
    world.queue.fail(lease.job.id, lease.token, reason=reason, retryable=False)


def versions_of(world, recommender):
    order = ["creation_date_time", "arn"]
    return world.metadata_store.view(lambda unit: unit.find(SolutionVersion, solution_arn=recommender, order=order))


def rows(world, table, **where):
    return world.metadata_store.view(lambda unit: unit.count(table, limit=9, **where))


def retrain(world, recommender, result):
    """Train a recommender as its schedule does."""
    world.clock.advance(seconds=1)
    versions = world.resources.versions._operations
    version = world.metadata_store.transact(
        lambda unit: versions.train(unit, unit.get(Solution, recommender), training_type="AUTOMATIC"),
        account=recommender.split(":")[4],
    )
    world.finish_next(result)
    return version.arn


def stopped(world):
    recommender = world.active_recommender()
    world.resources.recommenders.stop(recommender)
    world.serve("worker")
    world.sweep()
    return recommender
