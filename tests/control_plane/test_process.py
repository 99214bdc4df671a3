"""The control plane as a process: starts from its environment, says when it is ready, stops cleanly."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.testing import make_keys, wait_until
from control_plane.settings import ControlPlaneSettings


@pytest.fixture
def environment(tmp_path):
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    (tmp_path / "public.pem").write_bytes(make_keys().public_pem)
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("TAILORBIRD_")},
        "TAILORBIRD_PUBLIC_KEY_FILE": str(tmp_path / "public.pem"),
        "TAILORBIRD_DATABASE_URL": f"sqlite:///{tmp_path / 'catalogue.db'}",
        "TAILORBIRD_LISTEN": f"127.0.0.1:{port}",
    }


def run(environment):
    return subprocess.Popen([sys.executable, "-m", "control_plane"], env=environment, stderr=subprocess.PIPE, text=True)


def healthy(target) -> bool:
    with grpc.insecure_channel(target) as channel:
        try:
            answer = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=1)
        except grpc.RpcError:
            return False
    return answer.status == health_pb2.HealthCheckResponse.SERVING


def test_process_gets_ready_and_stops_at_sigterm(environment):
    with run(environment) as process:
        try:
            wait_until(lambda: healthy(environment["TAILORBIRD_LISTEN"]), every=0.1)
        finally:
            process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=20)

    assert process.returncode == 0
    assert '"event": "stopped"' in log


def test_process_that_cannot_start_says_why_in_one_line(environment):
    environment["TAILORBIRD_DATABASE_URL"] = "mysql://host/tailorbird"

    with run(environment) as process:
        _, log = process.communicate(timeout=20)

    assert process.returncode == 1
    assert log.startswith("control_plane: `database_url`: got 'mysql://host/tailorbird', want")
    assert log.count("\n") == 1


def test_quotas_are_settings():
    assert ControlPlaneSettings(max_schemas=7).quotas().schemas == 7
