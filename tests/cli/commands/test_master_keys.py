"""`tailorbird keys encrypt`, `rotate-master-key` and `new-master-key`."""

import json

import pytest

from cli.app import Env, app, run
from cli.installation import Installation
from common.access_keys import AccessKeys
from common.master_keys import GivenMasterKeys
from common.private_files import replace_private


@pytest.fixture
def plain_secret(data_dir):
    """Write a file of an earlier version."""
    entry = {
        "access_key_id": "TBAAAAAAAAAAAAAAAAAA",
        "secret_access_key": "s" * 40,
        "name": "old",
        "created_at": "2026-01-02T00:00:00+00:00",
        "revoked_at": None,
    }
    replace_private(Installation(data_dir).access_keys_file, json.dumps({"version": 1, "keys": [entry]}))
    return entry["secret_access_key"]


def test_an_older_file_is_encrypted(tailorbird, data_dir, plain_secret, capsys):
    assert tailorbird("keys", "encrypt", "--data-dir", str(data_dir)) == 0

    assert plain_secret not in Installation(data_dir).access_keys_file.read_text()
    assert Installation(data_dir).access_keys().list()[0].secret_access_key == plain_secret
    assert "1 access keys" in capsys.readouterr().out


def test_the_master_key_is_exchanged(tailorbird, data_dir):
    key = Installation(data_dir).access_keys().create("shop")
    file = data_dir / "keys" / "master.key"
    before = file.read_text()

    assert tailorbird("keys", "rotate-master-key", "--data-dir", str(data_dir)) == 0

    assert file.read_text() != before
    assert Installation(data_dir).access_keys().list() == (key,)


def test_the_master_key_can_be_given_by_the_environment(tailorbird, data_dir, capsys):
    assert tailorbird("keys", "new-master-key") == 0
    text = capsys.readouterr().out.strip()

    assert run(app, Env({"TAILORBIRD_MASTER_KEY": text}), ["keys", "create", "--data-dir", str(data_dir)]) == 0

    path = Installation(data_dir).access_keys_file
    assert len(AccessKeys(path, master_keys=GivenMasterKeys(text)).list()) == 1
    assert not (data_dir / "keys" / "master.key").exists()
    assert tailorbird("keys", "list", "--data-dir", str(data_dir)) == 1
    assert "master_key" in capsys.readouterr().err


def test_the_master_key_can_lie_elsewhere(data_dir, tmp_path):
    file = tmp_path / "elsewhere.key"
    env = Env({"TAILORBIRD_MASTER_KEY_FILE": str(file)})

    assert run(app, env, ["keys", "create", "--data-dir", str(data_dir)]) == 0

    assert file.stat().st_mode & 0o777 == 0o600
    assert run(app, env, ["keys", "list", "--data-dir", str(data_dir)]) == 0


def test_keys_are_listed_with_account_and_policies(tailorbird, data_dir, capsys):
    assert tailorbird("keys", "create", "shop", "--account", "123456789012", "--data-dir", str(data_dir)) == 0
    assert tailorbird("keys", "create", "mine", "--data-dir", str(data_dir)) == 0
    capsys.readouterr()

    assert tailorbird("keys", "list", "--data-dir", str(data_dir)) == 0

    shown = "".join(capsys.readouterr().out.split())
    assert "123456789012" in shown
    assert "own" in shown


def test_an_account_that_is_none_is_refused(tailorbird, data_dir, capsys):
    assert tailorbird("keys", "create", "shop", "--account", "12", "--data-dir", str(data_dir)) == 1
    assert "`account`: got '12', want 12 digits" in capsys.readouterr().err
