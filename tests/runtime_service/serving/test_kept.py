"""What is kept of the assignments on a host's disk, and what a worker does with it."""

from __future__ import annotations

import json
import stat
from contextlib import contextmanager
from threading import Event

import pytest
from obstore.store import MemoryStore

from common.artifacts import MANIFEST
from common.errors import TailorbirdError
from common.rpc import aio_channel
from common.storage.objects import ObjectStore
from common.testing import loop_in_thread, wait_until
from inference.model import ModelLoader
from protos.tailorbird.control.v1.campaign_pb2 import CampaignConfig
from protos.tailorbird.internal.v1 import serving_pb2_grpc
from protos.tailorbird.internal.v1.serving_pb2 import EventRule, ServingAssignment
from runtime_service.serving.catch_up import CatchUp
from runtime_service.serving.deployments import DeploymentTable
from runtime_service.serving.kept import AssignmentFile, KeptAssignments
from runtime_service.serving.loads import Loads
from runtime_service.serving.watcher import ServingWatcher
from tests.runtime_service.backends import FAILED, READY, running_backends
from tests.runtime_service.features.running import group_message
from tests.runtime_service.serving.test_serving import TrippingFeatures
from tests.runtime_service.world import GROUP, assignment, campaign, publish


def serving_assignment(name="films", *, deployment="d-1", location="artifacts/personal", group=GROUP):
    return ServingAssignment(
        serving_arn=campaign(name),
        deployment_id=deployment,
        artifact_location=location,
        dataset_group_arn=group,
        campaign_config=CampaignConfig(item_exploration_config={"explorationWeight": "0.5"}),
        event_rules=[EventRule(event_type="watch", least_value=2.5)],
    )


@pytest.fixture
def file(tmp_path):
    return AssignmentFile(tmp_path / "runtime" / "assignments.json")


def path_of(tmp_path):
    return tmp_path / "runtime" / "assignments.json"


def test_nothing_is_kept_at_first(file):
    assert file.read() == KeptAssignments()


def test_what_is_kept_is_read_back_whole(file):
    file.keep([serving_assignment(), serving_assignment("hits", deployment="d-2")], served=[serving_assignment()])

    assert file.read() == KeptAssignments(
        (serving_assignment(), serving_assignment("hits", deployment="d-2")), {campaign(): (serving_assignment(),)}
    )


def test_only_its_owner_may_read_the_file(file, tmp_path):
    file.keep([serving_assignment()], served=[])

    assert stat.S_IMODE(path_of(tmp_path).stat().st_mode) == 0o600
    assert stat.S_IMODE(path_of(tmp_path).parent.stat().st_mode) == 0o700
    assert sorted(path.name for path in path_of(tmp_path).parent.iterdir()) == [
        "assignments.json",
        "assignments.json.lock",
    ]


def test_the_two_newest_deployments_that_served_are_kept(file):
    for deployment in ("d-1", "d-2", "d-2", "d-3"):
        file.keep([serving_assignment(deployment=deployment)], served=[serving_assignment(deployment=deployment)])

    assert [kept.deployment_id for kept in file.read().served[campaign()]] == ["d-3", "d-2"]


def test_an_update_of_a_version_is_another_thing_that_served(file):
    locations = ("artifacts/films-1", "artifacts/films-1-updates/a")
    for location in locations:
        file.keep([serving_assignment(location=location)], served=[serving_assignment(location=location)])

    assert [kept.artifact_location for kept in file.read().served[campaign()]] == [*reversed(locations)]


def test_a_worker_that_could_not_load_the_newest_leaves_what_others_served(file):
    file.keep([serving_assignment(deployment="d-1")], served=[serving_assignment(deployment="d-1")])
    file.keep([serving_assignment(deployment="d-2")], served=[serving_assignment(deployment="d-2")])

    file.keep([serving_assignment(deployment="d-2")], served=[])

    assert [kept.deployment_id for kept in file.read().served[campaign()]] == ["d-2", "d-1"]


def test_campaigns_that_are_assigned_no_more_are_forgotten(file):
    file.keep([serving_assignment()], served=[serving_assignment()])

    file.keep([], served=[serving_assignment()])

    assert file.read() == KeptAssignments()


def test_what_filters_are_read_from_is_kept_and_a_file_without_it_is_understood(file, tmp_path):
    group = group_message(GROUP, {"ITEMS": "datasets/items/1"}, {"a": "EXCLUDE ItemID WHERE Items.I = 1"})
    file.keep([serving_assignment()], served=[], dataset_groups=[group])
    assert file.read().dataset_groups == (group,)

    document = json.loads(path_of(tmp_path).read_bytes())
    del document["dataset_groups"]
    path_of(tmp_path).write_text(json.dumps(document))
    assert file.read() == KeptAssignments((serving_assignment(),))


