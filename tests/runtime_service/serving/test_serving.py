"""Deployments follow the assignments: loaded whole, then swapped; one that fails is reported and changes nothing."""

from __future__ import annotations

from contextlib import contextmanager
from threading import Event

import pytest

from common.rpc import aio_channel
from common.testing import loop_in_thread, wait_until
from inference.model import ModelLoader
from inference.recent_events import EventRule
from protos.tailorbird.internal.v1 import serving_pb2_grpc
from runtime_service.serving.catch_up import CatchUp
from runtime_service.serving.deployments import Deployment, DeploymentTable
from runtime_service.serving.kept import AssignmentFile
from runtime_service.serving.loads import Loads
from runtime_service.serving.watcher import ServingWatcher
from tests.inference.asking import recent, recommend
from tests.runtime_service.backends import FAILED, READY, running_backends
from tests.runtime_service.world import N_ITEMS, WATERMARK, assignment, campaign, publish, user


def loader(store, folder):
    return ModelLoader(store, cache=folder / "cache", index="auto")


@pytest.fixture
def backends():
    with running_backends() as made:
        yield made


@pytest.fixture
def watching(backends, tmp_path, features):
    """Run a watcher, and give the table that it keeps."""

    @contextmanager
    def run(opener, *, load_seconds=60.0, follows=features):
        table = DeploymentTable()

        async def watch():
            async with aio_channel(backends.server.target, token=backends.keys.token("runtime")) as channel:
                stub = serving_pb2_grpc.ServingServiceStub(channel)
                watcher = ServingWatcher(
                    stub,
                    Loads(opener, limit_seconds=load_seconds, cache_users=10),
                    table=table,
                    features=follows,
                    catch_up=CatchUp(stub, in_force=features.in_force),
                    kept=AssignmentFile(tmp_path / "kept" / "assignments.json"),
                    runtime_id="tests-1-0",
                    wait_seconds=1.0,
                )
                await watcher.run()

        with loop_in_thread() as loop, loop.running(watch()):
            yield table

    return run


class BlockingLoader:
    """A loader that loads once a test lets it."""

    def __init__(self, opener, event) -> None:
        self._opener = opener
        self._event = event

    def load(self, location):
        self._event.wait(20)
        return self._opener.load(location)

    def forget_others(self, locations):
        self._opener.forget_others(locations)


class TrippingFeatures:
    """Follows features, once it has tripped over the first that it is told."""

    def __init__(self, features) -> None:
        self._features = features
        self.trips = True

    def assign(self, messages):
        if self.trips:
            self.trips = False
            raise RuntimeError("a bug")
        self._features.assign(messages)

    def bound(self, deployment):
        return self._features.bound(deployment)


def test_assignments_that_a_worker_trips_over_are_tried_again(backends, watching, shelf, tmp_path, features):
    backends.board.assign(assignment(location="artifacts/personal"))
    with watching(loader(shelf, tmp_path), follows=TrippingFeatures(features)) as table:
        wait_until(lambda: table.find(campaign()))


def test_nothing_assigned_is_known_at_once(backends, watching, store, tmp_path):
    with watching(loader(store, tmp_path)) as table:
        wait_until(table.loaded.is_set)

        assert table.find(campaign()) is None


def test_assigned_campaign_is_loaded_and_reported(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment(location="artifacts/personal"))
    with watching(loader(shelf, tmp_path)) as table:
        state = wait_until(lambda: (state := backends.board.state("d-1")) and state.phase == READY and state)

        assert state.serving_arn == campaign()
        assert table.loaded.is_set()
        assert table.find(campaign()).assignment.deployment_id == "d-1"


def test_old_deployment_answers_until_the_new_one_is_loaded(backends, watching, shelf, tmp_path):
    let = Event()
    let.set()
    backends.board.assign(assignment(deployment="d-1", location="artifacts/personal"))
    with watching(BlockingLoader(loader(shelf, tmp_path), let)) as table:
        wait_until(lambda: table.find(campaign()))
        let.clear()
        backends.board.assign(assignment(deployment="d-2", location="artifacts/popular"))
        loading = wait_until(lambda: backends.board.state("d-2"))
        during = table.find(campaign())
        let.set()
        wait_until(lambda: (state := backends.board.state("d-2")) and state.phase == READY)

        assert loading.phase not in (READY, FAILED)
        assert during.assignment.deployment_id == "d-1"
        assert table.find(campaign()).assignment.deployment_id == "d-2"
        # Whoever began with the old one ends with it.
        assert len(recommend(during.pipeline, user(0), limit=5).items) == 5


def test_an_updated_artifact_of_the_same_deployment_is_loaded(backends, watching, shelf, tmp_path):
    let = Event()
    let.set()
    backends.board.assign(assignment(deployment="d-1", location="artifacts/personal"))
    with watching(BlockingLoader(loader(shelf, tmp_path), let)) as table:
        # Reported, so that what is reported from here on is of the update.
        wait_until(lambda: (state := backends.board.state("d-1")) and state.phase == READY)
        let.clear()
        backends.board.assign(assignment(deployment="d-1", location="artifacts/popular"))
        wait_until(lambda: (state := backends.board.state("d-1")) and state.phase not in (READY, FAILED))
        during = table.find(campaign())
        let.set()
        wait_until(lambda: (state := backends.board.state("d-1")) and state.phase == READY)

        assert during.assignment.artifact_location == "artifacts/personal"
        assert table.find(campaign()).assignment.artifact_location == "artifacts/popular"


