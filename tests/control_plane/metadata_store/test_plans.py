"""How the databases find rows: every list and description reads from an index, in its order, however much there is."""

from __future__ import annotations

from datetime import timedelta
from functools import partial

import pytest
import sqlalchemy as sa
from sqlalchemy import event
from sqlmodel import SQLModel

from control_plane.domain.paging import Position
from control_plane.metadata_store.sql import open_metadata_store
from control_plane.metadata_store.tables import (
    AnyResource,
    AttributedMetric,
    Campaign,
    DatasetSchema,
    Deployment,
    Job,
    SolutionVersion,
    Tag,
)
from control_plane.resources.trackers import EventTrackers
from control_plane.servicers.control.servicer import CONTROL_PLANE_SERVICE
from tests.control_plane.metadata_store.suite import MINE, MOMENT, add, arn, group, solution

N_CAMPAIGNS = 10_000
SOLUTION = arn("solution", "films")
#: Parents that no list names: how their resources are found is looked at, their order does not matter.
NOT_LISTED = {("dataset", "schema_arn"), ("solution_version", "dataset_group_arn")}


@pytest.fixture(scope="module", params=["sqlite", "postgresql"])
def crowded(request, tmp_path_factory):
    """Make a database with 10,000 campaigns of one solution, the newest of them of another."""
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path_factory.mktemp('plans') / 'metadata_store.db'}"
    else:
        url = request.getfixturevalue("postgres").database()
    metadata_store = open_metadata_store(url)
    # A table of one row is best read whole.
    add(metadata_store, *(group(number) for number in range(1, 50)), solution("films"), solution("shop"))
    with metadata_store._database.writing.begin() as connection:
        connection.execute(
            sa.insert(Campaign),
            [
                {
                    "arn": arn("campaign", number),
                    "name": str(number),
                    "solution_arn": SOLUTION if number < N_CAMPAIGNS - 1 else arn("solution", "shop"),
                    "status": "ACTIVE",
                    "creation_date_time": MOMENT + timedelta(seconds=number // 10),
                    "last_updated_date_time": MOMENT,
                }
                for number in range(N_CAMPAIGNS)
            ],
        )
        connection.exec_driver_sql("ANALYZE")
    yield metadata_store
    metadata_store.close()


def plans(metadata_store, work, *, small: bool) -> list[str]:
    """Return the plans of the statements of a unit of work of an account.

    Args:
        metadata_store: The store.
        work: The unit of work.
        small: Whether the tables have so few rows that PostgreSQL would rather read and sort them all.
    """
    statements: list[tuple[str, object]] = []

    def record(connection, cursor, statement, parameters, *_: object) -> None:
        if statement.startswith("SELECT"):
            statements.append((statement, parameters))

    database = metadata_store._database
    event.listen(database.reading, "before_cursor_execute", record)
    try:
        metadata_store.view(work, account=MINE)
    finally:
        event.remove(database.reading, "before_cursor_execute", record)
    assert statements
    with database.reading.connect() as connection:
        if connection.dialect.name == "sqlite":
            return [
                "\n".join(row[3] for row in connection.exec_driver_sql(f"EXPLAIN QUERY PLAN {statement}", parameters))
                for statement, parameters in statements
            ]
        for method in ("seqscan", "bitmapscan", "sort") if small else ():
            connection.exec_driver_sql(f"SET LOCAL enable_{method} = off")
        return [
            "\n".join(row[0] for row in connection.exec_driver_sql(f"EXPLAIN {statement}", parameters))
            for statement, parameters in statements
        ]


#: Tables that no Describe and List operation reads alone; their queries have cases of their own here where calls wait.
OTHER_TABLES = {
    "attributed_metric", "deployment", "events_service", "job", "job_attempt", "removed_folder", "runtime_worker",
    "schedule", "scheduler_lease", "serving_report", "serving_revision", "tag",
}  # fmt: skip
#: Resources that come with the product are in no table.
IN_NO_TABLE = {"Algorithm", "FeatureTransformation", "Recipe"}
#: Described by services of their own, and listed by none.
NOT_OF_PERSONALIZE = {"UserSearch"}


def test_every_table_is_one_of_resources_or_named_here():
    names = {table.name for table in SQLModel.metadata.sorted_tables}

    assert names == OTHER_TABLES | {table.__tablename__ for table in tables()}


def test_every_description_and_list_reads_a_table_whose_plans_are_looked_at():
    names = {table.__name__.removeprefix("Dataset") if table is DatasetSchema else table.__name__ for table in tables()}
    operations = [method.name for method in CONTROL_PLANE_SERVICE.methods]
    described = {name.removeprefix("Describe") for name in operations if name.startswith("Describe")}
    listed = {name.removeprefix("List").removesuffix("s") for name in operations if name.startswith("List")}

    assert described - IN_NO_TABLE == names - NOT_OF_PERSONALIZE
    assert listed - IN_NO_TABLE - {"TagsForResource", "MetricAttributionMetric"} == names - NOT_OF_PERSONALIZE


def page(unit, *, table: type[AnyResource], after: Position | None, where: dict[str, str]) -> list[AnyResource]:
    return unit.page(table, after=after, limit=101, **where)


def reads_all(plan: str) -> bool:
    # SQLite scans what it has found in an index, where only so many rows are counted.
    return "SCAN" in plan.replace("SCAN anon_1", "") or "Seq Scan" in plan


def sorts(plan: str) -> bool:
    return "TEMP B-TREE" in plan or "Sort" in plan


def tables() -> list[type[AnyResource]]:
    """Return the tables of all resources; a class between may have columns and no table."""
    concrete, classes = [], AnyResource.__subclasses__()
    while classes:
        kind = classes.pop()
        classes += kind.__subclasses__()
        concrete += [kind] if hasattr(kind, "__table__") else []
    return sorted(concrete, key=lambda table: table.__tablename__)


def parents(table: type[AnyResource]) -> list[str]:
    return sorted(column.name for column in sa.inspect(table).columns if column.foreign_keys)


@pytest.mark.parametrize("after", [None, Position(MOMENT, "arn")], ids=["first", "later"])
@pytest.mark.parametrize("table", tables(), ids=lambda table: table.__tablename__)
def test_pages_are_read_in_order_from_an_index(crowded, table, after):
    for parent in (None, *parents(table)):
        where = {parent: SOLUTION} if parent else {}
        (plan,) = plans(crowded, partial(page, table=table, after=after, where=where), small=True)
        assert not reads_all(plan), plan
        assert (table.__tablename__, parent) in NOT_LISTED or not sorts(plan), plan


@pytest.mark.parametrize("table", tables(), ids=lambda table: table.__tablename__)
def test_a_resource_is_found_by_its_key(crowded, table):
    (plan,) = plans(crowded, lambda unit: unit.get(table, "arn"), small=True)
    assert not reads_all(plan), plan


@pytest.mark.parametrize(
    "work",
    [
        lambda unit: unit.first(SolutionVersion, solution_arn=SOLUTION, order=["-creation_date_time", "-arn"]),
        lambda unit: unit.find(Deployment, target_arn="arn", order=["number"]),
        lambda unit: unit.find(Deployment, solution_version_arn="arn", refused=True, order=["creation_date_time"]),
        lambda unit: unit.find(Tag, resource_arn="arn", order=["tag_key"]),
        lambda unit: unit.find(AttributedMetric, metric_attribution_arn="arn", order=["metric_name"]),
    ],
    ids=["newest version", "deployments", "refusals", "tags", "metrics"],
)
def test_what_belongs_to_a_resource_is_read_in_order_from_an_index(crowded, work):
    (plan,) = plans(crowded, work, small=True)
    assert not reads_all(plan), plan
    assert not sorts(plan), plan


@pytest.mark.parametrize(
    "work",
    [
        lambda unit: unit.count(Campaign, limit=9, solution_arn={SOLUTION, "another"}),
        lambda unit: unit.count(SolutionVersion, limit=9, status={"CREATE PENDING", "CREATE IN_PROGRESS"}),
        lambda unit: unit.first(Job, subject="arn", state={"WAITING", "LEASED"}),
        lambda unit: unit.due_schedules(now=MOMENT, limit=20),
        lambda unit: unit.due_groups(now=MOMENT, limit=20),
        lambda unit: unit.due_features(now=MOMENT, limit=20),
        lambda unit: EventTrackers.active_tables(unit, ["datasets/films", "datasets/shop"], with_schemas=False),
    ],
    ids=[
        "campaigns of solutions",
        "versions in progress",
        "job of a resource",
        "due schedules",
        "due groups",
        "due snapshots of features",
        "tables in use",
    ],
)
def test_quotas_jobs_and_schedules_are_looked_up_in_an_index(crowded, work):
    (plan,) = plans(crowded, work, small=True)
    assert not reads_all(plan), plan


@pytest.mark.parametrize("where", [{}, {"solution_arn": SOLUTION}, {"solution_arn": arn("solution", "shop")}])
@pytest.mark.parametrize("number", [None, N_CAMPAIGNS // 2])
def test_ten_thousand_campaigns_are_listed_without_reading_them_all(crowded, where, number):
    after = None if number is None else Position(MOMENT + timedelta(seconds=number // 10), arn("campaign", number))

    (plan,) = plans(crowded, partial(page, table=Campaign, after=after, where=where), small=False)

    assert not reads_all(plan), plan
    assert not sorts(plan) or where.get("solution_arn") == arn("solution", "shop"), plan
    # The condition of a later page bounds what is read of the index, so that the last page takes as long as the first.
    assert number is None or "(creation_date_time,arn)>" in plan or "ROW(creation_date_time" in plan, plan


def test_all_of_ten_thousand_campaigns_are_listed_once(crowded):
    seen, after = [], None
    while rows := crowded.view(lambda unit, after=after: unit.page(Campaign, after=after, limit=1000), account=MINE):
        seen += [row.arn for row in rows]
        after = Position(rows[-1].creation_date_time, rows[-1].arn)

    assert len(seen) == len(set(seen)) == N_CAMPAIGNS
