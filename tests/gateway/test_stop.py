"""An orderly stop: proxies hear of it first, running calls finish, nobody sees a failed call."""

import json
import re
import signal
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path

import httpx
import pytest

from common.testing import wait_until
from tests.gateway.balancer import Balancer
from tests.gateway.conftest import answer_class
from tests.gateway.test_process import environment
from tests.gateway.wire import RECOMMENDATIONS, answer, connected, received, signed


@contextmanager
def gateway_process(tmp_path, endpoint, rpc_keys, *, files=None, **settings):
    """Run `python -m gateway` before the test's services; give the process and its address."""
    given = environment(
        tmp_path,
        ACCESS_KEYS_FILE=str(endpoint.access_keys.path),
        **{name.upper(): target for name, target in endpoint.targets.items()},
        **settings,
    )
    (tmp_path / "token").write_text(rpc_keys.token("gateway"))
    (tmp_path / "token").chmod(0o600)
    log = tmp_path / f"gateway-{threading.get_ident()}-{len(list(tmp_path.iterdir()))}.log"
    limited = ["/bin/sh", "-c", f'ulimit -Sn {files} && exec "$@"', "sh"] if files else []
    with log.open("w") as output:
        process = subprocess.Popen(
            [*limited, sys.executable, "-m", "gateway"],
            env=given,
            stderr=output,
        )
    try:
        wait_until(lambda: '"event": "serving"' in log.read_text() or process.poll() is not None)
        (port,) = [line["port"] for line in map(json.loads, log.read_text().splitlines()) if line["event"] == "serving"]
        yield process, f"http://127.0.0.1:{port}"
    finally:
        process.kill()
        process.wait()


def test_health_says_first_that_a_gateway_stops_while_calls_are_served(tmp_path, endpoint, rpc_keys):
    with gateway_process(tmp_path, endpoint, rpc_keys, DRAIN_SECONDS="3600") as (process, url):
        head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
        with connected(url) as kept:
            kept.sendall(head + body)
            assert answer(kept).status == 200
            process.send_signal(signal.SIGTERM)

            wait_until(lambda: httpx.get(f"{url}/ping").json() == {"status": "STOPPING"})
            assert httpx.get(f"{url}/health").status_code == 503
            kept.sendall(head + body)
            told = answer(kept)
            assert (told.status, told.headers["connection"]) == (200, "close")
            assert received(kept) == b""


def test_running_calls_finish_before_a_gateway_ends(tmp_path, endpoint, rpc_keys):
    gate = threading.Event()

    def wait():
        assert gate.wait(60)
        return answer_class("personalize-runtime", "GetRecommendations")()

    endpoint.servicers["personalize-runtime"].answers["GetRecommendations"] = wait
    with gateway_process(tmp_path, endpoint, rpc_keys, DRAIN_SECONDS="0") as (process, url):
        head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
        with connected(url) as busy, connected(url) as idle:
            busy.sendall(head + body)
            wait_until(lambda: endpoint.servicers["personalize-runtime"].requests)
            process.send_signal(signal.SIGTERM)
            assert received(idle) == b""  # so the stop has begun
            gate.set()

            assert answer(busy).status == 200
            assert received(busy) == b""
        assert process.wait(timeout=30) == 0


def test_a_call_that_outlasts_the_grace_is_told_that_the_gateway_stops(tmp_path, endpoint, rpc_keys):
    gate = threading.Event()
    endpoint.servicers["personalize"].answers["ListRecipes"] = lambda: gate.wait(60) and None
    with gateway_process(tmp_path, endpoint, rpc_keys, DRAIN_SECONDS="0", GRACE_SECONDS="1") as (process, url):
        head, body = signed(endpoint.key, url, "/", b"{}", target="AmazonPersonalize.ListRecipes")
        with connected(url) as busy:
            busy.sendall(head + body)
            wait_until(lambda: endpoint.servicers["personalize"].requests)
            process.send_signal(signal.SIGTERM)
            told = answer(busy)
        gate.set()
        assert process.wait(timeout=30) == 0

    assert told.status == 503
    assert json.loads(told.body)["__type"] == "ServiceUnavailableException"


def test_behind_a_proxy_with_two_gateways_nobody_sees_one_stop(tmp_path, endpoint, rpc_keys):
    answers = []
    enough = threading.Event()
    with ExitStack() as stack:
        run = lambda: stack.enter_context(gateway_process(tmp_path, endpoint, rpc_keys, DRAIN_SECONDS="4"))  # noqa: E731 - said twice
        (first, first_url), (_, second_url) = run(), run()
        balancer = Balancer([first_url, second_url])
        url = stack.enter_context(balancer.running())
        head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)

        def call():
            with connected(url) as connection:
                while not enough.is_set():
                    connection.sendall(head + body)
                    told = answer(connection)
                    answers.append((told.status, told.body[:100]))

        pool = stack.enter_context(ThreadPoolExecutor(4))
        try:
            callers = [pool.submit(call) for _ in range(4)]
            wait_until(lambda: len(answers) > 50)
            first.send_signal(signal.SIGTERM)
            wait_until(lambda: first.poll() is not None)
            after = len(answers)
            wait_until(lambda: len(answers) > after + 50)
        finally:
            enough.set()
        for caller in callers:
            caller.result(timeout=30)

        assert first.returncode == 0
        assert balancer.healthy() == [second_url]
    assert {status for status, _ in answers} == {200}, [item for item in answers if item[0] != 200][:3]


def test_a_gateway_raises_its_limit_of_open_files_to_what_its_connections_need(tmp_path, endpoint, rpc_keys):
    with gateway_process(tmp_path, endpoint, rpc_keys, files=256, DRAIN_SECONDS="0") as (process, url):
        limits = Path(f"/proc/{process.pid}/limits")
        if not limits.exists():
            pytest.skip("needs /proc")
        (soft,) = re.findall(r"^Max open files\s+(\d+)", limits.read_text(), re.MULTILINE)
        with ExitStack() as stack:
            for _ in range(400):
                stack.enter_context(connected(url))
            head, body = signed(endpoint.key, url, "/recommendations", RECOMMENDATIONS)
            honest = stack.enter_context(connected(url))
            honest.sendall(head + body)

            assert answer(honest).status == 200

    assert int(soft) >= 2000
