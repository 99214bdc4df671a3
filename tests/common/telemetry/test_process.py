"""What a process, or a parent with forked workers, shows to Prometheus over HTTP."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import httpx
import pytest
from structlog.testing import capture_logs

from common.errors import InvalidInput
from common.process.forked import WorkerSpec
from common.settings import TelemetrySettings
from common.telemetry import NO_CALLS, NO_FIGURES, Figure, Kind, Reading
from common.telemetry.process import Telemetry
from common.testing import wait_until

CALLS = Figure(Kind.COUNTER, "calls_total", "Calls.")
DEPTH = Figure(Kind.GAUGE, "depth", "Depth.", ("queue",))


#: A parent whose worker sets a gauge, and whose successors end at once.
PARENT = """
import asyncio, os, pathlib, sys
from common.logs import configure_logging
from common.process.forked import Patience, WorkerSpec, run_workers_until_signal
from common.settings import TelemetrySettings
from common.telemetry import Figure, Kind
from common.telemetry.process import Telemetry

CALLS = Figure(Kind.COUNTER, "calls_total", "Calls.")
SIZE = Figure(Kind.GAUGE, "size", "Size.", by_worker=True)
telemetry = Telemetry(TelemetrySettings(metrics_listen=sys.argv[1]), [CALLS, SIZE], service="test", workers=["a"])

async def work(beat):
    first = pathlib.Path(sys.argv[2])
    if first.exists():
        return
    first.write_text(str(os.getpid()))  # before anybody can see the figures
    telemetry.figures("a").counter(CALLS).add()
    telemetry.figures("a").gauge(SIZE).set(7.0)
    await asyncio.Event().wait()

configure_logging("test", level="INFO", form="json")
run_workers_until_signal(telemetry.observed([WorkerSpec("a", work)]), Patience(grace_seconds=1, silent_seconds=60))
"""


async def wait(_):
    """Work without an end."""


class Queue:
    def read(self):
        yield Reading(DEPTH, 3.0, ("jobs",))


class Broken:
    def read(self):
        raise RuntimeError("the database is away")


def test_figures_and_sources_are_shown_while_the_block_runs():
    telemetry = Telemetry(TelemetrySettings(metrics_listen="127.0.0.1:0"), [CALLS], service="test")
    telemetry.figures().counter(CALLS).add()
    with telemetry.shown([Queue()]) as port:
        url = f"http://127.0.0.1:{port}/metrics"
        first = httpx.get(url).text
        telemetry.figures().counter(CALLS).add()
        second = httpx.get(url).text

    assert "calls_total 1.0" in first.splitlines()
    assert "calls_total 2.0" in second.splitlines()
    assert 'depth{queue="jobs"} 3.0' in second.splitlines()
    assert "# TYPE calls_total counter" in second.splitlines()
    with pytest.raises(httpx.ConnectError):
        httpx.get(url)


def test_of_a_worker_that_ended_for_good_no_gauge_is_shown_and_it_is_down(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as free:
        address = f"127.0.0.1:{free.getsockname()[1]}"

    def scraped(*expected):
        try:
            lines = set(httpx.get(f"http://{address}/metrics").text.splitlines())
        except httpx.TransportError:
            return None  # not yet
        return lines if lines.issuperset(expected) else None

    with subprocess.Popen([sys.executable, "-c", PARENT, address, str(tmp_path / "pid")]) as parent:
        try:
            up = wait_until(lambda: scraped('size{worker="a"} 7.0', 'tailorbird_worker_up{worker="a"} 1.0'))
            os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
            down = wait_until(lambda: scraped("calls_total 1.0", 'tailorbird_worker_up{worker="a"} 0.0'))
        finally:
            parent.terminate()

    assert parent.returncode == 0
    memory = [line for line in up if line.startswith("tailorbird_worker_memory_bytes{")]
    assert {'kind="private"' in line for line in memory} == {True, False}
    assert 'tailorbird_worker_ends_total{worker="a"} 0.0' in up
    assert [line for line in down if line.startswith(("size{", "tailorbird_worker_memory_bytes{"))] == []


def test_a_source_that_fails_costs_its_own_figures_only():
    telemetry = Telemetry(TelemetrySettings(metrics_listen="127.0.0.1:0"), [CALLS], service="test")
    telemetry.figures().counter(CALLS).add()
    with telemetry.shown([Broken(), Queue()]) as port, capture_logs() as lines_logged:
        lines = httpx.get(f"http://127.0.0.1:{port}/metrics").text.splitlines()

    assert {"calls_total 1.0", 'depth{queue="jobs"} 3.0'} <= set(lines)
    assert {(line["event"], line["source"]) for line in lines_logged} == {("figures_unreadable", "Broken")}


def test_callers_who_send_nothing_keep_nobody_out_and_are_bounded():
    telemetry = Telemetry(TelemetrySettings(metrics_listen="127.0.0.1:0"), [CALLS], service="test")
    with telemetry.shown() as port:
        silent = [socket.create_connection(("127.0.0.1", port)) for _ in range(8)]
        assert httpx.get(f"http://127.0.0.1:{port}/metrics").status_code == 200
        silent += [socket.create_connection(("127.0.0.1", port), timeout=60) for _ in range(16)]
        # The sixteen places are taken: who comes then is shown the door.
        assert silent[-1].recv(1) == b""
        for one in silent:
            one.close()


def test_without_an_address_there_are_no_figures():
    telemetry = Telemetry(TelemetrySettings(), [CALLS], service="test")
    with telemetry.shown() as port:
        assert port is None
    assert telemetry.figures() is NO_FIGURES
    assert telemetry.observer() is NO_CALLS
    assert telemetry.observed([spec := WorkerSpec("worker-0", wait)]) == [spec]


@pytest.mark.parametrize("address", ["9100", ":9100", "localhost:http", "127.0.0.1:70000", "192.0.2.1:9100"])
def test_addresses_that_cannot_be_listened_on_are_refused(address):
    with pytest.raises(InvalidInput, match="`metrics_listen`: got"):
        Telemetry(TelemetrySettings(metrics_listen=address), [], service="test")


@pytest.mark.parametrize("package", ["opentelemetry.sdk", "opentelemetry.exporter.otlp.proto.grpc"])
def test_traces_without_the_extra_that_makes_them_are_refused_at_the_start(monkeypatch, package):
    monkeypatch.setitem(sys.modules, package, None)  # as Python has it where there is none
    with pytest.raises(InvalidInput, match=r"`otlp_endpoint`: got .*extra `telemetry`.*tailorbird\[telemetry\]"):
        Telemetry(TelemetrySettings(otlp_endpoint="http://127.0.0.1:4317"), [], service="test")


def test_an_address_that_is_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as other_server:
        address = f"127.0.0.1:{other_server.getsockname()[1]}"
        with pytest.raises(InvalidInput, match="Address already in use"):
            Telemetry(TelemetrySettings(metrics_listen=address), [], service="test")
