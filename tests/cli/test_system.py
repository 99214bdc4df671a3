"""What each process is told."""

import json
import socket
from pathlib import Path

import pytest

from cli.installation import Installation
from cli.system import PROCESSES, Ports, check_ports, process_specs
from common.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environments(tmp_path):
    environ = {
        "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "of-the-shell",
        "TAILORBIRD_LOG_LEVEL": "DEBUG",
        "TAILORBIRD_S3_SECRET_ACCESS_KEY": "of-imports",
        "TAILORBIRD_WORKERS": "3",
        "TAILORBIRD_NO_SETTING": "of-nobody",
    }
    specs = process_specs(Installation(tmp_path), Ports(20_000), environ=environ)
    return {spec.name: dict(spec.environment) for spec in specs}


def test_no_process_is_told_where_the_private_key_is(environments):
    assert [name for name, environment in environments.items() if "private" in str(environment)] == []


def test_secrets_of_the_shell_stay_there(environments):
    assert [name for name, environment in environments.items() if "of-the-shell" in str(environment)] == []


def test_settings_of_the_shell_are_handed_on(environments):
    assert {environment["TAILORBIRD_LOG_LEVEL"] for environment in environments.values()} == {"DEBUG"}


def test_the_secret_of_an_object_store_reaches_the_trainer_alone(environments):
    assert [name for name, environment in environments.items() if "of-imports" in str(environment)] == ["trainer"]


def test_a_setting_reaches_the_processes_that_have_it(environments):
    assert [name for name, item in environments.items() if "TAILORBIRD_WORKERS" in item] == ["runtime_service"]
    assert [name for name, environment in environments.items() if "of-nobody" in str(environment)] == []


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_is_told_nothing_that_is_no_setting_of_its_own(environments, process):
    known = json.loads((ROOT / "cli" / "settings.json").read_text())[process]
    told = [name for name in environments[process] if name.startswith("TAILORBIRD_")]
    assert [name for name in told if name not in known] == []


def test_each_process_is_told_its_own_token_only(environments):
    files = {name: environment.get("TAILORBIRD_TOKEN_FILE", "") for name, environment in environments.items()}
    assert files.pop("control_plane") == ""
    assert all(path.endswith(f"/{name}.token") for name, path in files.items())


def test_only_the_gateway_is_told_of_the_access_keys(environments):
    assert [name for name, item in environments.items() if "TAILORBIRD_ACCESS_KEYS_FILE" in item] == ["gateway"]


def test_all_processes_listen_on_loopback_at_ports_of_their_own(environments):
    addresses = [environment["TAILORBIRD_LISTEN"] for environment in environments.values()]
    assert sorted(addresses) == [f"127.0.0.1:{port}" for port in range(20_000, 20_000 + len(PROCESSES))]


def test_a_taken_port_is_named_with_its_process():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(InvalidInput, match=rf"{port} \(gateway.*--port-base"):
            check_ports(Ports(port))


def test_ports_beyond_the_last_one_are_refused():
    with pytest.raises(InvalidInput, match="port-base"):
        Ports(65_535)
