"""Probes, against real servers."""

import socket
import threading
from contextlib import contextmanager, suppress
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cli.supervisor import grpc_probe, http_probe
from common.process.probing import Health
from common.rpc import probe
from common.testing import serving


@contextmanager
def answering(status):
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status if self.path == "/health" else 404)
            self.end_headers()

        def log_message(self, *_):
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


@pytest.mark.parametrize(
    ("status", "healthy"), [(200, Health.SERVING), (503, Health.NOT_SERVING), (404, Health.NOT_SERVING)]
)
def test_http_is_healthy_when_it_says_so(status, healthy):
    with answering(status) as target:
        assert http_probe(target)() is healthy


def test_grpc_is_healthy_while_it_serves():
    with serving([]) as server:
        ready = grpc_probe(server.target)()
        server.server.not_ready()
        assert (ready, grpc_probe(server.target)()) == (Health.SERVING, Health.NOT_SERVING)


def test_a_server_that_is_gone_is_silent():
    with serving([]) as server, answering(200) as http:
        targets = server.target, http
    assert (grpc_probe(targets[0], seconds=0.5)(), http_probe(targets[1])()) == (Health.SILENT, Health.SILENT)


def test_a_server_that_takes_connections_and_says_nothing_is_silent():
    with socket.create_server(("127.0.0.1", 0)) as server:
        target = f"127.0.0.1:{server.getsockname()[1]}"
        assert (grpc_probe(target, seconds=0.3)(), http_probe(target, seconds=0.3)()) == (Health.SILENT, Health.SILENT)


def test_a_server_that_answers_a_byte_now_and_then_does_not_hold_a_probe():
    ended = threading.Event()

    def trickle(server):
        connection, _ = server.accept()
        with connection, suppress(OSError):
            connection.sendall(b"HTTP/1.1 200 OK\r\n")
            while not ended.wait(0.1):
                connection.sendall(b"x")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=trickle, args=[server])
        thread.start()
        health = http_probe(f"127.0.0.1:{server.getsockname()[1]}", seconds=0.5)()
        ended.set()
        thread.join()
    assert health is Health.SILENT


def test_the_module_for_containers_exits_by_health(monkeypatch):
    with serving([]) as server:
        monkeypatch.setattr("sys.argv", ["probe", server.target])
        assert probe.main() == 0
        server.server.not_ready()
        assert probe.main() == 1


def test_the_module_for_containers_wants_one_address(monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["probe"])
    assert probe.main() == 2
    assert "HOST:PORT" in capsys.readouterr().err
