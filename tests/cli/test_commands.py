"""Commands as a person calls them."""

import io
import signal
import socket
import stat
import subprocess
import sys
from datetime import timedelta

import boto3
import pytest
from rich.console import Console

from cli.app import Env, app, run
from cli.deployment import Deployment
from cli.installation import Installation
from cli.output import how_to_use
from cli.system import Ports, endpoint_variables
from common.access_keys import AccessKeys
from common.auth import TokenVerifier
from common.errors import InvalidInput, Unauthenticated
from common.testing import wait_until


@pytest.fixture
def tailorbird(tmp_path):
    def call(*arguments):
        return run(app, Env(environ={}), list(arguments))

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
    assert tailorbird("keys", "token", "--hours", "2", "--data-dir", str(data_dir)) == 0
    identity = Installation(data_dir).keys.verifier().verify(capsys.readouterr().out.strip())
    assert identity.role == "client"
    assert identity.expires_at - identity.issued_at == pytest.approx(7200)


def test_a_token_is_good_for_an_hour_unless_told_otherwise(tailorbird, data_dir, capsys):
    tailorbird("keys", "token", "--data-dir", str(data_dir))
    identity = Installation(data_dir).keys.verifier().verify(capsys.readouterr().out.strip())
    assert identity.expires_at - identity.issued_at == pytest.approx(3600)


def test_printed_tokens_are_listed_and_can_be_revoked_by_their_id(tailorbird, data_dir, capsys):
    keys = Installation(data_dir).keys
    verifier = keys.verifier()
    tokens = [keys.issue("client", subject=name, lifetime=timedelta(hours=1)) for name in ("shop", "app")]
    token_id = verifier.verify(tokens[0]).token_id
    assert tailorbird("keys", "revoke-token", token_id, "--data-dir", str(data_dir)) == 0
    wait_until(lambda: refused(verifier, tokens[0]))
    assert verifier.verify(tokens[1]).subject == "app"
    capsys.readouterr()
    tailorbird("keys", "tokens", "--data-dir", str(data_dir))
    shown = capsys.readouterr().out
    assert (shown.count("revoked"), shown.count("valid"), shown.count(token_id[:8])) == (1, 1, 1)
    assert tokens[1] not in shown


def test_all_tokens_of_a_subject_can_be_revoked_and_later_ones_are_good(tailorbird, data_dir):
    keys = Installation(data_dir).keys
    verifier = keys.verifier()
    before = keys.issue("client", subject="shop", lifetime=timedelta(hours=1))
    assert tailorbird("keys", "revoke-token", "--subject", "shop", "--data-dir", str(data_dir)) == 0
    after = keys.issue("client", subject="shop", lifetime=timedelta(hours=1))
    wait_until(lambda: refused(verifier, before))
    assert verifier.verify(after).subject == "shop"


@pytest.mark.parametrize("arguments", [[], ["abc", "--subject", "shop"], [""]])
def test_a_revocation_names_one_thing(tailorbird, data_dir, arguments):
    assert tailorbird("keys", "revoke-token", *arguments, "--data-dir", str(data_dir)) == 1


def test_a_revocation_in_the_wrong_folder_is_refused(tailorbird, tmp_path):
    assert tailorbird("keys", "revoke-token", "abc", "--data-dir", str(tmp_path)) == 1


def refused(verifier, token):
    try:
        verifier.verify(token)
    except Unauthenticated as error:
        return "revoked" in error.message
    return False


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


def box(installation, *, first_key, to_person):
    stream = io.StringIO()
    Console(file=stream, width=120).print(
        how_to_use(installation, Ports(7400), first_key=first_key, to_person=to_person)
    )
    return stream.getvalue()


def test_the_first_secret_is_shown_whole_and_once(data_dir):
    installation = Installation(data_dir)
    key = installation.first_access_key()
    shown = [box(installation, first_key=first_key, to_person=True) for first_key in (key, None)]
    assert [key.secret_access_key in text for text in shown] == [True, False]


def test_the_first_secret_is_never_written_to_a_log(data_dir):
    installation = Installation(data_dir)
    key = installation.first_access_key()
    shown = box(installation, first_key=key, to_person=False)
    assert (key.secret_access_key in shown, key.access_key_id in shown) == (False, True)
    assert installation.access_keys_file.name in shown