def test_dropped_campaign_is_no_longer_served(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment(location="artifacts/popular"))
    with watching(loader(shelf, tmp_path)) as table:
        wait_until(lambda: table.find(campaign()))

        backends.board.assign()

        wait_until(lambda: table.find(campaign()) is None)


def test_event_type_of_a_running_deployment_can_change(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment(location="artifacts/personal"))
    with watching(loader(shelf, tmp_path)) as table:
        model = wait_until(lambda: table.find(campaign())).model

        backends.board.assign(assignment(location="artifacts/personal", event_type="watch"))

        wait_until(lambda: table.find(campaign()).assignment.event_type == "watch")
        assert table.find(campaign()).model is model


def test_rules_of_events_come_with_the_assignment(backends, watching, shelf, tmp_path):
    rules = (EventRule("buy", 0.0), EventRule(None, 2.5), EventRule("watch", None))
    backends.board.assign(assignment(location="artifacts/personal", event_rules=rules))
    with watching(loader(shelf, tmp_path)) as table:
        assert wait_until(lambda: table.find(campaign())).assignment.event_rules == rules


def test_artifact_that_is_served_already_is_not_loaded_twice(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment("a", location="artifacts/popular"), assignment("b", location="artifacts/popular"))
    with watching(loader(shelf, tmp_path)) as table:
        wait_until(lambda: table.find(campaign("a")) and table.find(campaign("b")))

        assert table.find(campaign("a")).model is table.find(campaign("b")).model


def test_corrupt_artifact_fails_with_its_reason_and_the_old_one_goes_on(backends, watching, store, tmp_path, popular):
    publish(store, "artifacts/good", popular)
    publish(store, "artifacts/bad", popular)
    (vectors,) = store.local_folder("artifacts/bad").rglob("item_vectors.npy")
    changed = bytearray(vectors.read_bytes())
    changed[-1] ^= 1
    vectors.write_bytes(changed)
    backends.board.assign(assignment(deployment="d-1", location="artifacts/good"))
    with watching(loader(store, tmp_path)) as table:
        wait_until(lambda: table.find(campaign()))

        backends.board.assign(assignment(deployment="d-2", location="artifacts/bad"))
        state = wait_until(lambda: (state := backends.board.state("d-2")) and state.phase == FAILED and state)

        assert "artifacts/bad: `item_vectors.npy`: got sha256" in state.failure_reason
        assert table.find(campaign()).assignment.deployment_id == "d-1"
        assert table.loaded.is_set()


def test_failed_campaign_does_not_keep_the_worker_from_being_ready(backends, watching, shelf, tmp_path):
    backends.board.assign(
        assignment("good", location="artifacts/popular"), assignment("bad", location="artifacts/none")
    )
    with watching(loader(shelf, tmp_path)) as table:
        wait_until(table.loaded.is_set)

        assert table.find(campaign("good")) is not None
        assert table.find(campaign("bad")) is None


def test_watcher_goes_on_when_the_control_plane_comes_back(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment("one", location="artifacts/popular"))
    with watching(loader(shelf, tmp_path)) as table:
        wait_until(lambda: table.find(campaign("one")))

        backends.board.refuse(3)
        backends.board.assign(assignment("two", location="artifacts/popular"))

        wait_until(lambda: table.find(campaign("two")))


def test_control_plane_that_comes_back_is_told_again_what_is_served(backends, watching, shelf, tmp_path):
    backends.board.assign(assignment(location="artifacts/popular"))
    with watching(loader(shelf, tmp_path)) as table:
        wait_until(lambda: table.find(campaign()) and backends.board.state("d-1"))

        backends.board.refuse(2)
        backends.board.reports.clear()  # it forgets workers that were silent for long

        assert wait_until(lambda: backends.board.state("d-1")).phase == READY


@pytest.fixture(scope="module")
def model(shelf, tmp_path_factory):
    return ModelLoader(shelf, cache=tmp_path_factory.mktemp("cache"), index="exact").load("artifacts/personal")


def test_states_are_made_anew_when_another_type_of_event_counts(model):
    history = recent((WATERMARK + 1, "watch", 30), (WATERMARK + 2, "buy", 5))
    deployment = Deployment.make(assignment(event_type="watch"), model, cache_users=2)
    before = recommend(deployment.pipeline, user(4), history, limit=N_ITEMS)

    reassigned = deployment.reassigned(assignment(event_type="buy"))

    fresh = Deployment.make(assignment(event_type="buy"), model, cache_users=2)
    scored, expected = (recommend(made.pipeline, user(4), history, limit=N_ITEMS) for made in (reassigned, fresh))
    assert (scored.item_ids, scored.scores) == (expected.item_ids, expected.scores)
    assert scored.scores != before.scores
    assert reassigned.pipeline.users.cache.size == deployment.pipeline.users.cache.size


def test_states_are_kept_when_nothing_changes(model):
    deployment = Deployment.make(assignment(event_type="watch"), model, cache_users=2)
    assert deployment.reassigned(assignment(event_type="watch")) is deployment
