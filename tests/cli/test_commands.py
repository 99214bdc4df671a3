"""Commands as a person calls them."""

import io
import socket
import stat

import pytest
from rich.console import Console

from cli.app import Surroundings, app, run
from cli.deployment import write_deployment
from cli.installation import Installation
from cli.screen import how_to_use
from cli.system import Ports
from common.access_keys import AccessKeys
from common.auth import TokenVerifier


@pytest.fixture
def tailorbird(tmp_path):
    def call(*arguments):
        return run(app, Surroundings(environ={}), list(arguments))

    return call


@pytest.fixture
def data_dir(tmp_path):
    Installation(tmp_path).prepare()
    return tmp_path


def test_version_prints_the_version(tailorbird, capsys):
    assert (tailorbird("version"), capsys.readouterr().out.strip()) == (0, "0.1.0")


def test_an_unknown_command_exits_with_2(tailorbird):
    assert tailorbird("fly") == 2


def test_a_created_key_is_valid_and_its_secret_is_shown(tailorbird, data_dir, capsys):
    assert tailorbird("keys", "create", "shop", "--data-dir", str(data_dir)) == 0
    (key,) = Installation(data_dir).access_keys().list()
    assert (key.name, key.active) == ("shop", True)
    assert key.secret_access_key in capsys.readouterr().out


def test_listed_keys_show_no_secret(tailorbird, data_dir, capsys):
    key = Installation(data_dir).access_keys().create("shop")
    tailorbird("keys", "list", "--data-dir", str(data_dir))
    shown = capsys.readouterr().out
    assert key.access_key_id in shown
    assert key.secret_access_key not in shown


def test_a_revoked_key_is_no_longer_valid(tailorbird, data_dir):
    key = Installation(data_dir).access_keys().create("shop")
    assert tailorbird("keys", "revoke", key.access_key_id, "--data-dir", str(data_dir)) == 0
    assert not Installation(data_dir).access_keys().find(key.access_key_id).active


def test_revoking_an_unknown_key_exits_with_1_and_says_why(tailorbird, data_dir, capsys):
    assert tailorbird("keys", "revoke", "TBUNKNOWN", "--data-dir", str(data_dir)) == 1
    assert "access_key_id" in capsys.readouterr().err


def test_a_printed_token_is_accepted_by_services(tailorbird, data_dir, capsys):
    assert tailorbird("keys", "token", "--days", "2", "--data-dir", str(data_dir)) == 0
    verifier = TokenVerifier(Installation(data_dir).public_key.read_bytes())
    assert verifier.verify(capsys.readouterr().out.strip()).role == "client"


def test_no_token_of_a_process_is_handed_out(tailorbird, data_dir):
    assert tailorbird("keys", "token", "--role", "trainer", "--data-dir", str(data_dir)) == 1


def test_a_token_needs_a_signing_key(tailorbird, tmp_path, capsys):
    assert tailorbird("keys", "token", "--data-dir", str(tmp_path / "nothing")) == 1
    assert "data-dir" in capsys.readouterr().err


def test_up_on_a_taken_port_fails_before_anything_starts(tailorbird, tmp_path, capsys):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        assert tailorbird("up", "--data-dir", str(tmp_path), "--port-base", str(port)) == 1
    assert f"{port} (gateway" in capsys.readouterr().err


def test_a_dead_process_is_not_healthy(tailorbird):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
    assert tailorbird("probe", f"127.0.0.1:{port}", "--seconds", "0.2") == 1
    assert tailorbird("probe", f"http://127.0.0.1:{port}/health", "--seconds", "0.2") == 1


def test_a_probe_of_nothing_sensible_says_what_it_wants(tailorbird, capsys):
    assert tailorbird("probe", "gateway") == 1
    assert "HOST:PORT" in capsys.readouterr().err


def test_doctor_fails_when_a_port_is_taken(tailorbird, tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = str(holder.getsockname()[1])
        assert tailorbird("doctor", "--data-dir", str(tmp_path), "--port-base", port) == 1


def test_the_first_secret_is_shown_whole_and_once(data_dir):
    installation = Installation(data_dir)
    key = installation.first_access_key()
    shown = []
    for first_key in (key, None):
        stream = io.StringIO()
        Console(file=stream, width=120).print(how_to_use(installation, Ports(7400), first_key=first_key))
        shown.append(stream.getvalue())
    assert [key.secret_access_key in text for text in shown] == [True, False]


def test_a_deployment_gives_each_process_its_own_folder(tmp_path):
    write_deployment(tmp_path)
    assert {path.name for path in tmp_path.iterdir()} == {
        "issuer", "control_plane", "events_service", "runtime_service", "trainer", "gateway",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "trainer").iterdir()} == {"public.pem", "token"}


def test_a_deployment_that_is_written_again_keeps_keys_and_renews_tokens(tmp_path):
    write_deployment(tmp_path)
    public = (tmp_path / "gateway" / "public.pem").read_bytes()
    (tmp_path / "gateway" / "token").write_text("expired")
    write_deployment(tmp_path)
    assert (tmp_path / "gateway" / "public.pem").read_bytes() == public
    assert TokenVerifier(public).verify((tmp_path / "gateway" / "token").read_text()).role == "gateway"


def test_secrets_of_a_deployment_can_be_read_by_their_owner_only(tmp_path):
    write_deployment(tmp_path)
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "public.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_keys_of_a_deployment_are_managed_by_their_file(tailorbird, tmp_path):
    write_deployment(tmp_path)
    path = tmp_path / "gateway" / "access_keys.json"
    assert tailorbird("keys", "create", "shop", "--access-keys-file", str(path)) == 0
    assert [key.name for key in AccessKeys(path).list()] == ["shop"]