@pytest.mark.parametrize(
    "text",
    [
        b"",
        b'{"format_version": 2, "assignments": [], "served": [], "dataset_groups": [{}]}',
        b"\xff\xfe",
        b"[]",
        b"[" * 9000,
        b'{"format_version": 1, "assignments": [], "served": []}',
        b'{"format_version": 2}',
        b'{"format_version": 3}',
        b'{"format_version": 2, "assignments": [{"serving_arn": 5}], "served": []}',
        b'{"format_version": 2, "assignments": [{}], "served": []}',
        b'{"format_version": 2, "assignments": 5, "served": []}',
    ],
)
def test_a_file_that_cannot_be_understood_counts_as_none(file, tmp_path, text):
    file.keep([serving_assignment()], served=[serving_assignment()])
    path_of(tmp_path).write_bytes(text)

    assert file.read() == KeptAssignments()
    file.keep([serving_assignment()], served=[])
    assert file.read().assignments == (serving_assignment(),)


def test_members_of_a_newer_version_are_passed_over(file, tmp_path):
    file.keep([serving_assignment()], served=[serving_assignment()])
    document = json.loads(path_of(tmp_path).read_bytes())
    document["assignments"][0]["colour"] = "green"
    path_of(tmp_path).write_text(json.dumps(document))

    assert file.read().assignments == (serving_assignment(),)


@pytest.fixture
def backends():
    with running_backends() as made:
        yield made


class BlockingLoader:
    """A loader whose load of one artifact ends once a test lets it."""

    def __init__(self, opener, *, location, event) -> None:
        self._opener = opener
        self._location = location
        self._event = event

    def load(self, location):
        if location == self._location:
            self._event.wait(60)
        return self._opener.load(location)

    def forget_others(self, locations):
        self._opener.forget_others(locations)


@pytest.fixture
def working(backends, file, tmp_path, features):
    """Run a watcher with what was kept, and give the table that it keeps."""

    @contextmanager
    def run(store, *, hanging=None, event=None, load_seconds=60.0, follows=features):
        table, opener = DeploymentTable(), ModelLoader(store, cache=tmp_path / "cache", index="exact")

        async def watch():
            async with aio_channel(backends.server.target, token=backends.keys.token("runtime")) as channel:
                opener_here = opener if event is None else BlockingLoader(opener, location=hanging, event=event)
                stub = serving_pb2_grpc.ServingServiceStub(channel)
                await ServingWatcher(
                    stub,
                    Loads(opener_here, limit_seconds=load_seconds, cache_users=10),
                    table=table,
                    features=follows,
                    catch_up=CatchUp(stub, in_force=features.in_force),
                    kept=file,
                    runtime_id="tests-1-0",
                    wait_seconds=1.0,
                ).run()

        with loop_in_thread() as loop, loop.running(watch()):
            yield table

    return run


def serves(table, name="films"):
    deployment = table.find(campaign(name))
    return None if deployment is None else deployment.assignment.deployment_id


def test_what_was_kept_is_served_until_the_control_plane_says_otherwise(backends, working, file, shelf):
    file.keep([serving_assignment(deployment="d-1"), serving_assignment("gone")], served=[])
    backends.board.assign(assignment(deployment="d-2", location="artifacts/popular"))
    backends.board.refuse(10_000)
    with working(shelf) as table:
        wait_until(lambda: serves(table) == "d-1" and serves(table, "gone"))
        assert not table.confirmed
        assert file.read().assignments == (serving_assignment(deployment="d-1"), serving_assignment("gone"))

        backends.board.refuse(0)

        wait_until(lambda: serves(table) == "d-2")
        assert table.confirmed
        assert serves(table, "gone") is None
        kept = wait_until(lambda: (content := file.read()) and campaign() in content.served and content)
        assert [one.deployment_id for one in kept.assignments] == ["d-2"]


def test_a_worker_that_trips_over_what_was_kept_waits_for_the_control_plane(backends, working, file, shelf, features):
    file.keep([serving_assignment(deployment="d-1")], served=[])
    backends.board.assign(assignment(deployment="d-2", location="artifacts/popular"))
    backends.board.refuse(10_000)
    tripping = TrippingFeatures(features)
    with working(shelf, follows=tripping) as table:
        wait_until(lambda: not tripping.trips)
        assert serves(table) is None

        backends.board.refuse(0)

        wait_until(lambda: serves(table) == "d-2")


def test_control_plane_that_answers_is_believed_and_not_the_disk(backends, working, file, shelf):
    file.keep([serving_assignment("gone")], served=[])
    backends.board.assign(assignment(location="artifacts/personal"))
    with working(shelf) as table:
        wait_until(lambda: serves(table) == "d-1")

        assert serves(table, "gone") is None
        assert table.confirmed


