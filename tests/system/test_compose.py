"""docker-compose.yml and Dockerfile, proved without a container engine.

Each service's own command and environment is started as a local process, in the order that its dependences demand,
with its own health check; only names of hosts, ports and mounted folders are mapped. Then the main job is done.
"""

import json
import os
import re
import socket
import subprocess
import sys
import time
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from datetime import timedelta
from importlib.metadata import version
from pathlib import Path

import grpc
import pytest
import yaml

from cli.certificates import make_certificates
from cli.demo.generated import generate
from cli.demo.items import EVENT, SCHEMAS
from cli.demo.journey import Journey, connect
from common.access_keys import AccessKeys
from common.process import launch
from common.rpc import channel
from common.testing import wait_until
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.control.v1.recipe_pb2 import ListRecipesRequest

ROOT = Path(__file__).resolve().parents[2]
COMPOSE = yaml.safe_load((ROOT / "docker-compose.yml").read_text())
SERVICES = COMPOSE["services"]
PROCESSES = {name: service for name, service in SERVICES.items() if name != "keys"}
OVER_TLS = yaml.safe_load((ROOT / "docker-compose.tls.yml").read_text())["services"]
DOCKERFILE = (ROOT / "Dockerfile").read_text()
#: Settings that say where another process is.
ADDRESSES = {f"TAILORBIRD_{name.upper().replace('-', '_')}" for name in PROCESSES}
#: Seconds for a process to be healthy on a busy machine.
PATIENCE = 90


def free_ports(count):
    """Return ports that are free, all of them different."""
    with ExitStack() as held:
        return [held.enter_context(socket.create_server(("127.0.0.1", 0))).getsockname()[1] for _ in range(count)]


def listens(port):
    """Return whether anybody takes connections."""
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


def mounts(service):
    """Yield (source below the test's folder, target in the container) of each mount."""
    for item in service.get("volumes", ()):
        if isinstance(item, str):
            source, target = item.split(":")[:2]
            yield source, target
        else:
            yield "/".join(filter(None, (item["source"], item.get("volume", {}).get("subpath")))), item["target"]


