"""Trainings that do not fit into memory are refused with the numbers, before they begin; others wait or go on."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest
from google.protobuf import json_format

from common.errors import InvalidInput
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.internal.v1 import jobs_pb2
from recipes.catalog import get_recipe
from recipes.data.size import DataSize
from recipes.registry import read_config
from tests.trainer.place import HEADERS, walks
from trainer.training import TrainingJobHandler
from trainer.training.data_size import DistinctCount, count_data
from trainer.training.memory import MemoryBudget, available_bytes, describe_bytes, training_bytes
from trainer.training.snapshot import take_snapshot
from trainer.training.spec import TrainingOptions
from trainer.worker import NO_DETAILS, CancelReason, JobCancelled, NullJobContext

GIB = 1024**3
MOVIELENS_100K = DataSize(users=943, items=1682, interactions=100_000)
SIZE = DataSize(users=10, items=20, interactions=1000)


def bytes_of(recipe, size, **hyperparameters):
    return training_bytes(read_config(get_recipe(recipe), hyperparameters), size)


@pytest.mark.parametrize(
    "recipe", ["aws-user-personalization-v2", "aws-user-personalization", "aws-similar-items", "aws-popularity-count"]
)
def test_movielens_is_trained_on_a_machine_of_two_gibibytes(recipe):
    # What is left of them beside the system and the other services.
    assert bytes_of(recipe, MOVIELENS_100K) < 1.0 * GIB


def test_what_is_needed_grows_with_the_data_and_with_the_width():
    small, *larger = (
        bytes_of("aws-user-personalization-v2", size, **more)
        for size, more in (
            (MOVIELENS_100K, {}),
            (MOVIELENS_100K._replace(interactions=50_000_000), {}),
            (MOVIELENS_100K._replace(items=1_000_000), {}),
            (MOVIELENS_100K._replace(users=1_000_000), {}),
            (MOVIELENS_100K, {"embedding_size": "256"}),
        )
    )
    assert all(needed > small for needed in larger)


@pytest.mark.parametrize("count", [0, 1, 999, 1000, 1001, 50_000])
def test_ids_are_counted_exactly_while_they_are_few_and_well_when_they_are_many(count):
    ids = pl.Series([f"user-{number}" for number in range(count)] * 2)
    distinct = DistinctCount(kept=1000)
    for begin in range(0, len(ids), 700):
        distinct.add(ids[begin : begin + 700])
    assert distinct.estimate() == (count if count < 1000 else pytest.approx(count, rel=0.1))


def test_what_is_learnt_from_is_counted(place):
    place.write("a.csv", *walks(), "u000,i000,1,buy,", "u-new,i-new,1,BUY,")
    place.bring("s3://films/a.csv")
    place.write("items.csv", "i-unused,,,,", "i000,,,,", header=HEADERS["ITEMS"])
    place.bring("s3://films/items.csv", kind="ITEMS")
    tables = take_snapshot(place.store, place.tables("INTERACTIONS", "ITEMS", "USERS")).tables

    counted = [count_data(place.store, tables, event_type=kind, check=lambda: None) for kind in (None, "buy")]

    assert counted == [DataSize(users=61, items=42, interactions=1202), DataSize(users=2, items=3, interactions=2)]


@dataclass
class Job(NullJobContext):
    """A job that keeps what it is told, and may be stopped."""

    is_stopped: bool = False
    activities: list[str] = field(default_factory=list)
    waits: threading.Event = field(default_factory=threading.Event)

    def report(self, *, fraction, activity, details=NO_DETAILS):
        self.activities.append(activity)
        if activity.startswith("waiting for memory"):
            self.waits.set()

    def check(self):
        if self.is_stopped:
            raise JobCancelled(CancelReason.STOP)


def hold(budget, needed, job):
    with budget.reserved(needed, job, size=SIZE):
        job.activities.append("runs")


def test_a_training_that_does_not_fit_is_refused_with_the_numbers():
    budget = MemoryBudget(None, available=lambda: 3 * GIB)
    with pytest.raises(InvalidInput) as refused:
        hold(budget, 5 * GIB, Job())
    message = refused.value.message
    for words in (
        "needs about 5.0 GiB for 1,000 interactions of 10 users with 20 items", "3.0 GiB is available",
        "Give the trainer more memory", "TRAINING_MEMORY_BYTES",
    ):  # fmt: skip
        assert words in message
    with pytest.raises(InvalidInput, match=r"2\.0 GiB is what TAILORBIRD_TRAINING_MEMORY_BYTES allows"):
        hold(MemoryBudget(2 * GIB, available=lambda: 9 * GIB), 3 * GIB, Job())


def test_a_training_waits_for_those_beside_which_it_does_not_fit():
    # The first one has taken 1 GiB of the 3 that it needs: of 4 GiB, 3 are available, and 1 is not spoken for.
    budget = MemoryBudget(None, available=lambda: 3 * GIB, taken=lambda: 1 * GIB)
    second = Job()
    thread = threading.Thread(target=hold, args=(budget, 2 * GIB, second))
    with budget.reserved(3 * GIB, Job(), size=SIZE):
        thread.start()
        assert second.waits.wait(timeout=60)
        with pytest.raises(InvalidInput, match=r"4\.0 GiB is available"):
            hold(budget, 5 * GIB, Job())
    thread.join()
    assert second.activities[0] == "waiting for memory: 2.0 GiB needed, 1.0 GiB left by others"
    assert second.activities[-1] == "runs"


def test_a_training_that_waits_for_memory_can_be_stopped():
    budget = MemoryBudget(4 * GIB)
    with budget.reserved(3 * GIB, Job(), size=SIZE), pytest.raises(JobCancelled):
        hold(budget, 2 * GIB, Job(is_stopped=True))


def test_a_training_is_refused_before_its_process_begins(place):
    place.write("a.csv", *walks())
    place.bring("s3://films/a.csv")
    handler = TrainingJobHandler(
        place.store,
        place.workspace,
        store_settings=place.settings,
        options=TrainingOptions(seed=1),
        flusher=place.flusher,
        memory=MemoryBudget(None, available=lambda: GIB // 4),
    )
    config = '{"algorithmHyperParameters": {"embedding_size": "128", "heads": "2"}}'
    payload = jobs_pb2.SolutionVersionTrainingPayload(
        artifact_location="artifacts/films-1",
        recipe="aws-user-personalization-v2",
        solution_config=json_format.Parse(config, SolutionConfig()),
        tables=place.tables("INTERACTIONS"),
        training_mode="FULL",
    )
    job = Job()
    with pytest.raises(InvalidInput, match=r"1,200 interactions of 60 users with 40 items, and 256 MiB is available"):
        handler.run(payload, job)
    assert job.activities == ["taking a snapshot", "counting users and items"]


@pytest.mark.parametrize(
    ("lines", "files", "left"),
    [
        (
            "0::/app/job\n",
            {"app/memory.max": "max", "app/job/memory.max": "1000", "app/job/memory.current": "900"},
            100 + 30,
        ),
        (
            "0::/app/job\n",
            {"app/memory.max": "500", "app/memory.current": "450", "app/job/memory.max": "1000",
             "app/job/memory.current": "100"},
            50 + 30,
        ),
        (
            "4:cpu:/x\n7:memory:/job\n",
            {"memory/job/memory.limit_in_bytes": "700", "memory/job/memory.usage_in_bytes": "600"},
            100 + 30,
        ),
    ],
    ids=["the group's own limit", "that of the group above", "version 1"],
)  # fmt: skip
def test_the_limits_of_control_groups_count(tmp_path, lines, files, left):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(lines)
    for name, content in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
        (path.parent / "memory.stat").write_text("anon 5\ninactive_file 10\nactive_file 20\n")
    assert available_bytes(tmp_path) == left


def test_without_control_groups_the_machine_counts(tmp_path):
    assert available_bytes(tmp_path) > np.prod([1024, 1024])
    assert [describe_bytes(count) for count in (5 * 1024**2, 3 * GIB // 2)] == ["5 MiB", "1.5 GiB"]
