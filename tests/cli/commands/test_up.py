"""`tailorbird up` with all its processes, killed and stopped in every way."""

import os
import re
import signal
import socket
import subprocess
import sys
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from urllib.request import urlopen

import grpc
import psutil
import pytest
from botocore.exceptions import ClientError

from benchmarks.processes import free_base
from cli.certificates import make_certificates
from cli.demo.journey import connect
from cli.installation import Installation
from cli.output import access_key_variables
from cli.system import PROCESSES, Ports
from common.access_keys import AccessKeys
from common.process.probing import Health
from common.rpc import channel
from common.rpc.probe import ask
from common.settings import TlsFiles
from common.testing import wait_until
from protos.tailorbird.control.v1.control_plane_service_pb2_grpc import ControlPlaneServiceStub
from protos.tailorbird.control.v1.recipe_pb2 import ListRecipesRequest

ROOT = Path(__file__).resolve().parents[3]
#: Seconds for five processes to be ready on a busy machine.
PATIENCE = 90


class Up:
    """A running `tailorbird up`."""

    def __init__(self, folder, process, ports):
        self.folder = folder
        self.process = process
        self.ports = ports

    def output(self):
        files = [self.folder / "output", self.folder / "errors"]
        return "".join(path.read_text(errors="replace") for path in files if path.exists())

    def count(self, pattern):
        return len(re.findall(pattern, self.output()))

    def children(self):
        return psutil.Process(self.process.pid).children(recursive=True)

    def child(self, name):
        """Return the process that runs a module, None while there is none."""
        for item in self.children():
            with suppress(psutil.NoSuchProcess):
                if item.cmdline()[-2:] == ["-m", name]:
                    return item
        return None


@contextmanager
def up(folder, *, base=None, data_dir=None, options=(), output=None, environ=None):
    base = base or free_base()
    command = [sys.executable, "-m", "cli", "up", "--data-dir", str(data_dir or folder / "data"), *options]
    with (output or folder / "output").open("wb") as output, (folder / "errors").open("wb") as errors:
        process = subprocess.Popen(
            [*command, "--port-base", str(base)], cwd=ROOT, stdout=output, stderr=errors,
            env={**os.environ, "TAILORBIRD_WORKERS": "1", **(environ or {})},
        )  # fmt: skip
        running = Up(folder, process, Ports(base))
        try:
            yield running
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


@contextmanager
def ready(folder, **options):
    with up(folder, **options) as running:
        wait_until(lambda: "Ctrl-C stops" in running.output() or running.process.poll() is not None, seconds=PATIENCE)
        assert running.process.poll() is None, running.output()
        yield running


def alive(processes):
    return [item for item in processes if item.is_running() and item.status() != psutil.STATUS_ZOMBIE]


def assert_stops_in_order(running, number):
    """Send a signal, and see everything end with nothing left."""
    children = running.children()
    running.process.send_signal(number)
    code = running.process.wait(60)
    stopped = re.findall(r"stopping\s+process=(\w+)", running.output())
    assert (code, stopped) == (0, list(reversed(PROCESSES)))
    assert wait_until(lambda: alive(children) == [])
    assert "did not stop in time" not in running.output()


@dataclass(frozen=True)
class Start:
    """A running system, with what it had written and the access keys that it had when it was ready."""

    running: Up
    output: str
    keys: list


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    """A system that tests use and leave as it was, and that a signal stops in order in the end."""
    folder = tmp_path_factory.mktemp("start")
    with ready(folder) as running:
        yield Start(running, running.output(), AccessKeys(folder / "data" / "keys" / "access_keys.json").list())
        assert_stops_in_order(running, signal.SIGTERM)


def test_a_kill_leaves_nothing(tmp_path):
    with ready(tmp_path) as running:
        children = running.children()
        running.process.kill()
        running.process.wait(60)
        assert wait_until(lambda: alive(children) == [])


def test_processes_that_are_killed_come_back_and_ctrl_c_stops_all_in_order(tmp_path):
    with ready(tmp_path) as running:
        for name in PROCESSES:
            victim = running.child(name)
            descendants = victim.children(recursive=True)
            before = running.count(rf"ready\s+process={name}\b")
            victim.kill()
            wait_until(
                lambda name=name, before=before: running.count(rf"ready\s+process={name}\b") > before, seconds=PATIENCE
            )
            assert alive([victim, *descendants]) == []
        assert_stops_in_order(running, signal.SIGINT)


