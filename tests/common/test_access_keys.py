"""Access keys: made, found, revoked, and never readable by others."""

import json
import subprocess
import sys
import threading
from datetime import UTC, datetime
from pathlib import Path

import pytest

from common.access_keys import AccessKeys
from common.clock import ManualClock
from common.errors import InvalidInput, LimitExceeded, ResourceNotFound, Unavailable
from common.master_keys import GivenMasterKeys, MasterKey, MasterKeyFile, MasterKeys
from common.private_files import replace_private

POLICY = '{"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "personalize:*", "Resource": "*"}}'


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "access_keys.json"


def test_a_missing_file_means_no_keys(path):
    assert AccessKeys(path).list() == ()
    assert AccessKeys(path).find("TBXXXXXXXXXXXXXXXXXX") is None


def test_a_new_key_has_the_form_that_sdks_expect(path):
    key = AccessKeys(path, clock=ManualClock(datetime(2026, 1, 2, tzinfo=UTC))).create("shop backend")

    assert len(key.access_key_id) == 20
    assert key.access_key_id.startswith("TB")
    assert key.access_key_id.isalnum()
    assert key.access_key_id.isupper()
    assert len(key.secret_access_key) == 40
    assert key.secret_access_key.isalnum()
    assert (key.name, key.created_at, key.revoked_at) == ("shop backend", datetime(2026, 1, 2, tzinfo=UTC), None)


def test_keys_survive_the_process(path):
    clock = ManualClock()
    made = [AccessKeys(path, clock=clock).create("one")]
    clock.advance(seconds=1)
    made.append(AccessKeys(path, clock=clock).create("two"))

    assert list(AccessKeys(path).list()) == made
    assert AccessKeys(path).find(made[0].access_key_id) == made[0]


def test_secrets_are_not_part_of_the_representation(path):
    key = AccessKeys(path).create("x")

    assert key.secret_access_key not in repr(key)


def test_the_file_is_readable_by_its_owner_only(path):
    AccessKeys(path).create("x")

    assert path.stat().st_mode & 0o777 == 0o600
    others = {item.name for item in path.parent.iterdir()} - {path.name}
    assert others == {"access_keys.json.lock", "master.key"}
    assert (path.parent / "master.key").stat().st_mode & 0o777 == 0o600


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o620, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(path, mode):
    AccessKeys(path).create("x")
    path.chmod(mode)

    with pytest.raises(InvalidInput, match=f"got .* with mode {mode:04o}, want 0600"):
        AccessKeys(path).list()


def test_a_revoked_key_is_seen_as_such_at_once_by_others(path):
    clock = ManualClock()
    reader, writer = AccessKeys(path), AccessKeys(path, clock=clock)
    key = writer.create("x")
    assert reader.find(key.access_key_id).active

    clock.advance(seconds=60)
    writer.revoke(key.access_key_id)

    revoked = reader.find(key.access_key_id)
    assert not revoked.active
    assert revoked.revoked_at == clock.now()


def test_revoking_twice_keeps_the_first_time(path):
    clock = ManualClock()
    keys = AccessKeys(path, clock=clock)
    key = keys.create("x")
    first = keys.revoke(key.access_key_id)
    clock.advance(seconds=60)

    assert keys.revoke(key.access_key_id) == first


def test_an_unknown_key_cannot_be_revoked(path):
    with pytest.raises(ResourceNotFound, match="TBNOSUCHKEY"):
        AccessKeys(path).revoke("TBNOSUCHKEY")


@pytest.mark.parametrize("name", ["", "  ", "x" * 64])
def test_a_key_wants_a_name_of_reasonable_length(path, name):
    with pytest.raises(InvalidInput, match="`name`"):
        AccessKeys(path).create(name)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "",
            "[]",
            "{}",
            '{"version": 3, "keys": []}',
            '{"version": 1, "keys": [{"access_key_id": "TB"}]}',
            "sesame\x00",
        ),
        '{"version": 2, "keys": [{"access_key_id": "TB", "secret_access_key": "sesame"}]}',
        '{"version": 2, "keys": ["sesame"]}',
    ],
)
def test_a_file_of_another_form_is_refused_without_quoting_it(path, text):
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_text(text)
    MasterKeyFile(path.with_name("master.key")).ensure()

    with pytest.raises(InvalidInput, match="access_keys_file") as caught:
        AccessKeys(path).list()
    assert "sesame" not in str(caught.value)


