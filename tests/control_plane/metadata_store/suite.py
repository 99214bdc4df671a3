"""The contract of the metadata store; each implementation runs it as a subclass with a fixture that makes one."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from control_plane.domain.jobs import JobKind, JobState, Outcome
from control_plane.domain.paging import Position
from control_plane.domain.states import Status
from control_plane.metadata_store.tables import (
    Dataset,
    DatasetGroup,
    DatasetSchema,
    EventsService,
    Job,
    JobAttempt,
    RuntimeWorker,
    Schedule,
    Solution,
    Tag,
)
from protos.tailorbird.control.v1.solution_config_pb2 import (
    OBJECTIVE_SENSITIVITY_LOW,
    AutoMLConfig,
    OptimizationObjective,
    SolutionConfig,
)

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)
MINE, THEIRS = "111111111111", "222222222222"


def arn(kind: str, name: object, *, account: str = MINE) -> str:
    return f"arn:aws:personalize:eu-west-1:{account}:{kind}/{name}"


def group(number: int, *, second: int = 0, account: str = MINE) -> DatasetGroup:
    moment = MOMENT + timedelta(seconds=second)
    return DatasetGroup(
        arn=group_arn(number, account=account),
        name=f"group-{number}",
        creation_date_time=moment,
        last_updated_date_time=moment,
    )


def group_arn(number: int, *, account: str = MINE) -> str:
    return arn("dataset-group", f"group-{number}", account=account)


def dataset(number: int, **extra) -> Dataset:
    """Return a dataset of the group and of the schema of this number."""
    columns = {
        "arn": arn("dataset", number),
        "name": f"dataset-{number}",
        "dataset_type": "ITEMS",
        "location": f"datasets/{number}",
        **extra,
    }
    return Dataset(
        dataset_group_arn=group_arn(number),
        schema_arn=arn("schema", number),
        creation_date_time=MOMENT,
        last_updated_date_time=MOMENT,
        **columns,
    )


def schema(number: int) -> DatasetSchema:
    return DatasetSchema(
        arn=arn("schema", number),
        name=f"schema-{number}",
        schema_text="{}",
        dataset_type="ITEMS",
        creation_date_time=MOMENT,
        last_updated_date_time=MOMENT,
    )


def job(number: int, *, state: JobState = JobState.WAITING, kind: JobKind = JobKind.DATASET_IMPORT, **extra) -> Job:
    moment = MOMENT + timedelta(seconds=number)
    return Job(
        id=f"job-{number}",
        kind=kind,
        state=state,
        request_id="",
        payload={"number": number},
        **{"subject": f"subject-{number}", "available_at": moment, "created_at": moment, **extra},
    )


def solution(name: str, **columns) -> Solution:
    return Solution(
        arn=arn("solution", name),
        name=name,
        dataset_group_arn=group_arn(1),
        creation_date_time=MOMENT,
        last_updated_date_time=MOMENT,
        **{"recipe_arn": "recipe", **columns},
    )


def attempt(job_id: str, *, second: int) -> JobAttempt:
    moment = MOMENT + timedelta(seconds=second)
    return JobAttempt(
        lease_token=f"token-{job_id}",
        job_id=job_id,
        number=1,
        worker_id="trainer",
        outcome=Outcome.RUNNING,
        started_at=moment,
        last_sign_at=moment,
    )


class MetadataStoreSuite:
    """Subclasses provide the fixture `metadata_store`: empty, with its tables made."""

    def test_rows_come_back_as_they_were_added(self, metadata_store):
        add(metadata_store, group(1))

        row = metadata_store.view(lambda unit: unit.get(DatasetGroup, group_arn(1)))
        assert row.name == "group-1"
        assert row.account == MINE
        assert row.creation_date_time == MOMENT
        assert row.creation_date_time.tzinfo is not None

    def test_messages_come_back_as_they_were_added(self, metadata_store):
        config = SolutionConfig(
            algorithm_hyper_parameters={"bptt": "8"},
            auto_ml_config=AutoMLConfig(metric_name="coverage"),
            optimization_objective=OptimizationObjective(objective_sensitivity=OBJECTIVE_SENSITIVITY_LOW),
            empty_members=["featureTransformationParameters"],
        )
        changed = SolutionConfig(event_value_threshold="1")

        def kept(name: str) -> SolutionConfig | None:
            return metadata_store.view(lambda unit: unit.get(Solution, arn("solution", name))).solution_config

        def change(unit) -> None:
            unit.get(Solution, arn("solution", "with")).solution_config = changed

        empty = solution("empty", solution_config=SolutionConfig())
        add(metadata_store, group(1), solution("with", solution_config=config), empty, solution("without"))

        assert [kept("with"), kept("empty"), kept("without")] == [config, SolutionConfig(), None]
        metadata_store.transact(change)
        assert kept("with") == changed

    def test_missing_row_is_none(self, metadata_store):
        assert metadata_store.view(lambda unit: unit.get(DatasetGroup, group_arn(404))) is None
        assert metadata_store.view(lambda unit: unit.first(DatasetGroup, name="x")) is None

    def test_changed_attributes_are_kept(self, metadata_store):
        def change(unit) -> None:
            unit.get(DatasetGroup, group_arn(1)).domain = "ECOMMERCE"

        add(metadata_store, group(1))
        metadata_store.transact(change)

        assert metadata_store.view(lambda unit: unit.get(DatasetGroup, group_arn(1)).domain) == "ECOMMERCE"

    def test_exception_undoes_the_whole_unit(self, metadata_store):
        def add_and_fail(unit) -> None:
            unit.add(group(1))
            raise RuntimeError

        with pytest.raises(RuntimeError):
            metadata_store.transact(add_and_fail)

        assert metadata_store.view(lambda unit: unit.count(DatasetGroup, limit=9)) == 0

    def test_actions_follow_the_commit_and_are_forgotten_without_one(self, metadata_store):
        seen = []

        def look() -> None:
            seen.append(metadata_store.view(lambda unit: unit.count(DatasetGroup, limit=9)))

        def add_one(unit) -> None:
            unit.add(group(1))
            unit.after_commit(look)
            assert seen == []

        def add_and_fail(unit) -> None:
            unit.after_commit(look)
            raise RuntimeError

        metadata_store.transact(add_one)
        with pytest.raises(RuntimeError):
            metadata_store.transact(add_and_fail)

        assert seen == [1]

    def test_conditions_are_equality_membership_and_absence(self, metadata_store):
        shop = group(3)
        shop.domain = "ECOMMERCE"
        add(metadata_store, group(0), group(1), group(2), shop)

        def look(unit) -> None:
            assert [row.arn for row in unit.find(DatasetGroup, name="group-2")] == [group_arn(2)]
            assert unit.count(DatasetGroup, limit=9, name={"group-0", "group-1", "other"}) == 2
            assert unit.count(DatasetGroup, limit=9, name=frozenset()) == 0
            assert unit.count(DatasetGroup, limit=9, domain=None) == 3
            assert unit.count(DatasetGroup, limit=2, domain=None) == 2
            assert len(unit.find(DatasetGroup, limit=2, order=["name"])) == 2

        metadata_store.view(look)

    def test_order_ascends_and_descends(self, metadata_store):
        add(metadata_store, group(1, second=5), group(2, second=5), group(3, second=1))

        rows = metadata_store.view(lambda unit: unit.find(DatasetGroup, order=["-creation_date_time", "arn"]))
        first = metadata_store.view(lambda unit: unit.first(DatasetGroup, order=["creation_date_time"]))
        assert [row.name for row in rows] == ["group-1", "group-2", "group-3"]
        assert first.name == "group-3"

    def test_pages_join_without_gap_or_repeat_also_at_equal_times(self, metadata_store):
        add(metadata_store, *(group(number, second=number // 3) for number in range(7)))

        pages, after = [], None
        while page := metadata_store.view(
            lambda unit, after=after: unit.page(DatasetGroup, after=after, limit=2), account=MINE
        ):
            pages.append([int(row.name.removeprefix("group-")) for row in page])
            after = Position(page[-1].creation_date_time, page[-1].arn)
        assert pages == [[0, 1], [2, 3], [4, 5], [6]]

    def test_a_bound_unit_sees_one_account_only(self, metadata_store):
        add(metadata_store, group(1), group(2), group(1, account=THEIRS))
        add(
            metadata_store,
            *(Tag(resource_arn=group_arn(1, account=a), tag_key="k", tag_value=a) for a in (MINE, THEIRS)),
        )

        def look(unit) -> None:
            assert unit.account == THEIRS
            assert unit.get(DatasetGroup, group_arn(1)) is None
            assert unit.get(Tag, (group_arn(1), "k")) is None
            assert unit.get(DatasetGroup, group_arn(1, account=THEIRS)) is not None
            assert [row.account for row in unit.find(DatasetGroup)] == [THEIRS]
            assert unit.first(DatasetGroup, name="group-2") is None
            assert unit.count(DatasetGroup, limit=9) == 1
            assert [row.tag_value for row in unit.find(Tag)] == [THEIRS]
            assert len(unit.page(DatasetGroup, after=None, limit=9)) == 1

        metadata_store.view(look, account=THEIRS)
        metadata_store.transact(look, account=THEIRS)
        assert metadata_store.view(lambda unit: unit.count(DatasetGroup, limit=9)) == 3

    def test_a_bound_unit_adds_no_row_of_another_account(self, metadata_store):
        with pytest.raises(ValueError, match=f"`account`: got a row of {THEIRS}, want one of {MINE}"):
            metadata_store.transact(lambda unit: unit.add(group(1, account=THEIRS)), account=MINE)

        assert metadata_store.view(lambda unit: unit.count(DatasetGroup, limit=9)) == 0

    def test_names_are_unique_within_an_account(self, metadata_store):
        add(metadata_store, group(1), group(1, account=THEIRS))
        same_name = group(2)
        same_name.name = "group-1"

        with pytest.raises(IntegrityError):
            add(metadata_store, same_name)

    def test_parents_are_held_by_their_children(self, metadata_store):
        add(metadata_store, group(1), schema(1), dataset(1))

        with pytest.raises(IntegrityError):
            metadata_store.transact(lambda unit: unit.remove(unit.get(DatasetGroup, group_arn(1))))

    def test_compound_keys_find_their_row(self, metadata_store):
        add(metadata_store, Tag(resource_arn=group_arn(1), tag_key="k", tag_value="v"))

        assert metadata_store.view(lambda unit: unit.get(Tag, (group_arn(1), "k")).tag_value) == "v"

    def test_reading_unit_sees_one_state_throughout(self, metadata_store):
        def look(unit) -> None:
            assert unit.count(DatasetGroup, limit=9) == 0
            add(metadata_store, group(1))
            assert unit.count(DatasetGroup, limit=9) == 0

        metadata_store.view(look)
        assert metadata_store.view(lambda unit: unit.count(DatasetGroup, limit=9)) == 1

    def test_changes_only_are_notified(self, metadata_store):
        changes = metadata_store.changed.changes
        metadata_store.transact(lambda unit: unit.count(DatasetGroup, limit=9))
        assert metadata_store.changed.changes == changes

        add(metadata_store, group(1))
        assert metadata_store.changed.changes == changes + 1

    def test_heartbeats_alone_are_no_change(self, metadata_store):
        later = MOMENT + timedelta(seconds=9)

        def beat(unit) -> None:
            row = unit.get(Job, "job-1")
            row.lease_expires_at, row.progress, row.activity = later, 0.5, "epoch 4 of 30"
            unit.get(JobAttempt, "token-job-1").last_sign_at = later
            unit.get(RuntimeWorker, "worker").last_seen_at = later
            unit.get(EventsService, "service").last_seen_at = later

        def learn(unit) -> None:
            worker = unit.get(RuntimeWorker, "worker")
            worker.last_seen_at, worker.known_revision = MOMENT, 7

        add(
            metadata_store,
            job(1, state=JobState.LEASED),
            attempt("job-1", second=1),
            RuntimeWorker(runtime_id="worker", last_seen_at=MOMENT),
            EventsService(service_id="service", last_seen_at=MOMENT),
        )
        changes = metadata_store.changed.changes

        metadata_store.transact(beat)
        assert metadata_store.changed.changes == changes
        assert metadata_store.view(lambda unit: unit.get(RuntimeWorker, "worker").last_seen_at) == later

        metadata_store.transact(learn)
        assert metadata_store.changed.changes == changes + 1

    def test_due_job_is_the_oldest_of_the_requested_kinds(self, metadata_store):
        others = [job(1, kind=JobKind.STORAGE_REMOVAL), job(0, state=JobState.LEASED)]
        add(metadata_store, job(3), job(2), *others)
        kinds, later = {JobKind.DATASET_IMPORT}, MOMENT + timedelta(minutes=1)

        due_job = metadata_store.view(lambda unit: unit.due_job(kinds, now=later))
        assert due_job.id == "job-2"
        assert due_job.payload == {"number": 2}
        assert metadata_store.view(lambda unit: unit.due_job(set(JobKind), now=MOMENT)) is None

    def test_jobs_that_write_into_one_folder_are_due_one_after_the_other(self, metadata_store):
        folders = ["s3://results", "s3://results", "s3://others", None]
        add(metadata_store, *(job(number, output_folder=folder) for number, folder in enumerate(folders)))

        def take(unit) -> str | None:
            due = unit.due_job({JobKind.DATASET_IMPORT}, now=MOMENT + timedelta(minutes=1))
            if due is not None:
                due.state = JobState.LEASED
            return due and due.id

        def end(unit) -> None:
            unit.get(Job, "job-0").state = JobState.SUCCEEDED

        assert [metadata_store.transact(take) for _ in range(4)] == ["job-0", "job-2", "job-3", None]
        metadata_store.transact(end)
        assert metadata_store.transact(take) == "job-1"

    def test_due_schedules_are_those_that_have_waited_longest(self, metadata_store):
        names = ["third", "first", "later", "second"]
        seconds = [3, 1, 9, 2]
        add(metadata_store, group(1), *(solution(name) for name in names))
        add(
            metadata_store,
            *(
                Schedule(
                    solution_arn=arn("solution", name),
                    interval_seconds=1,
                    begun_at=MOMENT,
                    next_run_at=MOMENT + timedelta(seconds=second),
                )
                for name, second in zip(names, seconds, strict=True)
            ),
        )

        due = metadata_store.view(lambda unit: unit.due_schedules(now=MOMENT + timedelta(seconds=3), limit=2))

        assert [row.solution_arn for row in due] == [arn("solution", "first"), arn("solution", "second")]
        assert {row.account for row in due} == {MINE}
        metadata_store.transact(lambda unit: unit.remove(unit.get(Solution, arn("solution", "first"))))
        assert metadata_store.view(lambda unit: unit.count(Schedule, limit=9)) == 3

    def test_groups_are_due_from_their_time_on(self, metadata_store):
        due = {1: MOMENT, 2: None, 3: MOMENT + timedelta(seconds=9)}
        add(metadata_store, *(group(number) for number in due))

        def plan(unit):
            for number, moment in due.items():
                unit.get(DatasetGroup, group(number).arn).maintenance_due_at = moment

        metadata_store.transact(plan)
        groups_due = metadata_store.view(lambda unit: unit.due_groups(now=MOMENT, limit=5))
        assert [row.arn for row in groups_due] == [group(1).arn]

    def test_snapshots_of_features_are_due_for_active_datasets_that_no_job_is_for(self, metadata_store):
        for number in range(1, 7):
            due_at = None if number == 1 else MOMENT + timedelta(seconds=10 - number)
            status = Status.DELETE_PENDING if number == 2 else Status.ACTIVE
            add(metadata_store, group(number), schema(number), dataset(number, features_due_at=due_at, status=status))
        of_datasets = ((3, JobState.LEASED), (4, JobState.SUCCEEDED))
        add(
            metadata_store, *(job(number, subject=arn("dataset", number), state=state) for number, state in of_datasets)
        )

        def due(now: int, limit: int) -> list[str]:
            moment = MOMENT + timedelta(seconds=now)
            return metadata_store.view(lambda unit: [row.name for row in unit.due_features(now=moment, limit=limit)])

        assert due(3, limit=9) == []
        assert due(5, limit=9) == ["dataset-6", "dataset-5"]
        assert due(60, limit=9) == ["dataset-6", "dataset-5", "dataset-4"]
        assert due(60, limit=1) == ["dataset-6"]

    def test_due_jobs_come_from_dataset_groups_in_turn(self, metadata_store):
        # A turn in another lane is none in this one.
        other = {"kind": JobKind.SOLUTION_VERSION_TRAINING, "state": JobState.LEASED}
        elsewhere = job(9, dataset_group_arn="c", leased_at=MOMENT + timedelta(seconds=50), **other)
        owners = enumerate(["a", "a", "a", "b", "b", "c"])
        add(metadata_store, elsewhere, *(job(number, dataset_group_arn=owner) for number, owner in owners))

        def take(unit, second: int) -> str:
            due = unit.due_job({JobKind.DATASET_IMPORT}, now=MOMENT + timedelta(minutes=1))
            due.state, due.leased_at = JobState.LEASED, MOMENT + timedelta(seconds=second)
            return due.dataset_group_arn

        order = [metadata_store.transact(lambda unit, second=second: take(unit, second)) for second in range(6)]

        assert order == ["a", "b", "c", "a", "b", "a"]

    def test_expired_jobs_are_leased_ones_past_their_end(self, metadata_store):
        add(
            metadata_store,
            job(1, state=JobState.LEASED, lease_expires_at=MOMENT),
            job(2, state=JobState.LEASED, lease_expires_at=MOMENT + timedelta(seconds=2)),
            job(3, state=JobState.FAILED),
        )

        expired = metadata_store.view(lambda unit: unit.expired_jobs(now=MOMENT + timedelta(seconds=1)))
        assert [row.id for row in expired] == ["job-1"]

    def test_writing_units_of_many_threads_lose_nothing(self, metadata_store):
        add(metadata_store, job(1))

        def count_up() -> None:
            for _ in range(10):
                metadata_store.transact(next_attempt)

        threads = [threading.Thread(target=count_up) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        assert metadata_store.view(lambda unit: unit.get(Job, "job-1").attempt) == 40


def add(metadata_store, *rows) -> None:
    """Add rows in one unit of work."""

    def add_all(unit) -> None:
        for row in rows:
            unit.add(row)

    metadata_store.transact(add_all)


def next_attempt(unit) -> None:
    unit.get(Job, "job-1").attempt += 1
