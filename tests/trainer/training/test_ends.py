"""Trainings in real child processes: they publish the same as any other, and however they end they leave nothing."""

from __future__ import annotations

import signal
import threading
from contextlib import ExitStack, contextmanager

import psutil
import pytest

from common.artifacts import MANIFEST, open_artifact
from common.errors import InvalidInput, ResourceNotFound, StorageFull, Unavailable
from common.testing import wait_until
from tests.disks import file_size_limit
from tests.processes import descendants
from tests.trainer.place import train_here, walks
from tests.trainer.training.running import ENDLESS, QUICK_V1, opened, train
from trainer.training.process import run_training
from trainer.worker import NO_DETAILS, CancelReason, JobCancelled, NullJobContext


def test_too_little_data_is_reported_by_the_process(place):
    place.write("a.csv", *walks(users=20))
    place.bring("s3://films/a.csv")
    with pytest.raises(InvalidInput, match=r"^Create failed\. Dataset has fewer than 1000 interactions\. It has 400"):
        train(place, run=run_training)
    with pytest.raises(ResourceNotFound):
        opened(place)


def test_the_same_snapshot_gives_the_same_bytes_in_every_process(place):
    # All interactions of a user in one second: nothing but the hash of the ids can order them.
    place.write("a.csv", *(f"{line.split(',')[0]},{line.split(',')[1]},5,watch,1" for line in walks()))
    place.bring("s3://films/a.csv")
    digests = []
    for location in ("artifacts/films-1", "artifacts/films-2"):
        train(place, location=location, run=run_training)
        manifest = open_artifact(place.store, location, cache=place.root).manifest
        digests.append({file.path: file.sha256 for file in manifest.files})
    assert digests[0] == digests[1]


def children() -> list[psutil.Process]:
    return descendants("trainer.training.subprocess_main")


class KillingContext(NullJobContext):
    """Kills the training process in the epoch after one that has ended in it.

    Attributes:
        epochs: The epochs that were reported, in their order.
    """

    def __init__(self):
        self.epochs = []

    def report(self, *, fraction, activity, details=NO_DETAILS):
        if "epoch" not in details or details["epoch"] in self.epochs:
            return
        self.epochs.append(details["epoch"])
        if len(self.epochs) == 2:
            (child,) = children()
            child.send_signal(signal.SIGKILL)


def test_a_process_that_is_killed_becomes_a_reason_to_act_on_and_the_next_attempt_goes_on_from_its_last_epoch(filled):
    first, second = KillingContext(), KillingContext()
    for context in (first, second):
        with pytest.raises(Unavailable, match="most likely because memory ran out; give the trainer more memory"):
            train(
                filled, "aws-user-personalization-v2", solution_config=ENDLESS, context=context, run=run_training
            )  # fmt: skip

    assert first.epochs[0] == 1
    # Epochs of so few data end faster than they are killed; at most the one that ran is lost.
    assert second.epochs[0] >= first.epochs[1] >= 2
    assert list((filled.root / "work").iterdir()) == []


class LostContext(NullJobContext):
    """The context of a job whose attempt fails when a model has been fitted."""

    def report(self, *, fraction, activity, details=NO_DETAILS):
        if activity == "evaluating":
            raise Unavailable("the store is away")


def test_the_hours_of_a_training_count_what_it_goes_on_from(filled):
    def going_on(*arguments, **options):
        manifest = train_here(*arguments, **options)
        resumed.append(manifest.stage_seconds["resumed"])
        manifest.stage_seconds["resumed"] = 3600.0
        return manifest

    resumed = []
    with pytest.raises(Unavailable, match="the store is away"):
        train(filled, "aws-user-personalization", solution_config=QUICK_V1, context=LostContext())
    result = train(filled, "aws-user-personalization", solution_config=QUICK_V1, run=going_on)

    assert resumed[0] > 0.0
    assert 1.0 < result.training_hours < 2.0


class StoppedContext(NullJobContext):
    """The context of a job that its owner stops as soon as it is at some activity."""

    def __init__(self, activity):
        self._activity = activity
        self._callbacks = []
        self._is_stopped = False

    def report(self, *, fraction, activity, details=NO_DETAILS):
        if activity == self._activity:
            self._is_stopped = True
            for callback in self._callbacks:
                callback()

    def check(self):
        if self._is_stopped:
            raise JobCancelled(CancelReason.STOP)

    confirm = check

    @contextmanager
    def on_cancel(self, callback):
        self._callbacks.append(callback)
        if self._is_stopped:
            callback()
        yield


class BetweenPublications(NullJobContext):
    """The context of a job to which something happens between the publications of the model as measured and as served.

    Args:
        store: The shared store.
        happen: Called then, before each file that follows.
    """

    def __init__(self, store, happen):
        self._store = store
        self._happen = happen

    def check(self):
        paths = [stored.path for stored in self._store.list("artifacts")]
        if any("/measured-" in path and path.endswith(MANIFEST) for path in paths):
            self._happen()


def stopped_between_publications(store):
    def stop():
        raise JobCancelled(CancelReason.STOP)

    return BetweenPublications(store, stop)


@pytest.mark.parametrize("activity", ["taking a snapshot", "loading data", "evaluating", "publishing"])
def test_a_training_is_stopped_whatever_it_does_and_leaves_nothing(filled, activity):
    is_late = activity == "publishing"
    context = stopped_between_publications(filled.store) if is_late else StoppedContext(activity)
    with pytest.raises(JobCancelled) as stopped:
        train(filled, context=context, run=run_training)

    assert stopped.value.reason is CancelReason.STOP
    assert children() == []
    assert list((filled.root / "work").iterdir()) == []
    assert list(filled.store.list("artifacts")) == []


def test_a_stop_counts_although_what_it_leaves_cannot_be_removed(filled, monkeypatch):
    def fail(self, location):
        raise Unavailable(f"{location}: the store is away")

    monkeypatch.setattr(type(filled.store), "delete_folder", fail)
    with pytest.raises(JobCancelled):
        train(filled, context=stopped_between_publications(filled.store))


def test_what_finds_the_store_full_takes_all_that_it_has_written_away(filled):
    with ExitStack() as limits:
        context = BetweenPublications(filled.store, lambda: limits.enter_context(file_size_limit(10)))
        with pytest.raises(StorageFull):
            train(filled, context=context)
    assert list(filled.store.list("artifacts")) == []


def test_a_process_that_crashes_is_reported_by_its_signal(filled):
    def crash():
        (child,) = wait_until(children)
        child.send_signal(signal.SIGABRT)

    breaker = threading.Thread(target=crash)
    breaker.start()
    with pytest.raises(Unavailable, match=r"crashed \(SIGABRT\)"):
        train(filled, "aws-user-personalization-v2", solution_config=ENDLESS, run=run_training)
    breaker.join()