def test_a_process_that_hangs_comes_back(tmp_path):
    with ready(tmp_path, options=["--silent-seconds", "5"]) as running:
        victim = running.child("events_service")
        victim.suspend()
        # At least: on a busy machine others may be silent for so long, too.
        wait_until(lambda: running.count(r"ready\s+process=events_service\b") >= 2, seconds=PATIENCE)
        assert alive([victim]) == []
        assert running.count("does not answer, killing it.*process=events_service") >= 1


def serves(running):
    with suppress(OSError), urlopen(f"{running.ports.endpoint}/health", timeout=20) as response:
        return response.status == 200


@pytest.mark.parametrize("broken", ["full disk", "reader that is gone"])
def test_a_log_that_cannot_be_written_stops_nothing(tmp_path, broken):
    place = Path("/dev/full") if broken == "full disk" else tmp_path / "pipe"
    if broken != "full disk":
        os.mkfifo(place)
        reader = os.open(place, os.O_RDONLY | os.O_NONBLOCK)
    with up(tmp_path, output=place) as running:
        if broken != "full disk":
            os.close(reader)
        wait_until(lambda: serves(running) or running.process.poll() is not None, seconds=PATIENCE)
        assert running.process.poll() is None, running.output()
        victim = running.child("events_service")
        victim.kill()
        wait_until(lambda: alive([victim]) == [] and running.child("events_service"), seconds=PATIENCE)
        wait_until(lambda: serves(running) or running.process.poll() is not None, seconds=PATIENCE)
    assert running.process.returncode == 0


def test_a_second_system_in_the_same_directory_is_refused(start, tmp_path):
    first = start.running
    with up(tmp_path, data_dir=first.folder / "data") as second:
        assert second.process.wait(60) == 1
        assert f"process {first.process.pid}" in " ".join(second.output().split())


def test_the_secret_of_the_first_key_is_in_no_log(start):
    (key,) = start.keys
    assert (key.secret_access_key in start.output, key.access_key_id in start.output) == (False, True)


def status_code_for(running, token):
    """Return how the control plane answers the holder of a token."""
    with channel(running.ports.address("control_plane"), token=token) as opened:
        try:
            ControlPlaneServiceStub(opened).ListRecipes(ListRecipesRequest())
        except grpc.RpcError as error:
            return error.code()
    return grpc.StatusCode.OK


def keys(running, *words):
    command = [sys.executable, "-m", "cli", "keys", *words, "--data-dir", str(running.folder / "data")]
    return subprocess.run(command, cwd=ROOT, capture_output=True, check=True, text=True).stdout.strip()


def test_tokens_that_are_revoked_or_have_ended_are_refused_and_processes_get_new_ones(start):
    refused, running = grpc.StatusCode.UNAUTHENTICATED, start.running
    installation = Installation(running.folder / "data")
    short, token = keys(running, "token", "--hours", "0.001"), keys(running, "token")
    before = installation.token_file("gateway").read_text()
    assert status_code_for(running, token) is grpc.StatusCode.OK
    keys(running, "revoke-token", installation.keys.verifier().verify(token).token_id)
    keys(running, "revoke-token", "--subject", "gateway")
    for revoked in (token, short, before):  # what is revoked is read again every few seconds
        wait_until(lambda revoked=revoked: status_code_for(running, revoked) is refused, seconds=PATIENCE, every=0.1)
    wait_until(lambda: installation.token_file("gateway").read_text() != before, seconds=PATIENCE)
    wait_until(lambda: serves(running) and lists_recipes(running), seconds=PATIENCE, every=0.2)
    assert status_code_for(running, before) is refused


def lists_recipes(running):
    key = Installation(running.folder / "data").access_keys().create("test")
    clients = connect(running.ports.endpoint, access_key_id=key.access_key_id, secret_access_key=key.secret_access_key)
    try:
        return clients.personalize.list_recipes()["recipes"]
    except ClientError:
        return []


def test_a_start_logs_no_warning_and_no_error(start):
    assert complaints(start.output) == []


def complaints(output):
    return re.findall(r"^.*(?:warning|error): .*$", output, flags=re.MULTILINE)