def test_a_file_that_cannot_be_written_is_reported(tmp_path):
    (tmp_path / "file").touch()

    with pytest.raises(Unavailable, match="cannot be written"):
        AccessKeys(tmp_path / "file" / "keys.json").create("x")


def test_threads_lose_no_key(path):
    keys = AccessKeys(path)
    threads = [threading.Thread(target=keys.create, args=(f"k{number}",)) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert {key.name for key in AccessKeys(path).list()} == {f"k{number}" for number in range(16)}


def test_processes_lose_no_key(path):
    code = (
        "import sys; from pathlib import Path; from common.access_keys import AccessKeys\n"
        "for n in range(8): AccessKeys(Path(sys.argv[1])).create(f'{sys.argv[2]}{n}')"
    )
    running = [subprocess.Popen([sys.executable, "-c", code, str(path), name]) for name in "abc"]

    assert [process.wait(timeout=60) for process in running] == [0, 0, 0]
    assert len(json.loads(path.read_text())["keys"]) == 24


def write_plain(path):
    """Write a file of version 1 and return its secret."""
    path.parent.mkdir(exist_ok=True)
    entry = {
        "access_key_id": "TBAAAAAAAAAAAAAAAAAA",
        "secret_access_key": "s" * 40,
        "name": "old",
        "created_at": "2026-01-02T00:00:00+00:00",
        "revoked_at": None,
    }
    replace_private(path, json.dumps({"version": 1, "keys": [entry]}))
    return entry["secret_access_key"]


def test_secrets_are_encrypted_in_the_file(path):
    key = AccessKeys(path).create("x")

    assert key.secret_access_key not in path.read_text()
    assert AccessKeys(path).find(key.access_key_id) == key


def test_a_file_with_plain_secrets_is_read_and_encrypted_when_it_is_next_written(path):
    secret = write_plain(path)
    (key,) = AccessKeys(path).list()
    assert (key.name, key.secret_access_key, key.account, key.policies) == ("old", secret, None, {})
    assert secret in path.read_text()

    AccessKeys(path).create("new")

    assert secret not in path.read_text()
    assert AccessKeys(path).find(key.access_key_id) == key


def test_a_file_with_plain_secrets_can_be_encrypted_at_once(path):
    secret = write_plain(path)
    reader = AccessKeys(path)
    before = reader.list()

    AccessKeys(path).encrypt()

    assert secret not in path.read_text()
    assert reader.list() == before


def test_encrypting_no_file_makes_none(path):
    path.parent.mkdir()

    AccessKeys(path).encrypt()

    assert not path.exists()


def test_a_key_belongs_to_an_account(path):
    key = AccessKeys(path).create("x", account="123456789012")

    assert AccessKeys(path).find(key.access_key_id).account == "123456789012"
    assert AccessKeys(path).create("y").account is None


@pytest.mark.parametrize("account", ["", "1234", "12345678901x", "1234567890123"])
def test_an_account_has_twelve_digits(path, account):
    with pytest.raises(InvalidInput, match="`account`"):
        AccessKeys(path).create("x", account=account)


def test_a_master_key_is_never_guessed(path):
    AccessKeys(path).create("x")
    path.with_name("master.key").unlink()

    for action in (AccessKeys(path).list, AccessKeys(path).encrypt, lambda: AccessKeys(path).create("y")):
        with pytest.raises(InvalidInput, match=r"`master_key`: got none, want the one that the secrets in "):
            action()
    assert not path.with_name("master.key").exists()


def test_another_master_key_is_refused_without_details(path):
    AccessKeys(path).create("x")
    entry = json.loads(path.read_text())["keys"][0]["encrypted_secret"]
    other = MasterKey.generate()

    with pytest.raises(InvalidInput, match="`master_key`: got another key") as caught:
        AccessKeys(path, master_keys=GivenMasterKeys(other.text)).list()

    assert not any(part in str(caught.value) for part in (entry, entry[:16], other.text, other.key_id))


def test_a_secret_cannot_be_moved_to_another_key(path):
    keys = AccessKeys(path)
    keys.create("x"), keys.create("y")
    document = json.loads(path.read_text())
    first, second = document["keys"]
    first["encrypted_secret"], second["encrypted_secret"] = second["encrypted_secret"], first["encrypted_secret"]
    replace_private(path, json.dumps(document))

    with pytest.raises(InvalidInput, match="`master_key`"):
        AccessKeys(path).list()


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o644])
def test_a_master_key_that_others_may_read_is_refused(path, mode):
    AccessKeys(path).create("x")
    path.with_name("master.key").chmod(mode)

    with pytest.raises(InvalidInput, match=f"`master_key_file`: got .* with mode {mode:04o}, want 0600"):
        AccessKeys(path).list()


