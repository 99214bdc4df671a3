"""What a process, or a parent with forked workers, shows to Prometheus over HTTP."""

from __future__ import annotations

import socket

import httpx
import pytest
from structlog.testing import capture_logs

from common.errors import InvalidInput
from common.settings import TelemetrySettings
from common.telemetry import NO_CALLS, NO_FIGURES, Figure, Kind, Reading
from common.telemetry.process import Telemetry

CALLS = Figure(Kind.COUNTER, "calls_total", "Calls.")
DEPTH = Figure(Kind.GAUGE, "depth", "Depth.", ("queue",))


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
    assert telemetry.workers() == []


@pytest.mark.parametrize("address", ["9100", ":9100", "localhost:http", "127.0.0.1:70000", "192.0.2.1:9100"])
def test_addresses_that_cannot_be_listened_on_are_refused(address):
    with pytest.raises(InvalidInput, match="`metrics_listen`: got"):
        Telemetry(TelemetrySettings(metrics_listen=address), [], service="test")


def test_an_address_that_is_taken_is_refused():
    with socket.create_server(("127.0.0.1", 0)) as other_server:
        address = f"127.0.0.1:{other_server.getsockname()[1]}"
        with pytest.raises(InvalidInput, match="Address already in use"):
            Telemetry(TelemetrySettings(metrics_listen=address), [], service="test")
