"""Every operation once, with success, through boto3, with responses of its shape; a life cycle through the AWS CLI."""

import importlib.util
import os
import subprocess
import sys
from collections import Counter
from contextlib import ExitStack
from pathlib import Path

import pytest

from benchmarks.system import running_system
from cli.demo.items import SCHEMAS
from tests.aws_shapes import responses_checked
from tests.gateway import samples
from tests.system.operations import SCENARIO, Walk, write_files

SCRIPT = Path(__file__).with_name("life_cycle.py")


def test_each_operation_has_an_entry():
    assert SCENARIO.keys() == {name for _, name in samples.all_operations()}
    assert len(SCENARIO) == 79


@pytest.fixture(scope="module")
def system(tmp_path_factory):
    with running_system(tmp_path_factory.mktemp("operations")) as running:
        (running.installation.buckets / "walk").mkdir(parents=True)
        yield running


@pytest.fixture(scope="module")
def files(system):
    return write_files(system.installation.buckets / "walk")


def test_every_operation_succeeds_with_a_response_of_its_shape(system, files):
    answered = Counter()
    clients = system.clients()
    walk = Walk(clients, files)
    with ExitStack() as stack:
        for client in (clients.personalize, clients.events, clients.runtime):
            stack.enter_context(responses_checked(client, seen=lambda name: answered.update([name])))
        for name in SCENARIO:
            walk.run(name)

    assert answered.keys() == SCENARIO.keys()


def test_the_aws_cli_leads_a_whole_life(system, files, tmp_path):
    if importlib.util.find_spec("awscli") is None:
        reason = "needs the AWS CLI: pip install awscli"
        assert not os.environ.get("CI"), reason
        pytest.skip(reason)
    key = system.installation.access_keys().create("cli")
    schema = tmp_path / "schema.json"
    schema.write_text(SCHEMAS["Interactions"])

    done = subprocess.run(
        [sys.executable, SCRIPT, system.ports.endpoint, files["Interactions"], schema],
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(tmp_path),
            "AWS_ACCESS_KEY_ID": key.access_key_id,
            "AWS_SECRET_ACCESS_KEY": key.secret_access_key,
            "AWS_DEFAULT_REGION": "us-east-1",
        },
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    )

    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.endswith("== done\n")
    assert done.stderr == ""