@pytest.mark.parametrize("service", ["personalize", "personalize-events", "personalize-runtime"])
def test_the_variables_that_are_shown_are_the_ones_that_sdks_read(monkeypatch, service):
    for line in endpoint_variables("http://127.0.0.1:7499"):
        monkeypatch.setenv(*line.removeprefix("export ").split("="))
    client = boto3.client(service, region_name="eu-west-1", aws_access_key_id="a", aws_secret_access_key="b")
    assert client.meta.endpoint_url == "http://127.0.0.1:7499"


def test_a_deployment_gives_each_process_its_own_folder(tmp_path):
    Deployment(tmp_path).refresh()
    assert {path.name for path in tmp_path.iterdir()} == {
        "issuer", "control_plane", "events_service", "runtime_service", "trainer", "gateway",
    }  # fmt: skip
    assert {path.name for path in (tmp_path / "trainer").iterdir()} == {"public.pem", "token"}


def test_a_deployment_keeps_its_keys_and_renews_what_is_no_good_token(tmp_path):
    Deployment(tmp_path).refresh()
    public = (tmp_path / "gateway" / "public.pem").read_bytes()
    (tmp_path / "gateway" / "token").write_text("expired")
    assert Deployment(tmp_path).refresh() == ["gateway"]
    assert (tmp_path / "gateway" / "public.pem").read_bytes() == public
    assert TokenVerifier(public).verify((tmp_path / "gateway" / "token").read_text()).role == "gateway"


def test_a_deployment_hands_revocations_on_and_replaces_the_tokens_of_processes(tmp_path):
    deployment = Deployment(tmp_path)
    deployment.refresh()
    verifier = TokenVerifier.of_file(tmp_path / "control_plane" / "public.pem")
    before = (tmp_path / "trainer" / "token").read_text()
    deployment.keys.revocations().revoke_subject("trainer")
    wait_until(lambda: deployment.refresh() == ["trainer"])
    wait_until(lambda: refused(verifier, before))
    assert verifier.verify((tmp_path / "trainer" / "token").read_text()).role == "trainer"


def test_revocations_that_nobody_understands_are_not_handed_on_and_tokens_renewed(tmp_path):
    deployment = Deployment(tmp_path)
    deployment.refresh()
    (tmp_path / "issuer" / "revoked.json").write_bytes(b"{\xff")
    (tmp_path / "trainer" / "token").unlink()
    with pytest.raises(InvalidInput, match="revoke-token"):
        deployment.refresh()
    verifier = TokenVerifier.of_file(tmp_path / "gateway" / "public.pem")
    assert verifier.verify((tmp_path / "trainer" / "token").read_text()).role == "trainer"


def test_a_folder_that_cannot_be_written_costs_the_other_processes_nothing(tmp_path):
    (tmp_path / "control_plane").write_text("in the way")
    (tmp_path / "events_service").write_text("in the way")
    with pytest.raises(OSError):  # noqa: PT011 - which one is the system's choice
        Deployment(tmp_path).refresh()
    assert {path.name for path in (tmp_path / "gateway").iterdir()} == {"public.pem", "token"}


def test_a_deployment_is_healthy_when_every_process_has_a_token(tailorbird, tmp_path):
    codes = [tailorbird("keys", "check", str(tmp_path))]
    Deployment(tmp_path).refresh()
    codes.append(tailorbird("keys", "check", str(tmp_path)))
    (tmp_path / "trainer" / "token").unlink()
    codes.append(tailorbird("keys", "check", str(tmp_path)))
    assert codes == [1, 0, 1]


def test_the_process_of_the_keys_renews_a_token_that_is_gone_and_ends_at_sigterm(tmp_path):
    with subprocess.Popen(
        [sys.executable, "-m", "cli", "keys", "serve", str(tmp_path)], stderr=subprocess.PIPE
    ) as keys:
        try:
            token = tmp_path / "trainer" / "token"
            wait_until(lambda: Deployment(tmp_path).healthy(), seconds=60)
            token.unlink()
            wait_until(token.exists, seconds=60)
            keys.send_signal(signal.SIGTERM)
            assert keys.wait(timeout=60) == 0
        finally:
            keys.kill()


def test_secrets_of_a_deployment_can_be_read_by_their_owner_only(tmp_path):
    Deployment(tmp_path).refresh()
    files = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "public.pem"]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o600}


def test_keys_of_a_deployment_are_managed_by_their_file(tailorbird, tmp_path):
    Deployment(tmp_path).refresh()
    path = tmp_path / "gateway" / "access_keys.json"
    assert tailorbird("keys", "create", "shop", "--access-keys-file", str(path)) == 0
    assert [key.name for key in AccessKeys(path).list()] == ["shop"]
