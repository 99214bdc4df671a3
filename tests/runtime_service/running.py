"""The runtime as processes, seen from outside: starting it, asking it, ending it."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import grpc
import psutil
from grpc_health.v1 import health_pb2, health_pb2_grpc

from common.rpc.channels import channel_credentials
from common.settings import TlsFiles
from protos.tailorbird.runtime.v1.runtime_service_pb2 import GetRecommendationsRequest
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from tests.runtime_service.backends import READY
from tests.runtime_service.world import campaign

WORKERS = 2


@dataclass
class Runtime:
    """A running `python -m runtime_service`."""

    process: subprocess.Popen
    address: str
    token: str
    log_file: Path
    tls: TlsFiles | None = None

    def log(self) -> str:
        return self.log_file.read_text()

    def children(self) -> list[psutil.Process]:
        return psutil.Process(self.process.pid).children()

    def serving_workers(self) -> set[str]:
        """Return the names of the workers that have taken calls so far."""
        return set(re.findall(r'"runtime_id": "[^"]*-(\d+)", "event": "serving"', self.log()))

    def worker_pid(self, name: str) -> int:
        return int(re.findall(rf'"process": "{name}", "pid": (\d+), "event": "process_started"', self.log())[-1])

    def recommend(self, user_id: str | None, name: str = "films", count: int = 5) -> list[str]:
        """Ask over a connection of its own, so that the kernel picks a worker anew."""
        with self._connection() as channel:
            answer = RuntimeServiceStub(channel).GetRecommendations(
                GetRecommendationsRequest(campaign_arn=campaign(name), user_id=user_id, num_results=count),
                metadata=[("authorization", f"Bearer {self.token}")],
                timeout=60,
            )
        return [entry.item_id for entry in answer.item_list]

    def health(self, name: str):
        """Return what one of the workers says of a part of the runtime."""
        with self._connection() as channel:
            request = health_pb2.HealthCheckRequest(service=name)
            return health_pb2_grpc.HealthStub(channel).Check(request, timeout=60).status

    def kill(self, *names: str) -> None:
        """Kill workers, all of them when none is named."""
        for name in names or [f"worker-{number}" for number in range(WORKERS)]:
            os.kill(self.worker_pid(name), signal.SIGKILL)

    def _connection(self) -> grpc.Channel:
        options = [("grpc.use_local_subchannel_pool", 1)]
        credentials = channel_credentials(self.tls)
        if credentials is None:
            return grpc.insecure_channel(self.address, options=options)
        # The tests' certificates name this machine, and none of its addresses.
        return grpc.secure_channel(
            self.address, credentials, options=[*options, ("grpc.ssl_target_name_override", "localhost")]
        )

    def stop(self) -> int:
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=60)


def all_ready(backends, deployment: str) -> bool:
    state = backends.board.state(deployment, runtimes=WORKERS)
    return state is not None and state.phase == READY


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def environment(folder: Path, backends, store, **more: str) -> dict[str, str]:
    (folder / "public.pem").write_bytes(backends.keys.public_pem)
    (folder / "token").write_text(backends.keys.token("runtime"))
    return {
        **{key: value for key, value in os.environ.items() if not key.startswith("TAILORBIRD_")},
        "TAILORBIRD_PUBLIC_KEY_FILE": str(folder / "public.pem"),
        "TAILORBIRD_TOKEN_FILE": str(folder / "token"),
        "TAILORBIRD_LISTEN": f"127.0.0.1:{free_port()}",
        "TAILORBIRD_CONTROL_PLANE": backends.server.target,
        "TAILORBIRD_EVENTS_SERVICE": backends.server.target,
        "TAILORBIRD_STORE_URL": str(store.root),
        "TAILORBIRD_CACHE_DIR": str(folder / "cache"),
        "TAILORBIRD_HISTORY_DIR": str(folder / "history"),
        "TAILORBIRD_HISTORY_MAP_BYTES": str(1 << 20),
        "TAILORBIRD_WORKERS": str(WORKERS),
        "TAILORBIRD_WATCH_SECONDS": "2",
        "TAILORBIRD_GRACE_SECONDS": "5",
        "TAILORBIRD_DRAIN_SECONDS": "0",
        **more,
    }


@contextmanager
def running(variables: dict[str, str], backends, folder: Path, *, tls: TlsFiles | None = None):
    log_file = folder / "runtime.log"
    with log_file.open("wb") as log:
        process = subprocess.Popen([sys.executable, "-m", "runtime_service"], env=variables, stderr=log)
    try:
        yield Runtime(process, variables["TAILORBIRD_LISTEN"], backends.keys.token("client"), log_file, tls)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait(timeout=60)
