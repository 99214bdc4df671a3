"""What holds for all kinds of resources: filters, pages, quotas."""

from __future__ import annotations

from contextlib import contextmanager
from datetime import timedelta

import pytest
from sqlalchemy import event

from common.clock import ManualClock
from common.errors import (
    InvalidNextToken,
    LimitExceeded,
)
from control_plane.domain.quotas import Quotas
from control_plane.metadata_store.tables import DatasetImportJob, DatasetSchema
from control_plane.resources.base import PageRequest
from tests.control_plane.metadata_store.suite import MOMENT
from tests.control_plane.world import (
    ACCOUNT,
    EVERYTHING,
    ITEMS,
    make_world,
)


def test_lists_are_filtered_by_their_parent(world):
    first, second = world.group(), world.group()
    mine = world.dataset(first)
    world.dataset(second)

    page = world.resources.datasets.list(EVERYTHING, dataset_group_arn=first)

    assert [row.arn for row in page.items] == [mine]
    assert len(world.resources.datasets.list(EVERYTHING, dataset_group_arn=None).items) == 2


def test_pages_join_to_the_whole_list(world):
    made = [world.group() for _ in range(5)]

    first = world.resources.dataset_groups.list(PageRequest(max_results=2))
    second = world.resources.dataset_groups.list(PageRequest(first.next_token, 2))
    third = world.resources.dataset_groups.list(PageRequest(second.next_token, 2))

    assert [row.arn for page in (first, second, third) for row in page.items] == made
    assert third.next_token is None


def test_what_is_created_behind_a_page_in_the_same_moment_is_on_the_next(world):
    groups = world.resources.dataset_groups
    names = [groups.create(name).name for name in ("m", "z")]
    first = groups.list(PageRequest(max_results=1))

    names.append(groups.create("a").name)
    world.clock.advance(seconds=-60)
    names.append(groups.create("b").name)

    second = groups.list(PageRequest(first.next_token))
    assert [row.name for row in first.items + second.items] == names
    assert all(row.last_updated_date_time >= row.creation_date_time for row in second.items)


def test_what_another_control_plane_creates_meanwhile_is_not_newer_than_what_is_committed_later(tmp_path, postgres):
    url, clock = postgres.database(), ManualClock()
    slow, fast = make_world(tmp_path, url=url, clock=clock), make_world(tmp_path, url=url, clock=clock)
    operations = slow.plane.services[0].servicer._resources.dataset_groups
    attempts = []

    def create(unit):
        made = operations.create(unit, "slow")
        if not attempts:
            clock.advance(seconds=1)
            fast.resources.dataset_groups.create("fast")
        attempts.append(made)
        return made

    slow.metadata_store.transact(create, account=ACCOUNT)

    assert len(attempts) == 2
    assert [row.name for row in slow.resources.dataset_groups.list(EVERYTHING).items] == ["fast", "slow"]
    for world in (slow, fast):
        world.metadata_store.close()


def test_page_token_is_good_for_the_same_filter_only(world):
    first, second = world.group(), world.group()
    world.dataset(first)
    world.dataset(first, "Items", ITEMS)
    page = world.resources.datasets.list(PageRequest(max_results=1), dataset_group_arn=first)

    with pytest.raises(InvalidNextToken):
        world.resources.datasets.list(PageRequest(page.next_token, 1), dataset_group_arn=second)


@pytest.mark.parametrize(
    ("quota", "make"),
    [
        ("dataset_groups", lambda world, group: world.group()),
        ("schemas", lambda world, group: world.resources.schemas.create(world.name("s"), ITEMS)),
        ("solutions_per_group", lambda world, group: world.solution(group)),
    ],
)
def test_quota_refuses_one_too_many_and_leaves_nothing_behind(tmp_path, quota, make):
    world = make_world(tmp_path, quotas=Quotas(**{quota: 1}))
    group = world.group() if quota != "dataset_groups" else None
    make(world, group)

    with pytest.raises(LimitExceeded, match=f"`{quota}`: got 2, want at most 1"):
        make(world, group)

    assert len(world.resources.dataset_groups.list(EVERYTHING).items) == 1 or quota == "schemas"
    world.metadata_store.close()


def test_pending_imports_and_versions_have_quotas(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(pending_imports=1, pending_solution_versions=1))
    group = world.imported_group()
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    world.import_job(dataset.arn)
    solution = world.solution(group)
    world.version(solution)

    with pytest.raises(LimitExceeded, match="pending_imports"):
        world.import_job(dataset.arn)
    with pytest.raises(LimitExceeded, match="pending_solution_versions"):
        world.version(solution)
    world.metadata_store.close()


@contextmanager
def counted_steps(world):
    """Yield a list, to which every hundred instructions of SQLite's machine in writing units add an entry."""
    steps: list[None] = []
    engine = world.metadata_store._database.writing

    def count(connection, *_: object) -> None:
        connection.set_progress_handler(lambda: steps.append(None), 100)

    event.listen(engine, "checkout", count)
    try:
        yield steps
    finally:
        event.remove(engine, "checkout", count)
        with engine.connect() as connection:
            connection.connection.dbapi_connection.set_progress_handler(None, 100)


def add_schemas(world, numbers: range) -> None:
    world.metadata_store.transact(
        lambda unit: [
            unit.add(
                DatasetSchema(
                    arn=f"arn:aws:personalize:eu-west-1:{ACCOUNT}:schema/old-{number}",
                    name=f"old-{number}",
                    schema_text=ITEMS,
                    dataset_type="ITEMS",
                    creation_date_time=MOMENT,
                    last_updated_date_time=MOMENT,
                )
            )
            for number in numbers
        ],
        account=ACCOUNT,
    )


def add_imports(world, dataset: str, numbers: range) -> None:
    world.metadata_store.transact(
        lambda unit: [
            unit.add(
                DatasetImportJob(
                    arn=f"arn:aws:personalize:eu-west-1:{ACCOUNT}:dataset-import-job/old-{number}",
                    job_name=f"old-{number}",
                    dataset_arn=dataset,
                    data_location="s3://bucket/old.csv",
                    import_mode="FULL",
                    status="ACTIVE",
                    creation_date_time=MOMENT + timedelta(seconds=number),
                    last_updated_date_time=MOMENT,
                )
            )
            for number in numbers
        ],
        account=ACCOUNT,
    )


def test_an_import_and_a_training_look_at_no_more_of_many_earlier_imports(world):
    group = world.imported_group()
    (dataset,) = world.resources.datasets.list(EVERYTHING, dataset_group_arn=group).items
    solution = world.solution(group)

    def create() -> int:
        with counted_steps(world) as steps:
            world.import_job(dataset.arn)
            world.version(solution)
        return len(steps)

    add_imports(world, dataset.arn, range(20))
    create()
    with_few = create()
    add_imports(world, dataset.arn, range(20, 800))

    assert create() <= with_few + 5


def test_a_quota_looks_at_no_more_resources_than_it_allows(tmp_path):
    world = make_world(tmp_path, quotas=Quotas(schemas=2))

    def refuse() -> int:
        with counted_steps(world) as steps, pytest.raises(LimitExceeded, match="`schemas`: got 3, want at most 2"):
            world.resources.schemas.create(world.name("s"), ITEMS)
        return len(steps)

    add_schemas(world, range(3))
    refuse()
    with_few = refuse()
    add_schemas(world, range(3, 800))

    assert refuse() <= with_few + 5
    world.metadata_store.close()
