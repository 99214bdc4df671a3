"""Three real runtimes behind a real HAProxy, with the file of `deploy/`: what clients see when runtimes come and go.

The clients repeat nothing: every failure is counted.
"""

import asyncio
import csv
import io
import os
import shutil
import socket
import subprocess
from collections import Counter
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import grpc.aio
import pytest

import protos
from common.testing import wait_until
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from tests.runtime_service.mesh import free_port, running_mesh

CONFIGURATION = Path(protos.__file__).resolve().parents[1] / "deploy" / "haproxy.cfg"
BINARY = shutil.which("haproxy") or shutil.which("haproxy", path="/usr/sbin:/usr/local/sbin")
#: Calls in progress at a time.
CLIENTS = 8
#: Between two calls of a client.
_PAUSE_SECONDS = 0.005

pytestmark = pytest.mark.skipif(BINARY is None and "CI" not in os.environ, reason="no haproxy: apt-get install haproxy")


class Proxy:
    """A running HAProxy."""

    def __init__(self, address, control):
        self.address = address
        self._control = control

    def states(self):
        """Return what it says of each runtime: UP, DOWN, or a state in between."""
        return {row["svname"]: row["status"] for row in self._rows()}

    def calls(self):
        """Return how many calls each runtime was given."""
        return {row["svname"]: int(row["stot"]) for row in self._rows()}

    def is_ready(self):
        try:
            return set(self.states().values()) == {"UP"}
        except (FileNotFoundError, ConnectionError):
            return False

    def _rows(self):
        with socket.socket(socket.AF_UNIX) as opened:
            opened.connect(str(self._control))
            opened.sendall(b"show stat\n")
            with opened.makefile(encoding="utf-8") as said:
                rows = list(csv.DictReader(io.StringIO(said.read().lstrip("# "))))
        servers = [row for row in rows if row["pxname"] == "runtimes" and row["svname"].startswith("runtime-")]
        assert len(servers) == 3
        return servers


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    # Connections between proxy and runtimes end while the tests run.
    # The drain leaves the proxy time to look twice, also where all of this runs on two processors.
    settings = {
        "TAILORBIRD_MAX_AGE_SECONDS": "3",
        "TAILORBIRD_DRAIN_SECONDS": "4",
        "TAILORBIRD_MAX_WAIT_SECONDS": "30",
    }
    with running_mesh(tmp_path_factory.mktemp("mesh"), **settings) as running:
        yield running


@pytest.fixture(scope="module")
def proxy(mesh, tmp_path_factory):
    # Short, as the path of a socket has to be.
    control = tmp_path_factory.mktemp("proxy") / "control"
    address = f"127.0.0.1:{free_port()}"
    environ = {
        **os.environ,
        "PROXY_LISTEN": address,
        "PROXY_SOCKET": str(control),
        **{f"RUNTIME_{place}": instance.address for place, instance in enumerate(mesh.instances, start=1)},
    }
    command = ["setpriv", "--pdeathsig", "KILL", str(BINARY), "-db", "-f", str(CONFIGURATION)]
    with subprocess.Popen(command, env=environ) as process:
        started = Proxy(address, control)
        try:
            wait_until(lambda: process.poll() is not None or started.is_ready(), seconds=60)
            assert process.poll() is None
            yield started
        finally:
            process.kill()


@asynccontextmanager
async def load(mesh, address):
    """Call all the time, over several connections; the outcomes are complete at the end of the block."""
    outcomes, over = Counter(), asyncio.Event()

    async def client():
        # Nothing is repeated but what gRPC itself knows no server to have seen.
        options = [("grpc.enable_retries", 0), ("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(address, options=options) as channel:
            stub = RuntimeServiceStub(channel)
            while not over.is_set():
                try:
                    answer = await stub.GetRecommendations(
                        mesh.request, metadata=[("authorization", f"Bearer {mesh.token}")], timeout=60
                    )
                    outcomes[len(answer.item_list)] += 1
                    await asyncio.sleep(_PAUSE_SECONDS)
                except grpc.aio.AioRpcError as error:
                    outcomes[f"{error.code().name}: {error.details()}"] += 1

    async with asyncio.TaskGroup() as group:
        for _ in range(CLIENTS):
            group.create_task(client())
        try:
            yield outcomes
        finally:
            over.set()


async def restart(mesh, proxy):
    """Restart one runtime after the other, each when the proxy has taken the one before into use again."""
    for place, instance in enumerate(mesh.instances, start=1):
        await asyncio.to_thread(instance.stop)
        await asyncio.to_thread(wait_until, lambda place=place: proxy.states()[f"runtime-{place}"] != "UP")
        instance.start()
        await asyncio.to_thread(instance.wait_until_ready)
        before = proxy.calls()[f"runtime-{place}"]
        await asyncio.to_thread(wait_until, proxy.is_ready, seconds=60)
        await asyncio.to_thread(
            wait_until, lambda place=place, before=before: proxy.calls()[f"runtime-{place}"] > before, seconds=60
        )


def test_rolling_restart_under_load_fails_no_call(mesh, proxy):
    async def run():
        async with load(mesh, proxy.address) as outcomes:
            await restart(mesh, proxy)
        return outcomes

    outcomes = asyncio.run(run())

    assert set(outcomes) == {3}, outcomes
    assert outcomes[3] > 100


def test_a_killed_runtime_costs_at_most_the_calls_that_it_was_at(mesh, proxy):
    wait_until(proxy.is_ready, seconds=60)

    async def run():
        async with load(mesh, proxy.address) as outcomes:
            mesh.instances[0].kill()
            await asyncio.to_thread(wait_until, lambda: proxy.states()["runtime-1"] != "UP", seconds=60)
            mesh.instances[0].start()
            await asyncio.to_thread(wait_until, proxy.is_ready, seconds=60)
        return outcomes

    outcomes = asyncio.run(run())

    assert outcomes.total() - outcomes[3] <= CLIENTS, outcomes
