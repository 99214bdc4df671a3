"""`tailorbird keys`."""

import os
import signal
import subprocess
import sys
from datetime import timedelta

import pytest

from cli.deployment import Deployment
from cli.installation import Installation
from common.access_keys import AccessKeys
from common.errors import Unauthenticated
from common.testing import wait_until


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


def test_a_token_is_valid_for_an_hour_by_default(tailorbird, data_dir, capsys):
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


def test_all_tokens_of_a_subject_can_be_revoked_and_later_ones_are_valid(tailorbird, data_dir):
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


def test_no_token_with_the_role_of_a_process_is_issued(tailorbird, data_dir):
    assert tailorbird("keys", "token", "--role", "trainer", "--data-dir", str(data_dir)) == 1


def test_a_token_needs_a_signing_key(tailorbird, tmp_path, capsys):
    assert tailorbird("keys", "token", "--data-dir", str(tmp_path / "nothing")) == 1
    assert "data-dir" in capsys.readouterr().err


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


def test_a_stop_while_the_process_of_the_keys_starts_ends_it_in_order(tmp_path):
    revoked = tmp_path / "issuer" / "revoked.json"
    revoked.parent.mkdir(mode=0o700)
    os.mkfifo(revoked)
    command = [sys.executable, "-m", "cli", "keys", "serve", str(tmp_path)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as keys:
        try:
            with revoked.open("w") as pipe:  # returns when it has begun to read
                revoked.unlink()
                keys.send_signal(signal.SIGTERM)
                pipe.write('{"version": 1, "tokens": {}, "subjects": {}}')
            assert keys.wait(timeout=60) == 0
        finally:
            keys.kill()


def test_keys_of_a_deployment_are_managed_by_their_file(tailorbird, tmp_path):
    Deployment(tmp_path).refresh()
    path = tmp_path / "gateway" / "access_keys.json"
    assert tailorbird("keys", "create", "shop", "--access-keys-file", str(path)) == 0
    assert [key.name for key in AccessKeys(path).list()] == ["shop"]
