"""The environment variables of each process, and the ports."""

import json
import socket
from pathlib import Path

import boto3
import pytest

from cli.installation import Installation
from cli.system import PROCESSES, Ports, check_ports, endpoint_variables, process_specs, stop_seconds
from common.errors import InvalidInput

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture
def environments(tmp_path):
    environ = {
        "PATH": "/bin",
        "AWS_SECRET_ACCESS_KEY": "of-the-shell",
        "TAILORBIRD_LOG_LEVEL": "DEBUG",
        "TAILORBIRD_S3_SECRET_ACCESS_KEY": "of-imports",
        "RAY_AUTH_TOKEN": "of-the-cluster",
        "TAILORBIRD_WORKERS": "3",
        "TAILORBIRD_NO_SETTING": "of-nobody",
    }
    specs = process_specs(Installation(tmp_path), Ports(20_000), environ=environ)
    return {spec.name: dict(spec.environment) for spec in specs}


def test_no_process_gets_the_path_of_the_private_key(environments):
    assert [name for name, environment in environments.items() if "private" in str(environment)] == []


def test_no_process_gets_secrets_of_the_shell(environments):
    assert [name for name, environment in environments.items() if "of-the-shell" in str(environment)] == []


def test_credentials_of_the_shell_are_passed_on_if_it_names_an_s3_service(tmp_path):
    passed = {"AWS_ENDPOINT_URL_S3": "http://s3", "AWS_SECRET_ACCESS_KEY": "of-the-shell", "AWS_PROFILE": "p"}
    environ = {**passed, "AWS_PAGER": "less"}
    specs = process_specs(Installation(tmp_path), Ports(20_000), environ=environ)
    given = {spec.name: {name for name in spec.environment if name.startswith("AWS_")} for spec in specs}
    for process in ("trainer", "events_service"):
        assert given.pop(process) == set(passed)
    assert set().union(*given.values()) == set()


def test_settings_of_the_shell_are_passed_on(environments):
    assert {environment["TAILORBIRD_LOG_LEVEL"] for environment in environments.values()} == {"DEBUG"}


def test_only_processes_with_files_of_users_get_the_secret_of_an_object_store(environments):
    with_secret = [name for name, environment in environments.items() if "of-imports" in str(environment)]
    assert with_secret == ["events_service", "trainer"]


def test_only_the_trainer_gets_the_token_of_a_ray_cluster(environments):
    assert [name for name, environment in environments.items() if "of-the-cluster" in str(environment)] == ["trainer"]


def test_a_store_that_is_elsewhere_is_for_all_that_open_one_with_its_secret(tmp_path):
    environ = {"TAILORBIRD_STORE_URL": "s3://bucket/store", "TAILORBIRD_S3_SECRET_ACCESS_KEY": "of-the-store"}
    specs = process_specs(Installation(tmp_path), Ports(20_000), environ=environ)
    given = {spec.name: {value for value in spec.environment.values() if value in environ.values()} for spec in specs}
    for process in ("events_service", "runtime_service", "trainer"):
        assert given.pop(process) == set(environ.values())
    assert set().union(*given.values()) == set()


@pytest.mark.parametrize(("environ", "folder"), [({}, "data/store"), ({"TAILORBIRD_STORE_URL": "shared"}, "shared")])
def test_a_store_that_is_a_folder_is_named_from_the_root(tmp_path, monkeypatch, environ, folder):
    monkeypatch.chdir(tmp_path)
    specs = process_specs(Installation(Path("data")), Ports(20_000), environ=environ)
    named = {spec.environment.get("TAILORBIRD_STORE_URL") for spec in specs}
    assert named == {None, str(tmp_path / folder)}


def test_a_setting_is_passed_to_the_processes_that_have_it(environments):
    assert [name for name, item in environments.items() if "TAILORBIRD_WORKERS" in item] == ["runtime_service"]
    assert [name for name, environment in environments.items() if "of-nobody" in str(environment)] == []


@pytest.mark.parametrize("process", PROCESSES)
def test_a_process_gets_no_settings_of_other_processes(environments, process):
    setting_names = json.loads((ROOT / "cli" / "settings.json").read_text())[process]
    given_names = [name for name in environments[process] if name.startswith("TAILORBIRD_")]
    assert [name for name in given_names if name not in setting_names] == []


def test_each_process_gets_its_own_token_only(environments):
    files = {name: environment.get("TAILORBIRD_TOKEN_FILE", "") for name, environment in environments.items()}
    assert files.pop("control_plane") == ""
    assert all(path.endswith(f"/{name}.token") for name, path in files.items())


def test_only_the_gateway_gets_the_access_keys(environments):
    assert [name for name, item in environments.items() if "TAILORBIRD_ACCESS_KEYS_FILE" in item] == ["gateway"]


def test_all_processes_listen_on_loopback_at_ports_of_their_own(environments):
    addresses = [environment["TAILORBIRD_LISTEN"] for environment in environments.values()]
    assert sorted(addresses) == [f"127.0.0.1:{port}" for port in range(20_000, 20_000 + len(PROCESSES))]


@pytest.mark.parametrize(
    ("environ", "seconds"),
    [
        ({}, 10 + 5),
        ({"TAILORBIRD_DRAIN_SECONDS": "2.5"}, 2.5 + 10 + 5),
        ({"TAILORBIRD_DRAIN_SECONDS": "20", "TAILORBIRD_GRACE_SECONDS": "60"}, 20 + 60 + 5),
    ],
)
def test_a_process_has_as_long_to_stop_as_its_settings_say(tmp_path, environ, seconds):
    specs = process_specs(Installation(tmp_path), Ports(20_000), environ=environ)
    (runtime,) = [spec for spec in specs if spec.name == "runtime_service"]
    assert stop_seconds(runtime.environment) == seconds


def test_a_time_to_stop_that_is_no_number_is_refused():
    with pytest.raises(InvalidInput, match="`TAILORBIRD_GRACE_SECONDS`: got 'soon'"):
        stop_seconds({"TAILORBIRD_GRACE_SECONDS": "soon"})


def test_a_taken_port_is_named_with_its_process():
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(InvalidInput, match=rf"{port} \(gateway.*--port-base"):
            check_ports(Ports(port))


def test_ports_beyond_the_last_one_are_refused():
    with pytest.raises(InvalidInput, match="port-base"):
        Ports(65_535)


@pytest.mark.parametrize("service", ["personalize", "personalize-events", "personalize-runtime"])
def test_the_variables_that_are_shown_are_the_ones_that_sdks_read(monkeypatch, service):
    for line in endpoint_variables("http://127.0.0.1:7499"):
        monkeypatch.setenv(*line.removeprefix("export ").split("="))
    client = boto3.client(service, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    assert client.meta.endpoint_url == "http://127.0.0.1:7499"
