"""Trainings that do not fit into memory are refused with the numbers, before they begin; others wait or go on."""

from __future__ import annotations

import itertools
import os
import threading
import tracemalloc
from dataclasses import dataclass, field

import numpy as np
import polars as pl
import pytest
from google.protobuf import json_format

from common.errors import InvalidInput, Unavailable
from protos.tailorbird.control.v1.solution_config_pb2 import SolutionConfig
from protos.tailorbird.internal.v1 import jobs_pb2
from recipes.catalog import get_recipe
from recipes.data.size import DataSize
from recipes.models.cooccurrence.config import CooccurrenceConfig
from recipes.models.cooccurrence.fit import CooccurrenceFitter
from recipes.registry import read_config
from tests.recipes.suite import make_data
from tests.trainer.place import HEADERS, walks
from trainer.training import TrainingJobHandler
from trainer.training.data_size import DistinctCount, count_data
from trainer.training.memory import MemoryBudget, available_bytes, describe_bytes, total_bytes, training_bytes
from trainer.training.snapshot import take_snapshot
from trainer.training.spec import KeptSnapshot, TrainingOptions
from trainer.worker import NO_DETAILS, CancelReason, JobCancelled, NullJobContext

MIB, GIB = 1024**2, 1024**3
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


@pytest.mark.parametrize(
    ("recipe", "size", "mib"),
    [
        # What fits of planted data took at their peaks beyond what they began with, see docs/training.md.
        ("aws-similar-items", DataSize(users=10_000, items=3_000, interactions=200_000), 400),
        ("aws-similar-items", DataSize(users=10_000, items=5_900, interactions=200_000), 1279),
        ("aws-similar-items", DataSize(users=10_000, items=12_000, interactions=200_000), 299),
        ("aws-ecomm-frequently-bought-together", DataSize(users=10_000, items=5_900, interactions=200_000), 1279),
    ],
)
def test_fits_of_pairs_of_items_take_about_what_was_measured(recipe, size, mib):
    config = read_config(get_recipe(recipe), {})
    assert config.fit_bytes(size) / MIB == pytest.approx(mib, rel=0.15)


@pytest.mark.parametrize(
    ("size", "mib", "default_mib"),
    [
        # Without percentiles and minimum, and with the defaults; the last two with Zipf's law and few long histories.
        (DataSize(users=10_000, items=6_000, interactions=200_000), 94, 53),
        (DataSize(users=40_000, items=30_000, interactions=1_000_000), 172, 91),
        (DataSize(users=4_000, items=10_000, interactions=598_044), 169, 90),
        (DataSize(users=12_000, items=30_000, interactions=1_494_124), 265, 95),
    ],
)
def test_counting_pairs_takes_what_is_kept_of_them_also_of_skewed_data(size, mib, default_mib):
    everything = CooccurrenceConfig(min_cointeraction_count=0)
    assert 0.85 * mib < everything.fit_bytes(size) / MIB < 2.0 * mib
    assert 0.85 * default_mib < CooccurrenceConfig().fit_bytes(size) / MIB < 3.7 * default_mib


def test_no_more_pairs_are_in_memory_than_are_estimated():
    random = np.random.default_rng(3)
    sequences = [random.permutation(12_000)[:800] for _ in range(8)]
    data = make_data(sequences, n_items=12_000)
    config = CooccurrenceConfig(min_cointeraction_count=0, max_item_interaction_count_percentile=1.0)
    size = DataSize(users=8, items=12_000, interactions=8 * 800)
    tracemalloc.start()
    try:
        CooccurrenceFitter(config, seed=0).fit(data)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert size.pairs() > 5_000_000
    assert peak < config.fit_bytes(size)


def test_movielens_of_25_millions_is_counted_on_a_machine_of_four_gibibytes():
    assert bytes_of("aws-sims", DataSize(users=162_541, items=62_423, interactions=25_000_095)) < 4 * GIB


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

    assert counted == [
        DataSize(users=61, items=42, interactions=1202),
        DataSize(users=2, items=3, interactions=2, left_out=1200),
    ]


def test_rows_that_are_left_out_have_to_be_loaded_too():
    few = DataSize(users=1000, items=1000, interactions=1000)
    for size in (few._replace(left_out=50_000_000), few._replace(interactions=50_001_000)):
        assert bytes_of("aws-popularity-count", size) > 4.5 * GIB


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


