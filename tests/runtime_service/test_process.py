"""The runtime as processes: workers on one port and a tail, seen from outside."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import time

import grpc
import psutil
import pytest
from grpc_health.v1.health_pb2 import HealthCheckResponse

from common.rpc.probe import is_serving
from common.testing import wait_until
from recipes.catalog import RECIPES
from tests.processes import hanging_up
from tests.runtime_service.backends import running_backends
from tests.runtime_service.running import WORKERS, all_ready, environment, running
from tests.runtime_service.world import N_ITEMS, assignment, fit, item, publish, user


@pytest.fixture
def backends():
    with running_backends() as made:
        yield made


@pytest.fixture
def runtime(tmp_path, backends, shelf):
    backends.board.assign(
        assignment("films", deployment="d-1", location="artifacts/personal"),
        assignment("hits", deployment="d-2", location="artifacts/popular"),
    )
    with running(environment(tmp_path, backends, shelf), backends, tmp_path) as made:
        wait_until(lambda: len(made.serving_workers()) == WORKERS, seconds=60)
        yield made


@pytest.fixture
def trending_shelf(shelf):
    publish(shelf, "artifacts/trending", fit("aws-trending-now"))
    return shelf


def test_both_workers_answer_an_event_changes_the_list_and_sigterm_ends_all(runtime, backends):
    wait_until(lambda: all_ready(backends, "d-1"))
    before = [runtime.recommend(user(0)) for _ in range(20)]
    assert all(answer == before[0] for answer in before)
    assert len(runtime.recommend(None, "hits")) == 5

    backends.log.send(user(0), item(N_ITEMS - 1))
    # Both workers see it: twenty new connections reach both but for one chance in half a million.
    wait_until(lambda: all(runtime.recommend(user(0)) != before[0] for _ in range(20)))

    children = runtime.children()
    assert len(children) == WORKERS + 1
    assert psutil.Process(runtime.process.pid).num_threads() == 1
    assert runtime.stop() == 0
    assert [child for child in children if child.is_running()] == []
    assert '"event": "stopped"' in runtime.log()


def test_events_trend_at_every_worker_within_seconds(runtime, backends, trending_shelf):
    backends.board.assign(assignment("trends", deployment="d-3", location="artifacts/trending"))
    wait_until(lambda: all_ready(backends, "d-3"))
    assert "brand-new" not in runtime.recommend(None, "trends")

    for number in range(30):
        backends.log.send(f"visitor-{number}", "brand-new", millis=int(time.time() * 1000))

    wait_until(lambda: all(runtime.recommend(None, "trends")[0] == "brand-new" for _ in range(20)))


def test_what_happens_while_the_workers_drain_is_in_their_answers(tmp_path, backends, shelf):
    backends.board.assign(assignment("films", deployment="d-1", location="artifacts/personal"))
    variables = environment(tmp_path, backends, shelf, TAILORBIRD_DRAIN_SECONDS="300")
    with running(variables, backends, tmp_path) as runtime:
        wait_until(lambda: len(runtime.serving_workers()) == WORKERS, seconds=60)
        wait_until(lambda: all_ready(backends, "d-1"))
        before = runtime.recommend(user(0))

        runtime.process.send_signal(signal.SIGTERM)
        wait_until(lambda: runtime.health("") == HealthCheckResponse.NOT_SERVING)
        backends.log.send(user(0), item(N_ITEMS - 1))

        wait_until(lambda: runtime.recommend(user(0)) != before)


def test_killed_worker_comes_back_while_the_other_answers(runtime):
    killed = runtime.worker_pid("worker-0")

    os.kill(killed, signal.SIGKILL)

    wait_until(lambda: runtime.log().count('"event": "serving"') == WORKERS + 1, seconds=60)
    assert runtime.worker_pid("worker-0") != killed
    assert len(runtime.recommend(user(1))) == 5
    assert len(runtime.children()) == WORKERS + 1
    assert f'"process": "worker-0", "pid": {killed}, "exit_code": -9, "restart_in_seconds": 0.0' in runtime.log()
    assert runtime.stop() == 0


def test_killed_tail_comes_back_and_goes_on(runtime, backends):
    before = runtime.recommend(user(2))
    backends.log.send(user(3), item(0))

    os.kill(runtime.worker_pid("tail"), signal.SIGKILL)
    backends.log.send(user(2), item(N_ITEMS - 1))

    wait_until(lambda: runtime.recommend(user(2)) != before, seconds=60)


def test_processes_that_hang_are_replaced_while_another_answers(tmp_path, backends, shelf):
    backends.board.assign(assignment("films", deployment="d-1", location="artifacts/personal"))
    bounds = {"TAILORBIRD_SILENT_SECONDS": "5", "TAILORBIRD_HISTORY_LATE_SECONDS": "0.5"}
    variables = environment(tmp_path, backends, shelf, **bounds)
    with running(variables, backends, tmp_path) as runtime:
        wait_until(lambda: len(runtime.serving_workers()) == WORKERS, seconds=60)
        before = runtime.recommend(user(2))
        hung = {name: runtime.worker_pid(name) for name in ("worker-0", "tail")}

        for pid in hung.values():
            os.kill(pid, signal.SIGSTOP)

        wait_until(lambda: answered(runtime), seconds=60)
        for name, pid in hung.items():
            wait_until(lambda name=name, pid=pid: runtime.worker_pid(name) != pid, seconds=60)
            assert not psutil.pid_exists(pid)
            assert f'"process": "{name}", "pid": {pid}, "event": "process_silent"' in runtime.log()
        assert runtime.log().count('"event": "process_silent"') == len(hung)
        wait_until(lambda: runtime.log().count('"event": "serving"') == WORKERS + 1, seconds=60)
        backends.log.send(user(2), item(N_ITEMS - 1))
        wait_until(lambda: all(runtime.recommend(user(2)) != before for _ in range(20)), seconds=60)
        assert '"event": "histories_late"' in runtime.log()
        wait_until(lambda: runtime.health("histories") == HealthCheckResponse.SERVING, seconds=60)
        assert runtime.stop() == 0


def answered(runtime):
    """Whether one call over a connection of its own is answered; one given to a process that hangs is not."""
    try:
        return len(runtime.recommend(user(1))) == 5
    except grpc.RpcError:
        return False


def test_children_die_with_a_killed_parent(runtime):
    children = runtime.children()

    runtime.process.kill()
    runtime.process.wait(timeout=60)

    assert len(children) == WORKERS + 1
    wait_until(lambda: not any(child.is_running() for child in children))


def test_runtime_waits_for_its_backends_before_it_reports_ready(tmp_path, shelf):
    with running_backends() as backends, hanging_up() as away:
        variables = environment(tmp_path, backends, shelf, TAILORBIRD_CONTROL_PLANE=away.target)
        with running(variables, backends, tmp_path) as runtime:
            # Each was there in vain, and one of them at least comes again.
            wait_until(lambda: away.count > WORKERS)
            assert not is_serving(runtime.address, seconds=0.5)
            assert runtime.stop() == 0


def test_process_is_healthy_once_it_serves(runtime):
    assert is_serving(runtime.address)


def test_taken_port_is_told_in_one_line(tmp_path, shelf):
    with running_backends() as backends, socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        with running(environment(tmp_path, backends, shelf, TAILORBIRD_LISTEN=address), backends, tmp_path) as runtime:
            assert runtime.process.wait(timeout=30) == 1
            assert runtime.log().startswith(f"runtime_service: `listen`: got {address}, which cannot be bound")
            assert runtime.log().count("\n") == 1


def test_second_runtime_is_kept_off_the_port_of_the_first(runtime, tmp_path, backends, shelf):
    folder = tmp_path / "second"
    folder.mkdir()
    with running(environment(folder, backends, shelf, TAILORBIRD_LISTEN=runtime.address), backends, folder) as second:
        assert second.process.wait(timeout=30) == 1
        assert "cannot be bound" in second.log()


def test_port_0_picks_a_free_one_for_all_workers(tmp_path, backends, shelf):
    with running(
        environment(tmp_path, backends, shelf, TAILORBIRD_LISTEN="127.0.0.1:0"), backends, tmp_path
    ) as runtime:
        wait_until(lambda: len(runtime.serving_workers()) == WORKERS, seconds=60)
        ports = set(re.findall(r'"port": (\d+)', runtime.log()))
        assert len(ports) == 1
        assert is_serving(f"127.0.0.1:{ports.pop()}")
        assert runtime.stop() == 0


def test_parent_of_the_workers_loads_every_scorer_and_what_is_compiled_for_it():
    program = "import sys, runtime_service.__main__; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True).stdout.split()
    served = {recipe.scorer.partition(":")[0] for recipe in RECIPES.values() if recipe.kind.operation}
    assert served - set(loaded) == set()
    assert "recipes.components.history_deltas" in loaded