@dataclass
class Local:
    """The services of the file as processes of this machine."""

    folder: Path
    stack: ExitStack
    services: dict = field(default_factory=lambda: SERVICES)
    ports: dict = field(default_factory=dict)
    running: dict = field(default_factory=dict)
    healthy_once: set = field(default_factory=set)

    def translate(self, name, text):
        """Return a command's word or a variable's value as it is here."""
        for host, port in self.ports.items():
            text = re.sub(rf"\b{host}:74\d\d\b", f"127.0.0.1:{port}", text)
        text = re.sub(r"(0\.0\.0\.0|127\.0\.0\.1):74\d\d\b", f"127.0.0.1:{self.ports.get(name, 0)}", text)
        for source, target in mounts(self.services[name]):
            text = re.sub(rf"(?<![\w.]){target}(?=/|$)", str(self.folder / source), text)
        return text

    def command(self, name, words):
        here = {"python": [sys.executable], "tailorbird": [sys.executable, "-m", "cli"]}
        return [*here[words[0]], *(self.translate(name, word) for word in words[1:])]

    def environment(self, name):
        declared = {
            key: self.translate(name, value) for key, value in self.services[name].get("environment", {}).items()
        }
        # The image's own part: where programs and packages are.
        return {"PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "HOME": "/nonexistent", **declared}

    def once(self, name, words):
        return subprocess.run(
            self.command(name, words), env=self.environment(name), cwd=self.cwd(name), capture_output=True, check=False
        )

    def healthy(self, name):
        assert self.running[name].poll() is None, f"{name} ended:\n{self.log(name)}"
        if name in self.ports and not listens(self.ports[name]):
            return False  # of no use to start a process that asks it
        return self.once(name, self.services[name]["healthcheck"]["test"][1:]).returncode == 0

    def wait_for(self, name):
        """Return once a service has been healthy."""
        if name not in self.healthy_once:
            wait_until(lambda: self.healthy(name), seconds=PATIENCE, every=0.2)
            self.healthy_once.add(name)

    def start(self, name):
        """Start a service once what it depends on is as the file demands."""
        for other, condition in self.services[name].get("depends_on", {}).items():
            assert condition["condition"] == "service_healthy"
            self.start(other)
            self.wait_for(other)
        if name in self.running:
            return
        for source, target in mounts(self.services[name]):
            (self.folder / source).mkdir(parents=True, exist_ok=True)
            for outer, place in mounts(self.services[name]):
                if target.startswith(f"{place}/"):
                    # A mount inside of another one.
                    (self.folder / outer / target[len(place) + 1 :]).symlink_to(self.folder / source)
        lifeline, held = os.pipe()
        self.stack.callback(os.close, held)
        log = self.stack.enter_context((self.folder / f"{name}.log").open("wb"))
        tied = [sys.executable, "-IS", launch.__file__, str(os.getpid()), str(lifeline)]
        process = subprocess.Popen(
            [*tied, *self.command(name, [*self.services[name].get("entrypoint", ()), *self.services[name]["command"]])],
            env=self.environment(name),
            cwd=self.cwd(name),
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(lifeline,),
            start_new_session=True,
        )
        os.close(lifeline)
        self.running[name] = process
        self.stack.callback(process.wait)
        self.stack.callback(process.terminate)

    def cwd(self, name):
        folder = self.folder / "cwd" / name
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def log(self, name):
        return (self.folder / f"{name}.log").read_text(errors="replace")[-4000:]


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with ExitStack() as stack:
        local = Local(tmp_path_factory.mktemp("compose"), stack)
        local.ports = dict(zip(PROCESSES, free_ports(len(PROCESSES)), strict=True))
        for name in PROCESSES:
            local.start(name)
        for name in PROCESSES:
            local.wait_for(name)
        yield local


def test_the_main_job_works_with_the_commands_and_settings_of_the_file(system):
    key = AccessKeys(system.folder / "secrets" / "gateway" / "access_keys.json").create("test")
    clients = connect(
        f"http://127.0.0.1:{system.ports['gateway']}",
        access_key_id=key.access_key_id,
        secret_access_key=key.secret_access_key,
    )
    journey = Journey(clients, suffix="compose")
    data = generate(users=150, genres=4, series=4)
    files = data.write_csv(system.folder / "buckets" / "films")

    journey.create_datasets(SCHEMAS)
    journey.import_csv({kind: f"s3://films/{path.name}" for kind, path in files.items()})
    quick = {"embedding_size": 16, "layers": 1, "heads": 1, "epochs": 3, "max_length": 20}
    version = journey.train(journey.create_solution("films", "aws-user-personalization-v2", hyperparameters=quick))
    campaign = journey.create_campaign("films", version)
    tracking_id = journey.create_event_tracker()
    before = journey.recommend(campaign, "user-0001")
    _, watched = data.unfamiliar_genre("user-0001", count=3)
    journey.put_events(tracking_id, "user-0001", watched, event_type=EVENT)
    after, _ = journey.changed_recommendations(
        campaign, "user-0001", before=before, acknowledged_at=time.perf_counter()
    )

    assert 0.0 < journey.metrics(version)["coverage"] <= 1.0
    assert len(before.items) == len(after.items) == 10
    assert set(before.items) | set(after.items) <= set(data.items)


def calls(system, token):
    """Return how the control plane answers the holder of a token."""
    with channel(f"127.0.0.1:{system.ports['control-plane']}", token=token) as opened:
        try:
            ControlPlaneServiceStub(opened).ListRecipes(ListRecipesRequest())
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def keys(system, *words):
    """Run a command in the service `keys`."""
    done = system.once("keys", ["tailorbird", "keys", *words, "--keys", "/secrets/issuer"])
    assert done.returncode == 0, done.stderr
    return done.stdout.decode().strip()


def test_a_token_that_is_revoked_is_refused_by_processes_that_run(system):
    token = keys(system, "token", "--subject", "shop")
    before = calls(system, token)
    keys(system, "revoke-token", "--subject", "shop")
    wait_until(lambda: calls(system, token) is grpc.StatusCode.UNAUTHENTICATED, seconds=PATIENCE, every=0.2)
    assert before is grpc.StatusCode.OK


def test_a_process_whose_token_is_revoked_gets_a_new_one_and_goes_on(system):
    file = system.folder / "secrets" / "trainer" / "token"
    before = file.read_text()
    keys(system, "revoke-token", "--subject", "trainer")
    wait_until(lambda: file.read_text() != before, seconds=PATIENCE, every=0.2)
    # Not ready while the control plane refuses it, ready again with the new token, without a restart.
    wait_until(lambda: system.healthy("trainer"), seconds=PATIENCE, every=0.2)


def merged(service, over):
    """Return a service as two files describe it, joined as compose does."""
    return {
        **service,
        "environment": {**service["environment"], **over.get("environment", {})},
        "volumes": [*service["volumes"], *over.get("volumes", [])],
    }


def test_every_process_gets_certificates_from_the_file_for_tls():
    assert set(OVER_TLS) == set(PROCESSES)
    assert {json.dumps(service, sort_keys=True) for service in OVER_TLS.values()} == {
        json.dumps(OVER_TLS["gateway"], sort_keys=True)
    }


def test_the_system_works_over_tls(tmp_path):
    files = make_certificates(tmp_path / "certificates", lifetime=timedelta(days=1))
    services = {"keys": SERVICES["keys"]} | {
        name: merged(service, OVER_TLS[name]) for name, service in PROCESSES.items()
    }
    with ExitStack() as stack:
        local = Local(tmp_path, stack, services)
        local.ports = dict(zip(PROCESSES, free_ports(len(PROCESSES)), strict=True))
        for name in ("gateway", "trainer"):
            local.start(name)
            local.wait_for(name)
        key = AccessKeys(tmp_path / "secrets" / "gateway" / "access_keys.json").create("test")
        clients = connect(
            f"https://127.0.0.1:{local.ports['gateway']}",
            access_key_id=key.access_key_id,
            secret_access_key=key.secret_access_key,
            ca_file=files.ca_file,
        )
        # The gateway's stop waits for connections over TLS, until their clients close them.
        with closing(clients.personalize) as personalize:
            assert personalize.list_recipes()["recipes"]


def test_nothing_is_written_outside_of_the_volumes(system):
    assert [str(path) for path in (system.folder / "cwd").rglob("*") if path.is_file()] == []


@pytest.mark.parametrize("name", PROCESSES)
def test_every_process_has_a_health_check_and_is_restarted(name):
    assert SERVICES[name]["healthcheck"]["test"][0] == "CMD"
    assert SERVICES[name]["restart"] == "unless-stopped"


def test_every_process_of_the_system_has_a_service():
    assert {name.replace("-", "_") for name in PROCESSES} == {
        "control_plane", "events_service", "runtime_service", "trainer", "gateway",
    }  # fmt: skip


@pytest.mark.parametrize("name", SERVICES)
def test_every_service_is_limited_in_memory_and_threads_and_built_from_a_named_version(name):
    service = SERVICES[name]
    assert re.fullmatch(r"\d+[mg]|\$\{\w+:-\d+[mg]\}", service["mem_limit"])
    assert service["pids_limit"] <= 512
    assert service["image"].endswith(f":{version('tailorbird')}")


def test_the_base_of_the_images_is_named_to_its_patch_level():
    assert re.search(r"^ARG PYTHON_IMAGE=python:3\.\d+\.\d+-slim-\w+$", DOCKERFILE, flags=re.MULTILINE)


def test_only_the_keeper_of_keys_sees_the_key_that_signs_tokens():
    holders = [name for name, service in SERVICES.items() if ("secrets", "/secrets") in mounts(service)]
    assert holders == ["keys"]


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_sees_its_own_secrets_only_and_cannot_change_them(name):
    (mount,) = [item for item in SERVICES[name]["volumes"] if isinstance(item, dict) and item["source"] == "secrets"]
    assert (mount["volume"]["subpath"], mount["read_only"]) == (name.replace("-", "_"), True)


@pytest.mark.parametrize("name", PROCESSES)
def test_a_process_is_told_its_own_settings_only_and_no_secret(name):
    settings = json.loads((ROOT / "cli" / "settings.json").read_text())[name.replace("-", "_")]
    given = SERVICES[name]["environment"]
    assert [variable for variable in given if variable not in settings or "SECRET" in variable] == []
    assert "env_file" not in SERVICES[name]
    assert [variable for variable in settings if variable in ADDRESSES and variable not in given] == []


def test_only_the_gateway_is_reachable_and_on_loopback_only():
    assert {name: service["ports"] for name, service in SERVICES.items() if "ports" in service} == {
        "gateway": ["127.0.0.1:7400:7400"]
    }


def test_every_named_volume_is_declared():
    named = {source.split("/")[0] for service in SERVICES.values() for source, _ in mounts(service)}
    assert {name for name in named if not name.startswith(".")} == set(COMPOSE["volumes"])


def stage(name):
    """Return the lines of a stage of the Dockerfile with those of the stages that it is made from."""
    stages = dict(re.findall(r"^FROM \S+ AS (\S+)\n(.*?)(?=^FROM|\Z)", DOCKERFILE, flags=re.MULTILINE | re.DOTALL))
    parents = re.findall(r"^FROM (\S+) AS (\S+)$", DOCKERFILE, flags=re.MULTILINE)
    text = stages[name]
    for parent, child in parents:
        if child == name and parent in stages:
            text += stage(parent)
    for source in re.findall(r"^COPY --from=(\S+)", stages[name], flags=re.MULTILINE):
        text += stage(source)
    return text


def test_only_the_trainer_image_contains_what_trains():
    assert ("[train]" in stage("serving"), "[train]" in stage("trainer")) == (False, True)


@pytest.mark.parametrize("image", ["serving", "trainer"])
def test_images_contain_what_makes_traces(image):
    assert "'.[telemetry]'" in stage(image)


@pytest.mark.parametrize("image", ["serving", "trainer"])
def test_images_are_built_from_the_constraints_and_run_without_root(image):
    installs = re.findall(r"pip install .*", stage(image))
    assert [line for line in installs if "-c constraints.txt" not in line] == []
    assert re.search(r"^USER tailorbird$", stage(image), flags=re.MULTILINE)


def test_services_use_images_that_the_dockerfile_makes():
    targets = {service["image"]: service["build"]["target"] for service in SERVICES.values() if "build" in service}
    assert {service["image"] for service in SERVICES.values()} == set(targets)
    assert set(targets.values()) <= set(re.findall(r" AS (\S+)$", DOCKERFILE, flags=re.MULTILINE))