def budget_of(*, available, total=8 * GIB, taken=None, patience_seconds=60.0, clock=lambda: 0.0):
    return MemoryBudget(
        None,
        available=available,
        total=lambda: total,
        taken=taken,
        patience_seconds=patience_seconds,
        look_seconds=0.01,
        clock=clock,
    )


def test_a_training_that_does_not_fit_is_refused_with_the_numbers():
    with pytest.raises(InvalidInput) as refused:
        hold(budget_of(available=lambda: 3 * GIB, total=3 * GIB), 5 * GIB, Job())
    message = refused.value.message
    for words in (
        "needs about 5.0 GiB for 1,000 interactions of 10 users with 20 items", "3.0 GiB is all that there is",
        "Give the trainer more memory", "TRAINING_MEMORY_BYTES",
    ):  # fmt: skip
        assert words in message
    with pytest.raises(InvalidInput, match=r"2\.0 GiB is what TAILORBIRD_TRAINING_MEMORY_BYTES allows"):
        hold(MemoryBudget(2 * GIB, available=lambda: 9 * GIB), 3 * GIB, Job())


def test_a_training_waits_for_memory_that_is_short_for_a_moment():
    moments, job = iter([1 * GIB, 1 * GIB, 6 * GIB]), Job()
    hold(budget_of(available=lambda: next(moments)), 5 * GIB, job)
    words = "waiting for memory: 5.0 GiB needed, 1.0 GiB left by others"
    assert job.activities == [words, words, "runs"]


def test_memory_that_stays_short_is_waited_for_again_by_another_attempt():
    seconds = itertools.count(step=20.0)
    budget = budget_of(available=lambda: GIB, clock=lambda: next(seconds))
    with pytest.raises(Unavailable, match=r"5\.0 GiB needed, 1\.0 GiB left by others"):
        hold(budget, 5 * GIB, Job())
    hold(budget, GIB, Job())  # nothing was left behind


def test_a_training_waits_for_those_beside_which_it_does_not_fit():
    # The first one has taken 1 GiB of the 3 that it needs: of the 3 GiB that are available, 1 is not spoken for. It is
    # waited for however long it takes.
    seconds = itertools.count(step=1000.0)
    budget = budget_of(available=lambda: 3 * GIB, taken={71: GIB}.__getitem__, clock=lambda: next(seconds))
    second = Job()
    thread = threading.Thread(target=hold, args=(budget, 2 * GIB, second))
    with budget.reserved(3 * GIB, Job(), size=SIZE) as reservation:
        reservation.begin(71)
        thread.start()
        assert second.waits.wait(timeout=60)
        with pytest.raises(InvalidInput, match=r"8\.0 GiB is all that there is"):
            hold(budget, 9 * GIB, Job())
    thread.join()
    assert second.activities[0] == "waiting for memory: 2.0 GiB needed, 1.0 GiB left by others"
    assert second.activities[-1] == "runs"


def test_one_that_has_taken_more_than_was_thought_has_no_claim_to_the_rest():
    budget = budget_of(available=lambda: 3 * GIB, taken=lambda _: 5 * GIB)
    second = Job()
    with budget.reserved(3 * GIB, Job(), size=SIZE) as reservation:
        reservation.begin(71)
        hold(budget, 3 * GIB, second)
    assert second.activities == ["runs"]


