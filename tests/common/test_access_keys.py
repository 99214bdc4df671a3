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
from common.errors import InvalidInput, ResourceNotFound, Unavailable


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
    assert sorted(item.name for item in path.parent.iterdir()) == ["access_keys.json", "access_keys.json.lock"]


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
    ["", "[]", "{}", '{"version": 2, "keys": []}', '{"version": 1, "keys": [{"access_key_id": "TB"}]}', "sesame\x00"],
)
def test_a_file_of_another_form_is_refused_without_quoting_it(path, text):
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_text(text)

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