@pytest.mark.parametrize("content", [b"", b"sesame", b"c2VzYW1l\n", b"\xff\xfe"])
def test_a_master_key_that_is_none_is_refused_without_quoting_it(path, content):
    AccessKeys(path).create("x")
    path.with_name("master.key").write_bytes(content)

    with pytest.raises(InvalidInput, match="`master_key`") as caught:
        AccessKeys(path).list()
    assert "esam" not in str(caught.value)


def test_a_given_master_key_leaves_no_file(path):
    source = GivenMasterKeys(MasterKey.generate().text)
    key = AccessKeys(path, master_keys=source).create("x")

    assert AccessKeys(path, master_keys=source).list() == (key,)
    assert not path.with_name("master.key").exists()


def test_a_given_master_key_is_exchanged_by_whoever_gives_it(path):
    old, new = MasterKey.generate(), MasterKey.generate()
    key = AccessKeys(path, master_keys=GivenMasterKeys(old.text)).create("x")
    with pytest.raises(InvalidInput, match="NEW,OLD"):
        AccessKeys(path, master_keys=GivenMasterKeys(old.text)).rotate_master_key()

    AccessKeys(path, master_keys=GivenMasterKeys(f"{new.text},{old.text}")).encrypt()

    assert AccessKeys(path, master_keys=GivenMasterKeys(new.text)).list() == (key,)


def test_the_master_key_is_exchanged_under_running_readers(path):
    keys, reader = AccessKeys(path), AccessKeys(path)
    key = keys.create("x")
    assert reader.list() == (key,)
    before = path.with_name("master.key").read_text()

    keys.rotate_master_key()

    after = path.with_name("master.key").read_text()
    assert after != before
    assert len(after.split()) == 1
    assert reader.list() == (key,)
    assert AccessKeys(path).list() == (key,)


@pytest.mark.parametrize("folder", ["keys", "elsewhere"])
def test_a_master_key_that_another_file_needs_is_not_forgotten(path, tmp_path, folder):
    source = MasterKeyFile(tmp_path / "keys" / "master.key")
    key = AccessKeys(path, master_keys=source).create("x")
    shared = AccessKeys(tmp_path / folder / "shop.json", master_keys=source)
    more = shared.create("y")
    before = source.read().text

    with pytest.raises(InvalidInput, match=r"`master_key`: got one that .*\.json is encrypted with, too"):
        shared.rotate_master_key()

    assert source.read().text == before
    assert AccessKeys(path, master_keys=source).list() == (key,)
    assert AccessKeys(shared.path, master_keys=source).list() == (more,)


def test_a_rotation_that_was_cut_off_is_made_again(path):
    key = AccessKeys(path).create("x")
    file = MasterKeyFile(path.with_name("master.key"))
    file.replace(MasterKeys([MasterKey.generate(), *file.read().keys]))
    assert AccessKeys(path).list() == (key,)

    AccessKeys(path).rotate_master_key()

    assert len(file.read().keys) == 1
    assert AccessKeys(path).list() == (key,)


def test_a_reader_meets_a_rotation_between_its_two_files(path):
    """The reader has the old master key when the rotation happens, and reads the new secrets."""
    key = AccessKeys(path).create("x")

    class RotatesOnce:
        def __init__(self):
            self.file = MasterKeyFile(path.with_name("master.key"))
            self.reads = 0

        def read(self):
            keys = self.file.read()
            self.reads += 1
            if self.reads == 1:
                AccessKeys(path).rotate_master_key()
            return keys

    source = RotatesOnce()

    assert AccessKeys(path, master_keys=source).list() == (key,)
    assert source.reads == 2


