"""What callers get while artifacts are damaged, the control plane is away, or workers die: real processes."""

from __future__ import annotations

import json
from contextlib import contextmanager
from datetime import timedelta

import grpc
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from cli.certificates import make_certificates
from common.rpc import from_rpc_error
from common.testing import wait_until
from tests.runtime_service.backends import FAILED, running_backends
from tests.runtime_service.running import WORKERS, all_ready, environment, running
from tests.runtime_service.world import assignment, campaign, publish, user

UNCONFIRMED = "assignments_unconfirmed"
SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


@pytest.fixture
def started(tmp_path, store, personal, popular):
    """Start a runtime that serves two campaigns of artifacts that a test may change."""
    for location in ("artifacts/one", "artifacts/two"):
        publish(store, location, personal)
    publish(store, "artifacts/popular", popular)

    @contextmanager
    def start(backends, *, tls=None, **more):
        backends.board.assign(
            assignment("films", deployment="d-1", location="artifacts/one"),
            assignment("hits", deployment="d-2", location="artifacts/popular"),
        )
        with running(environment(tmp_path, backends, store, **more), backends, tmp_path, tls=tls) as runtime:
            wait_until(lambda: len(runtime.serving_workers()) == WORKERS, seconds=60)
            yield runtime

    return start


def flip_a_byte_in_each_file(store, location):
    """Damage an artifact, and return what mends it."""
    before = {path: path.read_bytes() for path in store.local_folder(location).rglob("*") if path.is_file()}
    for path, content in before.items():
        middle = len(content) // 2
        path.write_bytes(content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :])

    def mend():
        for path, content in before.items():
            path.write_bytes(content)

    return mend


def serves(runtime, name="films", calls=20):
    """Return whether that many calls over new connections all succeed."""
    try:
        return all(len(runtime.recommend(user(0), name)) == 5 for _ in range(calls))
    except grpc.RpcError:
        return False


def error(runtime, name="films"):
    """Return the error of a call, None while nobody listens or when it is answered."""
    try:
        runtime.recommend(user(0), name)
    except grpc.RpcError as failed:
        translated = from_rpc_error(failed)
        return translated if "could not be loaded here" in translated.message else None
    return None


def test_worker_that_cannot_load_an_artifact_leaves_callers_to_the_other_until_it_is_mended(started, store):
    with running_backends() as backends, started(backends) as runtime:
        mend = flip_a_byte_in_each_file(store, "artifacts/one")

        runtime.kill("worker-0")

        wait_until(lambda: '"event": "standing_back"' in runtime.log(), seconds=60)
        assert serves(runtime)
        assert serves(runtime, "hits")
        assert runtime.log().count('"event": "serving"') == WORKERS

        mend()

        wait_until(lambda: runtime.log().count('"event": "serving"') == WORKERS + 1, seconds=60)
        assert serves(runtime)


def test_worker_that_lacks_a_campaign_leaves_callers_to_the_other_over_tls(started, store, tmp_path):
    files = make_certificates(tmp_path / "tls", hosts=["localhost"], lifetime=timedelta(hours=1))
    with running_backends(tls=files) as backends:
        by_name = backends.server.target.replace("127.0.0.1", "localhost")
        variables = {
            "TAILORBIRD_TLS_CERT_FILE": str(files.cert_file),
            "TAILORBIRD_TLS_KEY_FILE": str(files.key_file),
            "TAILORBIRD_TLS_CA_FILE": str(files.ca_file),
            "TAILORBIRD_CONTROL_PLANE": by_name,
            "TAILORBIRD_EVENTS_SERVICE": by_name,
        }
        with started(backends, tls=files, **variables) as runtime:
            mend = flip_a_byte_in_each_file(store, "artifacts/one")

            runtime.kill("worker-0")

            wait_until(lambda: '"event": "standing_back"' in runtime.log(), seconds=60)
            assert serves(runtime)
            assert '"event": "serving_without"' not in runtime.log()

            mend()

            wait_until(lambda: runtime.log().count('"event": "serving"') == WORKERS + 1, seconds=60)
            assert serves(runtime)


def test_campaign_that_no_worker_can_load_is_unavailable_beside_others_until_it_is_mended(started, store):
    with running_backends() as backends, started(backends) as runtime:
        mend = flip_a_byte_in_each_file(store, "artifacts/one")

        runtime.kill()

        failed = wait_until(lambda: error(runtime), seconds=60)
        assert failed.code == "UNAVAILABLE"
        wait_until(lambda: serves(runtime, "hits"), seconds=60)
        assert runtime.health(campaign("films")) == NOT_SERVING
        assert (runtime.health(campaign("hits")), runtime.health("")) == (SERVING, SERVING)
        state = wait_until(
            lambda: (state := backends.board.state("d-1", runtimes=2)) and state.phase == FAILED and state
        )
        assert "artifacts/one" in state.failure_reason
        assert '"event": "deployment_failed"' in runtime.log()

        mend()

        wait_until(lambda: serves(runtime), seconds=60)
        assert runtime.log().count('"event": "process_started"') == 2 * WORKERS + 1
        wait_until(lambda: runtime.health(campaign("films")) == SERVING)


def test_version_before_a_damaged_one_serves_after_a_restart(started, store):
    with running_backends() as backends, started(backends) as runtime:
        backends.board.assign(assignment("films", deployment="d-3", location="artifacts/two"))
        wait_until(lambda: all_ready(backends, "d-3"))
        mend = flip_a_byte_in_each_file(store, "artifacts/two")

        runtime.kill()

        wait_until(lambda: serves(runtime), seconds=60)
        state = wait_until(
            lambda: (state := backends.board.state("d-3", runtimes=2)) and state.phase == FAILED and state
        )
        assert state.failure_reason.endswith("; the version before it answers meanwhile")

        mend()

        wait_until(lambda: all_ready(backends, "d-3"), seconds=60)
        assert serves(runtime)


def test_killed_workers_serve_again_while_the_control_plane_is_away(started):
    with running_backends() as backends, started(backends) as runtime:
        wait_until(lambda: runtime.health("assignments") == SERVING)
        backends.server.stop()

        runtime.kill()

        wait_until(lambda: serves(runtime), seconds=60)
        assert serves(runtime, "hits")
        assert runtime.health("assignments") == NOT_SERVING
        assert runtime.health("") == SERVING
        entries = [entry for line in runtime.log().splitlines() if (entry := json.loads(line))["event"] == UNCONFIRMED]
        assert [entry["level"] for entry in entries] == ["info"] * WORKERS
