"""The contract of the metadata store; each implementation runs it as a subclass with a fixture that makes one."""

from __future__ import annotations

import threading
from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy.exc import IntegrityError

from control_plane.domain.jobs import JobKind, JobState, Outcome
from control_plane.domain.paging import Position
from control_plane.metadata_store.tables import (
    Dataset,
    DatasetGroup,
    DatasetSchema,
    EventsService,
    Job,
    JobAttempt,
    RuntimeWorker,
    Tag,
)

MOMENT = datetime(2026, 1, 2, 3, 4, 5, 678901, tzinfo=UTC)


def group(number: int, *, second: int = 0) -> DatasetGroup:
    moment = MOMENT + timedelta(seconds=second)
    return DatasetGroup(
        arn=f"arn-{number:03}", name=f"group-{number}", creation_date_time=moment, last_updated_date_time=moment
    )


def job(number: int, *, state: JobState = JobState.WAITING, kind: JobKind = JobKind.DATASET_IMPORT, **extra) -> Job:
    moment = MOMENT + timedelta(seconds=number)
    return Job(
        id=f"job-{number}",
        kind=kind,
        state=state,
        subject=f"subject-{number}",
        request_id="",
        payload={"number": number},
        **{"available_at": moment, "created_at": moment, **extra},
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
        with metadata_store.write() as unit:
            unit.add(group(1))

        with metadata_store.read() as unit:
            row = unit.get(DatasetGroup, "arn-001")
        assert row.name == "group-1"
        assert row.creation_date_time == MOMENT
        assert row.creation_date_time.tzinfo is not None

    def test_missing_row_is_none(self, metadata_store):
        with metadata_store.read() as unit:
            assert unit.get(DatasetGroup, "arn-404") is None
            assert unit.first(DatasetGroup, name="x") is None

    def test_changed_attributes_are_kept(self, metadata_store):
        with metadata_store.write() as unit:
            unit.add(group(1))
        with metadata_store.write() as unit:
            unit.get(DatasetGroup, "arn-001").domain = "ECOMMERCE"

        with metadata_store.read() as unit:
            assert unit.get(DatasetGroup, "arn-001").domain == "ECOMMERCE"

    def test_exception_undoes_the_whole_unit(self, metadata_store):
        def add_and_fail() -> None:
            with metadata_store.write() as unit:
                unit.add(group(1))
                raise RuntimeError

        with pytest.raises(RuntimeError):
            add_and_fail()

        with metadata_store.read() as unit:
            assert unit.count(DatasetGroup) == 0

    def test_conditions_are_equality_membership_and_absence(self, metadata_store):
        with metadata_store.write() as unit:
            for number in range(4):
                unit.add(group(number))
            unit.get(DatasetGroup, "arn-003").domain = "ECOMMERCE"

        with metadata_store.read() as unit:
            assert [row.arn for row in unit.find(DatasetGroup, name="group-2")] == ["arn-002"]
            assert unit.count(DatasetGroup, name={"group-0", "group-1", "other"}) == 2
            assert unit.count(DatasetGroup, name=frozenset()) == 0
            assert unit.count(DatasetGroup, domain=None) == 3

    def test_order_ascends_and_descends(self, metadata_store):
        with metadata_store.write() as unit:
            for number, second in ((1, 5), (2, 5), (3, 1)):
                unit.add(group(number, second=second))

        with metadata_store.read() as unit:
            rows = unit.find(DatasetGroup, order=["-creation_date_time", "arn"])
            first = unit.first(DatasetGroup, order=["creation_date_time"])
        assert [row.arn for row in rows] == ["arn-001", "arn-002", "arn-003"]
        assert first.arn == "arn-003"

    def test_pages_join_without_gap_or_repeat_also_at_equal_times(self, metadata_store):
        with metadata_store.write() as unit:
            for number in range(7):
                unit.add(group(number, second=number // 3))

        pages, after = [], None
        while True:
            with metadata_store.read() as unit:
                page = unit.page(DatasetGroup, after=after, limit=2)
            if not page:
                break
            pages.append([row.arn for row in page])
            after = Position(page[-1].creation_date_time, page[-1].arn)
        assert pages == [["arn-000", "arn-001"], ["arn-002", "arn-003"], ["arn-004", "arn-005"], ["arn-006"]]

    def test_parents_are_held_by_their_children(self, metadata_store):
        schema = {"schema_text": "{}", "dataset_type": "ITEMS"}
        dates = {"creation_date_time": MOMENT, "last_updated_date_time": MOMENT}
        with metadata_store.write() as unit:
            unit.add(group(1))
            unit.add(DatasetSchema(arn="schema", name="schema", **schema, **dates))
            unit.add(
                Dataset(
                    arn="dataset",
                    name="dataset",
                    dataset_group_arn="arn-001",
                    schema_arn="schema",
                    dataset_type="ITEMS",
                    location="datasets/x",
                    **dates,
                )
            )

        with pytest.raises(IntegrityError), metadata_store.write() as unit:
            unit.remove(unit.get(DatasetGroup, "arn-001"))

    def test_compound_keys_find_their_row(self, metadata_store):
        with metadata_store.write() as unit:
            unit.add(Tag(resource_arn="a", tag_key="k", tag_value="v"))

        with metadata_store.read() as unit:
            assert unit.get(Tag, ("a", "k")).tag_value == "v"

    def test_reading_unit_sees_one_state_throughout(self, metadata_store):
        with metadata_store.read() as reading:
            assert reading.count(DatasetGroup) == 0
            with metadata_store.write() as writing:
                writing.add(group(1))
            assert reading.count(DatasetGroup) == 0

        with metadata_store.read() as later:
            assert later.count(DatasetGroup) == 1

    def test_changes_only_are_notified(self, metadata_store):
        changes = metadata_store.changed.changes
        with metadata_store.write() as unit:
            unit.count(DatasetGroup)
        assert metadata_store.changed.changes == changes

        with metadata_store.write() as unit:
            unit.add(group(1))
        assert metadata_store.changed.changes == changes + 1

    def test_heartbeats_alone_are_no_change(self, metadata_store):
        with metadata_store.write() as unit:
            unit.add(job(1, state=JobState.LEASED))
            unit.add(attempt("job-1", second=1))
            unit.add(RuntimeWorker(runtime_id="worker", last_seen_at=MOMENT))
            unit.add(EventsService(service_id="service", last_seen_at=MOMENT))
        changes, later = metadata_store.changed.changes, MOMENT + timedelta(seconds=9)

        with metadata_store.write() as unit:
            row = unit.get(Job, "job-1")
            row.lease_expires_at, row.progress, row.activity = later, 0.5, "epoch 4 of 30"
            unit.get(JobAttempt, "token-job-1").last_sign_at = later
            unit.get(RuntimeWorker, "worker").last_seen_at = later
            unit.get(EventsService, "service").last_seen_at = later
        assert metadata_store.changed.changes == changes
        with metadata_store.read() as unit:
            assert unit.get(RuntimeWorker, "worker").last_seen_at == later

        with metadata_store.write() as unit:
            worker = unit.get(RuntimeWorker, "worker")
            worker.last_seen_at, worker.known_revision = MOMENT, 7
        assert metadata_store.changed.changes == changes + 1

    def test_due_job_is_the_oldest_of_the_requested_kinds(self, metadata_store):
        with metadata_store.write() as unit:
            unit.add(job(3))
            unit.add(job(2))
            unit.add(job(1, kind=JobKind.STORAGE_REMOVAL))
            unit.add(job(0, state=JobState.LEASED))

        with metadata_store.read() as unit:
            due_job = unit.due_job({JobKind.DATASET_IMPORT}, now=MOMENT + timedelta(minutes=1))
            nothing_yet = unit.due_job(set(JobKind), now=MOMENT)
        assert due_job.id == "job-2"
        assert due_job.payload == {"number": 2}
        assert nothing_yet is None

    def test_due_jobs_come_from_dataset_groups_in_turn(self, metadata_store):
        kinds = {JobKind.DATASET_IMPORT}
        with metadata_store.write() as unit:
            for number, owner in enumerate(["a", "a", "a", "b", "b", "c"]):
                unit.add(job(number, dataset_group_arn=owner))
            # A turn in another lane is none in this one.
            other = {"kind": JobKind.SOLUTION_VERSION_TRAINING, "state": JobState.LEASED}
            unit.add(job(9, dataset_group_arn="c", leased_at=MOMENT + timedelta(seconds=50), **other))

        order = []
        for second in range(6):
            with metadata_store.write() as unit:
                due = unit.due_job(kinds, now=MOMENT + timedelta(minutes=1))
                order.append(due.dataset_group_arn)
                due.state, due.leased_at = JobState.LEASED, MOMENT + timedelta(seconds=second)

        assert order == ["a", "b", "c", "a", "b", "a"]

    def test_expired_jobs_are_leased_ones_past_their_end(self, metadata_store):
        with metadata_store.write() as unit:
            unit.add(job(1, state=JobState.LEASED, lease_expires_at=MOMENT))
            unit.add(job(2, state=JobState.LEASED, lease_expires_at=MOMENT + timedelta(seconds=2)))
            unit.add(job(3, state=JobState.FAILED))

        with metadata_store.read() as unit:
            assert [row.id for row in unit.expired_jobs(now=MOMENT + timedelta(seconds=1))] == ["job-1"]

    def test_writing_units_of_many_threads_lose_nothing(self, metadata_store):
        with metadata_store.write() as unit:
            unit.add(job(1))

        def count_up() -> None:
            for _ in range(10):
                with metadata_store.write() as unit:
                    unit.get(Job, "job-1").attempt += 1

        threads = [threading.Thread(target=count_up) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

        with metadata_store.read() as unit:
            assert unit.get(Job, "job-1").attempt == 40