def test_what_the_process_of_a_training_has_taken_is_read():
    budget = budget_of(available=lambda: 4 * GIB)
    with budget.reserved(4 * GIB, Job(), size=SIZE) as reservation:
        reservation.begin(os.getpid())
        hold(budget, GIB // 100, Job())


def test_nobody_begins_while_one_that_came_before_waits():
    budget = MemoryBudget(4 * GIB, look_seconds=0.01)
    order, large, small = [], Job(), Job()

    def take(needed, job):
        with budget.reserved(needed, job, size=SIZE):
            order.append(needed)

    threads = [threading.Thread(target=take, args=item) for item in ((3 * GIB, large), (1 * GIB, small))]
    with budget.reserved(2 * GIB, Job(), size=SIZE):
        for thread, job in zip(threads, (large, small), strict=True):
            thread.start()
            assert job.waits.wait(timeout=60)
        assert order == []
    for thread in threads:
        thread.join()
    assert order == [3 * GIB, 1 * GIB]


def test_a_training_that_waits_for_memory_can_be_stopped():
    budget = MemoryBudget(4 * GIB)
    with budget.reserved(3 * GIB, Job(), size=SIZE), pytest.raises(JobCancelled):
        hold(budget, 2 * GIB, Job(is_stopped=True))
    hold(budget, 4 * GIB, Job())  # nobody waits for it


def train_with(place, memory, job):
    handler = TrainingJobHandler(
        place.store,
        place.workspace,
        store_settings=place.settings,
        options=TrainingOptions(seed=1),
        flusher=place.flusher,
        memory=memory,
    )
    config = '{"algorithmHyperParameters": {"embedding_size": "128", "heads": "2"}}'
    payload = jobs_pb2.SolutionVersionTrainingPayload(
        artifact_location="artifacts/films-1",
        recipe="aws-user-personalization-v2",
        solution_config=json_format.Parse(config, SolutionConfig()),
        tables=place.tables("INTERACTIONS"),
        training_mode="FULL",
    )
    return handler.run(payload, job)


def test_a_training_is_refused_before_its_process_begins(place):
    place.write("a.csv", *walks())
    place.bring("s3://films/a.csv")
    job = Job()
    with pytest.raises(InvalidInput, match=r"1,200 interactions of 60 users with 40 items, and 256 MiB is all"):
        train_with(place, budget_of(available=lambda: GIB, total=GIB // 4), job)
    assert job.activities == ["taking a snapshot", "counting users and items"]


def test_what_has_no_memory_leaves_the_checkpoints_to_the_next_attempt(place):
    place.write("a.csv", *walks())
    place.bring("s3://films/a.csv")
    tables = take_snapshot(place.store, place.tables("INTERACTIONS")).tables
    kept = KeptSnapshot(tables=tables, event_epoch=1, event_offset=0, deletions=())
    snapshot = "artifacts/films-1/checkpoints/snapshot.json"
    place.store.put(snapshot, kept.model_dump_json().encode())

    with pytest.raises(Unavailable, match="waiting for memory"):
        train_with(place, budget_of(available=lambda: 0, patience_seconds=0.0), Job())
    assert place.store.get(snapshot)
    # One that fits nowhere fails for good, instead of beginning anew.
    with pytest.raises(InvalidInput, match=r"^The training does not fit into memory"):
        train_with(place, budget_of(available=lambda: 0, total=GIB // 4), Job())


@pytest.mark.parametrize(
    ("lines", "files", "pages", "left", "total"),
    [
        (
            "0::/app/job\n",
            {"app/memory.max": "max", "app/job/memory.max": "1000", "app/job/memory.current": "900"},
            "inactive_file 10\nactive_file 20\n",
            100 + 30,
            1000,
        ),
        (
            "0::/app/job\n",
            {"app/memory.max": "500", "app/memory.current": "450", "app/job/memory.max": "1000",
             "app/job/memory.current": "100"},
            "inactive_file 10\nactive_file 20\n",
            50 + 30,
            500,
        ),
        (
            "4:cpu:/x\n7:memory:/job\n",
            {"memory/job/memory.limit_in_bytes": "700", "memory/job/memory.usage_in_bytes": "600"},
            "inactive_file 1\nactive_file 2\ntotal_inactive_file 10\ntotal_active_file 20\n",
            100 + 30,
            700,
        ),
    ],
    ids=["the group's own limit", "that of the group above", "version 1"],
)  # fmt: skip
def test_the_limits_of_control_groups_count(tmp_path, lines, files, pages, left, total):
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text(lines)
    for name, content in files.items():
        path = tmp_path / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content + "\n")
        (path.parent / "memory.stat").write_text("anon 5\n" + pages)
    assert available_bytes(tmp_path) == left
    assert total_bytes(tmp_path) == total


def test_without_control_groups_the_machine_counts(tmp_path):
    assert total_bytes(tmp_path) > available_bytes(tmp_path) > np.prod([1024, 1024])
    assert [describe_bytes(count) for count in (5 * 1024**2, 3 * GIB // 2)] == ["5 MiB", "1.5 GiB"]
