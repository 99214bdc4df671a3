"""Probes, against real servers."""

import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest

from cli.supervisor import grpc_probe, http_probe
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


@pytest.mark.parametrize(("status", "healthy"), [(200, True), (503, False), (404, False)])
def test_http_is_healthy_when_it_says_so(status, healthy):
    with answering(status) as target:
        assert http_probe(target)() is healthy


def test_grpc_is_healthy_while_it_serves():
    with serving([]) as server:
        ready = grpc_probe(server.target)()
        server.server.not_ready()
        assert (ready, grpc_probe(server.target)()) == (True, False)


def test_a_server_that_is_gone_is_not_healthy():
    with serving([]) as server, answering(200) as http:
        targets = server.target, http
    assert (grpc_probe(targets[0], seconds=0.5)(), http_probe(targets[1])()) == (False, False)


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
