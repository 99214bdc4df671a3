"""The data directory and its secrets."""

import stat

import pytest

from cli.installation import AlreadyRunning, Installation, Running
from common.auth import TokenVerifier
from common.errors import InvalidInput


@pytest.fixture
def installation(tmp_path):
    made = Installation(tmp_path / "data")
    made.prepare()
    return made


def mode(path):
    return stat.S_IMODE(path.stat().st_mode)


def test_only_the_owner_can_enter_the_directory_and_read_the_secrets(installation):
    tokens = [installation.token_file(name) for name in ("events_service", "runtime_service", "trainer", "gateway")]
    assert mode(installation.root) == 0o700
    assert {mode(path) for path in [installation.keys.private_key, *tokens]} == {0o600}


def test_each_process_that_calls_others_has_a_token_of_its_own_role(installation):
    verifier = TokenVerifier(installation.keys.public_key.read_bytes())
    roles = {
        name: verifier.verify(installation.token_file(name).read_text()).role
        for name in ("events_service", "runtime_service", "trainer", "gateway")
    }
    assert roles == {
        "events_service": "events",
        "runtime_service": "runtime",
        "trainer": "trainer",
        "gateway": "gateway",
    }


def test_the_control_plane_has_no_token(installation):
    assert not installation.token_file("control_plane").exists()


def test_preparing_again_keeps_the_key_pair(installation):
    before = installation.keys.private_key.read_bytes()
    installation.prepare()
    assert installation.keys.private_key.read_bytes() == before


def test_the_first_access_key_is_made_once(installation):
    assert installation.first_access_key() is not None
    assert installation.first_access_key() is None


def test_a_new_access_key_is_made_when_all_are_revoked(installation):
    installation.access_keys().revoke(installation.first_access_key().access_key_id)
    assert installation.first_access_key() is not None


def test_a_directory_that_cannot_be_made_is_refused(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(InvalidInput, match="data-dir"):
        Installation(tmp_path / "file" / "data").prepare()


def test_a_second_lock_is_refused_with_the_holder_of_the_first(installation):
    with (
        installation.lock(Running(4711, "http://127.0.0.1:7400")),
        pytest.raises(AlreadyRunning, match="process 4711, http://127"),
        Installation(installation.root).lock(Running(4712, "http://127.0.0.1:7500")),
    ):
        pass


def test_the_running_system_is_found_only_while_it_runs(installation):
    running = Running(4711, "http://127.0.0.1:7400")
    with installation.lock(running):
        during = Installation(installation.root).running()
    assert (during, Installation(installation.root).running()) == (running, None)


def test_a_stale_lock_file_is_no_obstacle(installation):
    with installation.lock(Running(1, "http://127.0.0.1:7400")):
        pass
    with installation.lock(Running(2, "http://127.0.0.1:7400")):
        assert installation.running().process_id == 2
