"""The client package, built and installed as users do, calls three real runtimes."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import google.protobuf
import grpc
import grpc_tools
import pytest
import typing_extensions

import protos
from common.rpc import channel, channels
from common.testing import make_keys, wait_until
from protos.calls import channel_options
from protos.tailorbird.runtime.v1.runtime_service_pb2_grpc import RuntimeServiceStub
from tests.runtime_service.mesh import HOSTS, NameServer, running_mesh

ROOT = Path(protos.__file__).resolve().parents[1]
CLIENT = ROOT / "clients" / "python"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CLIENT_PROJECT = tomllib.loads((CLIENT / "pyproject.toml").read_text())
#: Asks as often as told and prints what was answered; a file replaces the token file before the last call.
PROGRAM = """
import asyncio, json, os, sys
from pathlib import Path

site, target, token, renewed, request, count = sys.argv[1:]
sys.path.insert(0, site)
from tailorbird.client import TokenFile, channel_options, deadline_seconds, open_aio_channel, open_channel
from tailorbird.runtime.v1 import runtime_service_pb2, runtime_service_pb2_grpc

asked = runtime_service_pb2.GetRecommendationsRequest.FromString(bytes.fromhex(request))

def blocking():
    with open_channel(target, token=TokenFile(Path(token))) as channel:
        stub = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
        answers = [stub.GetRecommendations(asked, wait_for_ready=True) for _ in range(int(count))]
        os.replace(renewed, token)
        try:
            stub.GetRecommendations(asked)
        except Exception as error:
            return answers, error.code().name
        return answers, "OK"

async def asynchronous():
    async with open_aio_channel(target, token=Path(token).read_text()) as channel:
        stub = runtime_service_pb2_grpc.RuntimeServiceStub(channel)
        return [await stub.GetRecommendations(asked, wait_for_ready=True) for _ in range(int(count))]

