"""Processes are asked all at once, and none keeps the others waiting."""

from __future__ import annotations

import socket

import pytest

from cli.top import parse_targets, scrape_all
from common.errors import InvalidInput
from common.settings import TelemetrySettings
from common.telemetry import Figure, Kind
from common.telemetry.process import Telemetry

CALLS = Figure(Kind.COUNTER, "calls_total", "Calls.", ("code",))


def test_figures_are_read_and_who_does_not_answer_is_told():
    telemetry = Telemetry(TelemetrySettings(metrics_listen="127.0.0.1:0"), [CALLS], service="test")
    telemetry.figures().counter(CALLS, "OK").add(3.0)
    telemetry.figures().counter(CALLS, "INTERNAL").add(2.0)
    with telemetry.shown() as port, socket.create_server(("127.0.0.1", 0)) as silent:
        with socket.create_server(("127.0.0.1", 0)) as gone:
            refused = gone.getsockname()[1]
        targets = {
            "up": f"127.0.0.1:{port}",
            "silent": f"127.0.0.1:{silent.getsockname()[1]}",
            "gone": f"127.0.0.1:{refused}",
        }
        hanging = {"silent": targets.pop("silent")}
        every = [*scrape_all(targets, seconds=20), *scrape_all(hanging, seconds=0.5)]
        scrapes = {scrape.process: scrape for scrape in every}

    assert scrapes["up"].total("calls_total") == 5.0
    assert scrapes["up"].total("calls_total", code="OK") == 3.0
    assert scrapes["silent"].error == "timed out"
    assert "refused" in scrapes["gone"].error


def test_what_is_not_a_page_of_figures_is_told():
    with socket.create_server(("127.0.0.1", 0)) as server:
        import threading

        def answer():
            connection, _ = server.accept()
            with connection:
                connection.recv(1000)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 12\r\n\r\nnot {figures")

        thread = threading.Thread(target=answer)
        thread.start()
        (scrape,) = scrape_all({"odd": f"127.0.0.1:{server.getsockname()[1]}"}, seconds=5)
        thread.join()
    assert scrape.error


def test_targets_have_names_or_are_named_after_their_address():
    assert parse_targets("gateway=127.0.0.1:9400, 10.0.0.7:9401") == {
        "gateway": "127.0.0.1:9400",
        "10.0.0.7:9401": "10.0.0.7:9401",
    }


@pytest.mark.parametrize("text", ["", "gateway", "gateway=9400", "127.0.0.1:http"])
def test_malformed_targets_are_refused(text):
    with pytest.raises(InvalidInput, match="`metrics`: got"):
        parse_targets(text)
