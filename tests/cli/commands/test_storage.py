"""`tailorbird storage` against a real control plane and a real events service."""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from datetime import timedelta

import pytest

from cli.app import Env, app, run
from cli.installation import Installation, Running
from common.auth import TokenIssuer, TokenVerifier
from common.clock import ManualClock
from common.settings import StoreSettings
from common.storage.objects import open_store
from common.testing import Keys, serving, wait_until
from control_plane.domain.jobs import JobKind
from events_service.log.sqlite import SqliteEventLog
from events_service.server import Timing, assemble
from protos.tailorbird.internal.v1.jobs_pb2 import StorageMaintenanceResult
from protos.tailorbird.storage.v1.storage_usage_pb2 import FolderUsage, StorageUsage, TableUsage
from tests.control_plane.world import EVERYTHING, make_world
from tests.events_service.samples import entries, known_trackers


@pytest.fixture
def world(tmp_path):
    made = make_world(tmp_path)
    yield made
    made.plane.long_polls.close()
    made.metadata_store.close()


@pytest.fixture
def installation(tmp_path):
    made = Installation(tmp_path / "data")
    made.prepare()
    return made


@pytest.fixture
def keys(installation):
    private, public = installation.keys.private_key.read_bytes(), installation.keys.public_key.read_bytes()
    return Keys(TokenIssuer(private), TokenVerifier(public), private, public)


@pytest.fixture
def target(world, installation, keys):
    """Serve the control plane as `tailorbird up` would; gives its address."""
    with ExitStack() as stack:
        running = stack.enter_context(serving(world.plane.services, keys=keys))
        endpoint = f"http://127.0.0.1:{running.server.port - 1}"
        stack.enter_context(installation.lock(Running(process_id=1, endpoint=endpoint)))
        yield running.target


@pytest.fixture
def events_target(keys, tmp_path):
    log = SqliteEventLog(tmp_path / "log", clock=ManualClock())
    log.append(entries(1, 2, 3), seconds=20)
    store = open_store(StoreSettings(store_url=str(tmp_path / "store")))
    made = assemble(log, store, known_trackers(), timing=Timing())
    with serving(made.services, keys=keys) as running:
        yield running.target
    made.polls.close()
    log.close()


@pytest.fixture
def token(installation, tmp_path):
    path = tmp_path / "token"
    path.write_text(installation.keys.issuer().issue("operator", subject="test", lifetime=timedelta(minutes=5)))
    return str(path)


@pytest.fixture
def counted(world):
    """Let the storage of a group with a campaign be counted."""
    version = world.active_version()
    row = world.resources.versions.describe(version)
    world.campaign(version)
    usage = StorageUsage(artifacts=[FolderUsage(location=row.artifact_location, bytes=5_000_000, objects=3)])
    for dataset in world.resources.datasets.list(EVERYTHING, dataset_group_arn=row.dataset_group_arn).items:
        table = TableUsage(
            location=dataset.location, rows=1234, files=2, bytes=3_000_000, old_files=4, old_bytes=9_000_000, versions=6
        )
        table.removable_at.FromDatetime(world.clock.now())
        usage.tables.append(table)
    usage.measured_at.FromDatetime(world.clock.now())
    return row.dataset_group_arn, usage


def do_maintenance(world, usage) -> None:
    lease = wait_until(lambda: world.lease("trainer", JobKind.STORAGE_MAINTENANCE))
    result = StorageMaintenanceResult(usage=usage)
    world.queue.complete(lease.job.id, lease.token, kind=JobKind.STORAGE_MAINTENANCE, result=result)


@pytest.fixture
def tailorbird():
    def call(*arguments):
        return run(app, Env(environ={}), ["storage", *arguments])

    return call


def document(capsys):
    """Return the JSON that was written, behind the lines that the control plane has logged."""
    text = capsys.readouterr().out
    return json.loads(text[text.index('{\n  "total_bytes"') :])


def measured(world, group, usage) -> None:
    """Let a group be counted without the command."""
    storage = world.plane.maintenance._storage._storage
    world.metadata_store.transact(lambda unit: storage.start(unit, group))
    do_maintenance(world, usage)


def test_everything_is_listed_with_the_largest_first(tailorbird, target, installation, counted, world, capsys):
    measured(world, *counted)

    assert tailorbird("--data-dir", str(installation.root)) == 0

    output = capsys.readouterr().out
    rows = [line for line in output.splitlines() if " MB " in line or " kB " in line]
    assert [line.split("│")[2].split()[0] for line in rows[:3]] == ["old", "solution", "dataset"]
    assert "9.0 MB will be freed" in " ".join(output.replace("│", " ").split())
    assert "campaign/" in output
    assert "counted" in output
    # Neither runs beside this control plane.
    assert "events service: not asked" in output
    assert "runtime service: not asked" in output


def test_everything_comes_as_json(tailorbird, target, installation, counted, world, capsys):
    group, usage = counted
    measured(world, group, usage)

    assert tailorbird("--output", "json", "--data-dir", str(installation.root)) == 0

    shown = document(capsys)
    assert (shown["total_bytes"], shown["freed_bytes"]) == (17_000_000, 9_000_000)
    (listed,) = shown["dataset_groups"]
    assert listed["dataset_group_arn"] == group
    assert listed["datasets"][0]["table"]["rows"] == "1234"
    assert {host["process"] for host in shown["hosts"]} == {"events_service", "runtime_service"}


def test_what_has_to_be_counted_now_is_waited_for(tailorbird, target, installation, counted, world, capsys):
    busy = world.group()
    group, usage = counted
    trainer = threading.Thread(target=do_maintenance, args=(world, usage))
    trainer.start()

    assert tailorbird("--now", "--output", "json", "--data-dir", str(installation.root)) == 0

    trainer.join()
    shown = {item["dataset_group_arn"]: item for item in document(capsys)["dataset_groups"]}
    assert "measured_at" in shown[group]
    assert "measured_at" not in shown[busy]


def test_without_a_trainer_the_wait_ends(tailorbird, target, installation, counted, capsys):
    assert tailorbird("--now", "--wait-seconds", "0", "--data-dir", str(installation.root)) == 1
    assert "are not counted yet" in " ".join(capsys.readouterr().err.split())


def test_groups_with_other_jobs_are_named(tailorbird, target, installation, world, capsys):
    group = world.group()
    world.import_job(world.dataset(group))
    assert tailorbird("--now", "--data-dir", str(installation.root)) == 0
    assert f"{group}: not counted now: 1 of its jobs wait or run" in capsys.readouterr().err


def test_services_are_asked_by_their_addresses(tailorbird, target, events_target, token, capsys):
    options = ("--control-plane", target, "--token-file", token, "--events-service", events_target)

    assert tailorbird(*options, "--output", "json") == 0

    (host,) = document(capsys)["hosts"]
    assert host["process"] == "events_service"
    assert (host["parts"][0]["name"], host["parts"][0]["records"]) == ("event log", "3")
    assert tailorbird(*options) == 0
    assert "up to 3 records since" in capsys.readouterr().out