def test_policies_are_attached_replaced_and_detached(path):
    keys = AccessKeys(path)
    key = keys.create("x")
    keys.attach_policy(key.access_key_id, "all", POLICY)
    keys.attach_policy(key.access_key_id, "none", POLICY.replace("Allow", "Deny"))
    keys.attach_policy(key.access_key_id, "all", POLICY.replace("personalize:*", "personalize:List*"))

    policies = AccessKeys(path).find(key.access_key_id).policies
    assert list(policies) == ["all", "none"]
    assert "List" in policies["all"]

    keys.detach_policy(key.access_key_id, "none")
    assert list(AccessKeys(path).find(key.access_key_id).policies) == ["all"]


def test_what_is_not_attached_cannot_be_detached(path):
    keys = AccessKeys(path)
    key = keys.create("x")

    with pytest.raises(ResourceNotFound, match="'all', want a policy of the key, which has none"):
        keys.detach_policy(key.access_key_id, "all")
    with pytest.raises(ResourceNotFound, match="TBNOSUCHKEY"):
        keys.attach_policy("TBNOSUCHKEY", "all", POLICY)


def test_a_key_has_ten_policies_at_most(path):
    keys = AccessKeys(path)
    key = keys.create("x")
    for number in range(10):
        keys.attach_policy(key.access_key_id, f"p{number}", POLICY)

    keys.attach_policy(key.access_key_id, "p0", POLICY)
    with pytest.raises(LimitExceeded, match="at most 10"):
        keys.attach_policy(key.access_key_id, "p10", POLICY)


@pytest.mark.parametrize("name", ["", "a b", "x" * 129, "a/b"])
def test_a_policy_wants_a_name(path, name):
    keys = AccessKeys(path)
    key = keys.create("x")

    with pytest.raises(InvalidInput, match="`name`"):
        keys.attach_policy(key.access_key_id, name, POLICY)


def test_a_policy_that_is_not_understood_is_not_attached(path):
    keys = AccessKeys(path)
    key = keys.create("x")

    with pytest.raises(InvalidInput, match="Condition"):
        keys.attach_policy(key.access_key_id, "p", POLICY.replace('"*"}}', '"*", "Condition": {}}}'))
    assert AccessKeys(path).find(key.access_key_id) == key


class CountingMasterKeys(MasterKeyFile):
    """Master keys in a file, which count how often they are read: once for each look into the other file."""

    reads = 0

    def read(self):
        self.reads += 1
        return super().read()


def test_a_file_that_is_refused_is_not_read_for_every_request(path):
    seconds = [100.0]
    key = AccessKeys(path).create("x")
    good = path.with_name("master.key").read_text()
    replace_private(path.with_name("master.key"), MasterKeys([MasterKey.generate()]).text)
    source = CountingMasterKeys(path.with_name("master.key"))
    keys = AccessKeys(path, master_keys=source, monotonic=lambda: seconds[0])

    messages = set()
    for _ in range(5):
        with pytest.raises(InvalidInput, match="`master_key`: got another key") as caught:
            keys.find(key.access_key_id)
        messages.add(caught.value.message)
    assert source.reads == 2
    assert len(messages) == 1

    # It is read again when a second has passed, for what is amiss may be another file, and at once when it changes.
    seconds[0] += 1
    with pytest.raises(InvalidInput):
        keys.find(key.access_key_id)
    assert source.reads == 4
    replace_private(path.with_name("master.key"), good)
    seconds[0] += 1
    assert keys.find(key.access_key_id) == key


def test_a_refused_file_that_is_replaced_is_read_at_once(path):
    key = AccessKeys(path).create("x")
    good = path.read_text()
    replace_private(path, "{}")
    keys = AccessKeys(path, monotonic=lambda: 0.0)
    with pytest.raises(InvalidInput, match="cannot be understood"):
        keys.list()

    replace_private(path, good)

    assert keys.list() == (key,)