others = asyncio.run(asynchronous())
answers, code = blocking()
print(json.dumps({
    "items": sorted({tuple(item.item_id for item in answer.item_list) for answer in answers + others}),
    "code_with_the_renewed_token": code,
    "options": channel_options(target),
    "deadline": deadline_seconds("/tailorbird.runtime.v1.RuntimeService/GetRecommendations"),
}))
"""


@pytest.fixture(scope="module")
def mesh(tmp_path_factory):
    with running_mesh(tmp_path_factory.mktemp("mesh"), TAILORBIRD_MAX_AGE_SECONDS="1") as running:
        yield running


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """Give a folder of packages: the client, by way of a source distribution and a wheel, and what it says it needs."""
    folder = tmp_path_factory.mktemp("client")
    # From a clean copy, without stubs that somebody has generated, and without the links of the repository.
    shutil.copytree(CLIENT, folder / "source", ignore=shutil.ignore_patterns("*_pb2*", "__pycache__"))
    environ = {**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"}
    python = [sys.executable, "-W", "ignore"]  # of the libraries that build, which are not ours
    subprocess.run([*python, "setup.py", "-q", "sdist"], cwd=folder / "source", env=environ, check=True)
    (archive,) = (folder / "source" / "dist").iterdir()
    install = [*python, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--no-build-isolation"]
    subprocess.run([*install, "--target", folder / "site", archive], env=environ, check=True)
    # What the two packages that it depends on consist of.
    (folder / "site" / "google").mkdir()
    for package in (google.protobuf, google._upb, grpc):
        name = package.__name__.replace(".", "/")
        (folder / "site" / name).symlink_to(Path(next(iter(package.__path__))))
    (folder / "site" / "typing_extensions.py").symlink_to(typing_extensions.__file__)
    return folder / "site"


def test_the_package_calls_runtimes_of_a_name_in_turn_with_grpc_and_protobuf_alone(mesh, site, tmp_path):
    token, renewed = tmp_path / "token", tmp_path / "renewed"
    token.write_text(mesh.token)
    renewed.write_text(make_keys().token("client"))  # another installation's: it is refused
    before = [instance.answered() for instance in mesh.instances]
    with NameServer(HOSTS) as names:
        target = f"dns://{names.address}/runtimes.test:{mesh.port}"
        request = mesh.request.SerializeToString().hex()
        # Isolated, without site-packages: nothing can be imported but the standard library and the folder.
        done = subprocess.run(
            [sys.executable, "-I", "-S", "-c", PROGRAM, site, target, token, renewed, request, "30"],
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert len(said["items"]) == 1
    assert len(said["items"][0]) == 3
    assert said["code_with_the_renewed_token"] == "UNAUTHENTICATED"
    answered = [instance.answered() - earlier for instance, earlier in zip(mesh.instances, before, strict=True)]
    # Connections end after a second, so turns begin anew now and then.
    assert sum(answered) >= 60
    assert min(answered) >= 3
    # The processes' own channels have the same options, and the same deadlines.
    assert [tuple(option) for option in said["options"]] == channel_options(target)
    assert said["deadline"] == channels.deadline_seconds("/tailorbird.runtime.v1.RuntimeService/GetRecommendations")


def test_connections_that_become_too_old_fail_no_call(mesh):
    target = f"ipv4:{','.join(instance.address for instance in mesh.instances)}"
    outcomes = set()
    with channel(target, token=mesh.token) as opened:
        stub = RuntimeServiceStub(opened)
        stub.GetRecommendations(mesh.request, wait_for_ready=True, timeout=60)
        connections = set()

        def connected_three_times():
            outcomes.add(len(stub.GetRecommendations(mesh.request, timeout=60).item_list))
            connections.update(mesh.connections())
            return len(connections) >= 3 * len(HOSTS)

        wait_until(connected_three_times, every=0.01)
    assert outcomes == {3}


def test_a_stopped_runtime_is_left_out_and_taken_in_again_when_it_serves(mesh):
    with (
        NameServer(HOSTS) as names,
        channel(f"dns://{names.address}/runtimes.test:{mesh.port}", token=mesh.token) as opened,
    ):
        stub = RuntimeServiceStub(opened)
        first, *others = mesh.instances
        first.stop()
        before = [instance.answered() for instance in others]
        for _ in range(30):
            stub.GetRecommendations(mesh.request, wait_for_ready=True, timeout=60)
        answered = [instance.answered() - earlier for instance, earlier in zip(others, before, strict=True)]
        assert min(answered) >= 3
        first.start()

        def takes_part():
            stub.GetRecommendations(mesh.request, timeout=60)
            return first.answered() > n_before

        n_before = first.answered()
        wait_until(takes_part, seconds=60)


def test_versions_and_dependencies_are_those_of_the_project():
    assert CLIENT_PROJECT["build-system"] == PROJECT["build-system"]
    assert CLIENT_PROJECT["project"]["version"] == PROJECT["project"]["version"]
    needed = CLIENT_PROJECT["project"]["dependencies"]
    assert {entry.partition(">=")[0] for entry in needed} == {"grpcio", "protobuf"}
    assert set(needed) <= set(PROJECT["project"]["dependencies"])


@pytest.mark.skipif(
    shutil.which("protoc") is None and "CI" not in os.environ, reason="protobuf-compiler is not installed"
)
@pytest.mark.parametrize("language", ["cpp", "csharp", "java", "ruby"])
def test_plain_protoc_generates_every_language_from_a_clean_copy(language, tmp_path):
    shutil.copytree(ROOT / "protos", tmp_path / "protos", ignore=lambda _, names: not_contracts(names))
    contracts = sorted(str(path.relative_to(tmp_path / "protos")) for path in (tmp_path / "protos").rglob("*.proto"))
    (tmp_path / "out").mkdir()
    # protoc brings Google's own contracts where its package is installed with what it recommends.
    included = Path(grpc_tools.__file__).parent / "_proto"
    command = ["protoc", "-I", "protos", "-I", included, f"--{language}_out=out", *contracts]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    generated = [path for path in (tmp_path / "out").rglob("*") if path.is_file()]
    assert len(generated) >= len(contracts)
    assert any("options" in path.name.lower() for path in generated)


def not_contracts(names):
    return [name for name in names if "." in name and not name.endswith(".proto")]
