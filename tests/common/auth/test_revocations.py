"""Tokens that are revoked before they expire."""

import contextlib
import resource
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import pytest

from common.auth import Revocations, Revoked, TokenVerifier
from common.clock import ManualClock
from common.errors import InvalidInput, Unauthenticated
from common.testing import make_keys, wait_until

HOUR = timedelta(hours=1)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def keys():
    return make_keys()


@pytest.fixture
def folder(tmp_path, keys):
    (tmp_path / "public.pem").write_bytes(keys.public_pem)
    return tmp_path


@pytest.fixture
def revocations(folder):
    return Revocations(folder / "revoked.json")


def refuses(verifier, token):
    try:
        verifier.verify(token)
    except Unauthenticated as error:
        return "revoked" in error.message
    return False


def test_a_token_that_was_accepted_before_is_refused_once_it_is_revoked(keys, folder, revocations):
    verifier = TokenVerifier.of_file(folder / "public.pem")
    token, other = keys.token("client"), keys.token("client")
    identity = verifier.verify(token)
    revocations.revoke_token(identity.token_id, ends_at=identity.expires_at)
    wait_until(lambda: refuses(verifier, token))
    assert not refuses(verifier, other)


def test_a_revoked_subject_is_refused_until_it_gets_a_new_token(keys, folder, revocations):
    verifier = TokenVerifier.of_file(folder / "public.pem")
    before = keys.token("client")
    revocations.revoke_subject("test-client")
    after, other = keys.token("client"), keys.token("operator")
    wait_until(lambda: refuses(verifier, before))
    assert (refuses(verifier, after), refuses(verifier, other)) == (False, False)


def test_entries_of_tokens_that_have_ended_are_dropped(folder, clock):
    revocations = Revocations(folder / "revoked.json", clock=clock)
    now = clock.now().timestamp()
    revocations.revoke_token("short", ends_at=now + 60)
    clock.advance(seconds=61)
    revocations.revoke_token("long", ends_at=now + 3600)
    assert set(Revocations(folder / "revoked.json").current().tokens) == {"long"}


@pytest.mark.parametrize("text", ["{", "[]", '{"version": 2}', '{"version": 1, "tokens": {"a": "b"}, "subjects": {}}'])
def test_revocations_that_go_bad_change_nothing_and_a_process_does_not_start_with_them(keys, folder, revocations, text):
    verifier = TokenVerifier.of_file(folder / "public.pem")
    token, other = keys.token("client"), keys.token("client")
    revocations.revoke_token(verifier.verify(token).token_id, ends_at=9e9)
    wait_until(lambda: refuses(verifier, token))
    (folder / "revoked.json").write_text(text)
    ticks = iter(range(0, 10_000, 10))
    seen = Revocations(folder / "gone.json", monotonic=lambda: next(ticks))
    (folder / "gone.json").write_text(text)
    assert seen.current() == Revoked()
    assert (refuses(verifier, token), refuses(verifier, other)) == (True, False)
    with pytest.raises(InvalidInput, match="revoke-token"):
        TokenVerifier.of_file(folder / "public.pem")


@pytest.fixture
def no_more_files():
    """Let nothing be opened within the block."""

    @contextlib.contextmanager
    def exhausted():
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        resource.setrlimit(resource.RLIMIT_NOFILE, (0, hard))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    return exhausted


def test_revocation_that_could_not_be_read_at_first_holds_once_it_can(folder, revocations, no_more_files):
    ticks = iter(range(0, 10_000, 10))
    seen = Revocations(folder / "revoked.json", monotonic=lambda: next(ticks))
    revocations.revoke_token("t1", ends_at=9e9)
    with no_more_files():
        before = seen.current()
    assert (before, set(seen.current().tokens)) == (Revoked(), {"t1"})


def test_writers_of_revocations_wait_for_each_other(folder):
    path = folder / "revoked.json"
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(lambda place: Revocations(path).revoke_token(f"t{place}", ends_at=9e9), range(40)))
    assert len(Revocations(path).current().tokens) == 40