def test_version_before_serves_while_an_update_is_loaded_by_a_new_worker(backends, working, file, shelf):
    file.keep([serving_assignment(deployment="d-1")], served=[serving_assignment(deployment="d-1")])
    backends.board.assign(assignment(deployment="d-2", location="artifacts/popular"))
    let = Event()
    with working(shelf, hanging="artifacts/popular", event=let) as table:
        wait_until(lambda: serves(table) == "d-1")
        wait_until(table.loaded.is_set)

        let.set()

        wait_until(lambda: serves(table) == "d-2")


@pytest.mark.parametrize(("group", "active"), [(GROUP, False), (f"{GROUP}-of-before", True)])
def test_new_campaign_is_not_answered_from_a_deleted_one_of_its_name(backends, working, file, shelf, group, active):
    file.keep([serving_assignment(group=group)], served=[serving_assignment(group=group)])
    backends.board.assign(assignment(deployment="d-2", location="artifacts/none"), active=active)
    with working(shelf) as table:
        assert wait_until(lambda: (state := backends.board.state("d-2")) and state.phase == FAILED and state)
        assert serves(table) is None
        assert (table.may_come(campaign()), table.lacks(campaign())) == (not active, active)


def test_new_campaign_is_not_answered_by_a_worker_that_missed_the_end_of_one_of_its_name(backends, working, shelf):
    backends.board.assign(assignment(location="artifacts/personal"), active=True)
    with working(shelf) as table:
        wait_until(lambda: serves(table) == "d-1")

        backends.board.assign(assignment(deployment="d-2", location="artifacts/none"), active=False)

        assert wait_until(lambda: (state := backends.board.state("d-2")) and state.phase == FAILED and state)
        assert serves(table) is None


def test_new_campaign_stays_served_while_it_becomes_active(backends, working, shelf):
    backends.board.assign(assignment(location="artifacts/personal"), active=False)
    with working(shelf) as table:
        wait_until(lambda: serves(table) == "d-1" and backends.board.state("d-1"))
        served = table.find(campaign())

        backends.board.assign(assignment(location="artifacts/personal"), active=True)

        wait_until(lambda: campaign() in table.expected)
        assert table.find(campaign()) is served


def test_load_that_hangs_counts_as_failed_and_keeps_no_other_from_being_served(backends, working, shelf):
    backends.board.assign(
        assignment("hangs", deployment="d-1", location="artifacts/personal"),
        assignment("films", deployment="d-2", location="artifacts/popular"),
    )
    let = Event()
    with working(shelf, hanging="artifacts/personal", event=let, load_seconds=0.2) as table:
        wait_until(lambda: serves(table) == "d-2")
        state = wait_until(lambda: (state := backends.board.state("d-1")) and state.phase == FAILED and state)
        assert "got no end of its loading within 0.2 seconds" in state.failure_reason
        assert table.loaded.is_set()
        assert table.lacks(campaign("hangs"))

        let.set()

        wait_until(lambda: (state := backends.board.state("d-1")) and state.phase == READY)
        assert not table.lacks(campaign("hangs"))


def test_artifact_that_comes_late_is_served_without_a_restart(backends, working, store, popular):
    backends.board.assign(assignment(location="artifacts/late"))
    with working(store) as table:
        wait_until(lambda: (state := backends.board.state("d-1")) and state.phase == FAILED)

        publish(store, "artifacts/late", popular)

        wait_until(lambda: serves(table) == "d-1", seconds=60)
        wait_until(lambda: (state := backends.board.state("d-1")) and state.phase == READY)


def test_copies_of_what_is_served_no_more_are_removed_but_the_version_before(
    backends, working, file, popular, tmp_path
):
    store = ObjectStore(MemoryStore())
    for name in ("one", "two", "three"):
        publish(store, f"artifacts/{name}", popular)
    with working(store) as table:
        for number, name in enumerate(("one", "two", "three"), 1):
            backends.board.assign(assignment(deployment=f"d-{number}", location=f"artifacts/{name}"))
            wait_until(lambda number=number: serves(table) == f"d-{number}")
            wait_until(lambda number=number: newest_kept(file) == f"d-{number}")

        wait_until(lambda: {path.parent.name for path in (tmp_path / "cache").rglob(MANIFEST)} == {"two", "three"})


def newest_kept(file):
    return next((kept.deployment_id for kept in file.read().served.get(campaign(), ())), None)


def test_one_changed_byte_of_any_file_is_noticed(store, popular, tmp_path):
    publish(store, "artifacts/one", popular)
    opener = ModelLoader(store, cache=tmp_path / "cache", index="exact")
    opener.load("artifacts/one")
    for path in [file for file in store.local_folder("artifacts/one").rglob("*") if file.is_file()]:
        content = path.read_bytes()
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 1]) + content[-2:])
        with pytest.raises(TailorbirdError):
            opener.load("artifacts/one")
        path.write_bytes(content)
    opener.load("artifacts/one")