def test_programs_that_use_personalize_are_redirected_by_the_variables_of_their_sdk(start):
    program = "import boto3; print(len(boto3.client('personalize').list_recipes()['recipes']))"
    key = AccessKeys(start.running.folder / "data" / "keys" / "access_keys.json").create("test")
    shown = dict(re.findall(r"export (AWS_ENDPOINT_URL_\w+)=(\S+)", start.output))
    signing = dict(line.removeprefix("export ").split("=") for line in access_key_variables(key))
    completed = subprocess.run(
        [sys.executable, "-c", program], env={**os.environ, **shown, **signing}, capture_output=True, check=False
    )
    assert (len(shown), completed.returncode) == (3, 0), completed.stderr
    assert int(completed.stdout) > 0


@pytest.fixture(scope="module")
def secure(tmp_path_factory):
    """A running system that speaks TLS, with its certificates and the variables that name them."""
    folder = tmp_path_factory.mktemp("secure")
    files = make_certificates(folder / "tls", lifetime=timedelta(days=1))
    environ = {
        f"TAILORBIRD_TLS_{name}_FILE": str(path)
        for name, path in (("CERT", files.cert_file), ("KEY", files.key_file), ("CA", files.ca_file))
    }
    with ready(folder, environ=environ) as running:
        yield running, files, environ


def test_a_system_over_tls_becomes_ready_and_boto3_calls_it(secure):
    running, files, _ = secure
    key = Installation(running.folder / "data").access_keys().create("test")
    endpoint = f"https://{running.ports.address('gateway')}"
    clients = connect(
        endpoint, access_key_id=key.access_key_id, secret_access_key=key.secret_access_key, ca_file=files.ca_file
    )
    assert clients.personalize.list_recipes()["recipes"]
    assert f"AWS_ENDPOINT_URL_PERSONALIZE={endpoint}" in running.output()
    assert complaints(running.output()) == []


@pytest.mark.parametrize("process", PROCESSES[:4])
def test_callers_without_a_certificate_of_the_same_authority_get_no_answer(secure, tmp_path, process):
    running, files, _ = secure
    address = running.ports.address(process)
    others = make_certificates(tmp_path, lifetime=timedelta(days=1))
    without_right_certificate = [
        None,
        TlsFiles(ca_file=files.ca_file),
        TlsFiles(others.cert_file, others.key_file, files.ca_file),
    ]
    assert [ask(address, tls=tls) for tls in without_right_certificate] == [Health.SILENT] * 3
    assert ask(address, tls=files) is Health.SERVING


def test_commands_find_a_system_over_tls(secure):
    running, _, environ = secure
    probes = [running.ports.address(name) for name in PROCESSES[:4]] + [f"//{running.ports.address('gateway')}/health"]
    commands = [["probe", target] for target in probes]
    commands += [["doctor", "--data-dir", str(running.folder / "data"), "--port-base", str(running.ports.base)]]
    completed = [
        subprocess.run([sys.executable, "-m", "cli", *command], cwd=ROOT, env={**os.environ, **environ}, check=False)
        for command in commands
    ]
    assert [item.returncode for item in completed] == [0] * len(commands)
    module = [sys.executable, "-m", "common.rpc.probe", probes[0]]
    assert subprocess.run(module, cwd=ROOT, env={**os.environ, **environ}, check=False).returncode == 0


def test_solutions_are_compared_over_tls(secure):
    running, files, _ = secure
    arn = "arn:aws:personalize:us-east-1:000000000000:solution/none"
    token = running.folder / "operator.token"
    token.write_text(keys(running, "token", "--role", "operator"))
    target_options = ["--control-plane", running.ports.address("control_plane"), "--token-file", str(token)]
    tls_options = ["--tls-ca-file", str(files.ca_file), "--tls-cert-file", str(files.cert_file), "--tls-key-file"]
    for options in (["--data-dir", str(running.folder / "data")], [*target_options, *tls_options, str(files.key_file)]):
        command = [sys.executable, "-m", "cli", "solutions", "compare", arn, *options]
        completed = subprocess.run(command, cwd=ROOT, capture_output=True, check=False, text=True)
        # It was reached: it is the control plane that does not know the solution.
        assert "does not exist" in " ".join(completed.stderr.split())


def test_up_on_a_taken_port_fails_before_anything_starts(tailorbird, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert tailorbird("up", "--data-dir", str(tmp_path), "--port-base", str(port)) == 1
    assert f"{port} (gateway" in capsys.readouterr().err
