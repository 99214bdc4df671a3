"""`tailorbird keys attach-policy`, `detach-policy` and `token --key`."""

from datetime import timedelta

import pytest

from cli.commands.policies import token_of_key
from cli.installation import Installation
from cli.key_folder import KeyFolder
from common.auth import TokenVerifier
from common.errors import InvalidInput, Unauthenticated
from common.testing import wait_until

READING = (
    '{"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "personalize:Describe*", "Resource": "*"}]}'
)
ACCOUNT = "123456789012"


@pytest.fixture
def keys(data_dir):
    return Installation(data_dir).access_keys()


@pytest.fixture
def command(tailorbird, data_dir):
    def call(*arguments):
        return tailorbird("keys", *arguments, "--data-dir", str(data_dir))

    return call


@pytest.fixture
def policy(tmp_path):
    path = tmp_path / "reading.json"
    path.write_text(READING)
    return path


def refused(verifier: TokenVerifier, token: str) -> bool:
    try:
        verifier.verify(token)
    except Unauthenticated:
        return True
    return False


def test_a_policy_is_attached_shown_and_detached(command, keys, policy, capsys):
    key = keys.create("shop")

    assert command("attach-policy", key.access_key_id, str(policy)) == 0
    assert "may do only what its policies allow: reading" in capsys.readouterr().out
    assert list(keys.find(key.access_key_id).policies) == ["reading"]
    command("list")
    assert "reading" in capsys.readouterr().out

    assert command("detach-policy", key.access_key_id, "reading") == 0
    assert "may do everything in its account" in capsys.readouterr().out
    assert keys.find(key.access_key_id).policies == {}


def test_a_policy_can_be_named(command, keys, policy):
    key = keys.create("shop")

    assert command("attach-policy", key.access_key_id, str(policy), "--name", "p1") == 0
    assert list(keys.find(key.access_key_id).policies) == ["p1"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"{", "policy"), (READING.replace('"*"}', '"*", "Condition": {}}').encode(), "Condition"), (b"\xff", "file")],
)
def test_a_file_that_is_no_policy_is_refused(command, keys, policy, capsys, content, message):
    key = keys.create("shop")
    policy.write_bytes(content)

    assert command("attach-policy", key.access_key_id, str(policy)) == 1
    assert message in capsys.readouterr().err
    assert keys.find(key.access_key_id) == key


def test_a_missing_file_is_refused(command, keys, tmp_path, capsys):
    key = keys.create("shop")

    assert command("attach-policy", key.access_key_id, str(tmp_path / "none.json")) == 1
    assert "`file`" in capsys.readouterr().err


def test_a_token_of_a_key_has_its_account_and_policies(command, data_dir, keys, capsys):
    key = keys.create("shop", account=ACCOUNT)
    keys.attach_policy(key.access_key_id, "reading", READING)

    assert command("token", "--key", key.access_key_id, "--hours", "2") == 0

    identity = Installation(data_dir).keys.verifier().verify(capsys.readouterr().out.strip())
    assert (identity.role, identity.subject, identity.account, identity.user) == (
        *("client", key.access_key_id, ACCOUNT, "shop"),
    )
    assert identity.policies == tuple(keys.find(key.access_key_id).policies.values())
    assert identity.expires_at - identity.issued_at == pytest.approx(7200)


def test_a_token_of_a_role_can_act_in_an_account(command, data_dir, capsys):
    assert command("token", "--role", "operator", "--account", ACCOUNT) == 0

    identity = Installation(data_dir).keys.verifier().verify(capsys.readouterr().out.strip())
    assert (identity.role, identity.account) == ("operator", ACCOUNT)


@pytest.mark.parametrize(
    "change",
    [
        lambda key, policy: ("revoke", key.access_key_id),
        lambda key, policy: ("attach-policy", key.access_key_id, str(policy)),
        lambda key, policy: ("detach-policy", key.access_key_id, "old"),
    ],
)
def test_tokens_of_a_key_end_when_it_is_revoked_or_may_do_something_else(
    command, data_dir, keys, policy, capsys, change
):
    changed, other = keys.create("changed"), keys.create("other")
    keys.attach_policy(changed.access_key_id, "old", READING)
    tokens = []
    for key in (changed, other):
        command("token", "--key", key.access_key_id)
        tokens.append(capsys.readouterr().out.strip())
    verifier = Installation(data_dir).keys.verifier()
    assert [refused(verifier, token) for token in tokens] == [False, False]

    assert command(*change(changed, policy)) == 0

    wait_until(lambda: refused(verifier, tokens[0]))
    assert not refused(verifier, tokens[1])


@pytest.mark.parametrize("change", ["attach", "detach", "revoke"])
def test_a_key_that_changes_meanwhile_gets_no_token_for_what_it_may_do_no_more(data_dir, keys, change):
    key = keys.create("shop")
    keys.attach_policy(key.access_key_id, "old", READING)

    class Interrupted(KeyFolder):
        """Another command does all of its work between the look at the key and the signature."""

        def issuer(self):
            if change == "attach":
                keys.attach_policy(key.access_key_id, "old", READING.replace("Describe*", "List*"))
            elif change == "detach":
                keys.detach_policy(key.access_key_id, "old")
            else:
                keys.revoke(key.access_key_id)
            self.revocations().revoke_subject(key.access_key_id)
            return super().issuer()

    with pytest.raises(InvalidInput, match="`key`"):
        token_of_key(key.access_key_id, keys, Interrupted(data_dir / "keys"), timedelta(hours=1))


@pytest.mark.parametrize("state", ["revoked", "unknown"])
def test_a_key_that_is_not_valid_gets_no_token(command, keys, capsys, state):
    key = keys.create("shop")
    if state == "revoked":
        keys.revoke(key.access_key_id)

    assert command("token", "--key", key.access_key_id if state == "revoked" else "TBUNKNOWN") == 1
    assert "want an access key that is not revoked" in capsys.readouterr().err


def test_tokens_that_cannot_be_revoked_here_are_told(tailorbird, tmp_path, keys, capsys):
    key = keys.create("shop")

    arguments = ("--access-keys-file", str(keys.path), "--keys", str(tmp_path / "nothing"))
    assert tailorbird("keys", "revoke", key.access_key_id, *arguments) == 0
    assert f"revoke-token --subject {key.access_key_id}" in " ".join(capsys.readouterr().err.split())
