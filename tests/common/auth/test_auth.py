"""Tokens and the roles that contracts admit."""

import contextlib
import resource
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from common.auth import Revocations, Revoked, TokenIssuer, TokenVerifier, admitted_roles, generate_key_pair
from common.clock import ManualClock
from common.errors import InvalidInput, Unauthenticated
from common.testing import make_keys, wait_until
from protos.tailorbird.internal.v1 import jobs_pb2

HOUR = timedelta(hours=1)


@pytest.fixture
def clock():
    return ManualClock()


@pytest.fixture
def keys():
    return make_keys()


def test_a_token_says_who_it_speaks_for(keys, clock):
    token = TokenIssuer(keys.private_pem, clock=clock).issue("trainer", subject="t-1", lifetime=HOUR)
    identity = TokenVerifier(keys.public_pem, clock=clock).verify(token)
    assert (identity.role, identity.subject) == ("trainer", "t-1")


def test_a_token_that_was_accepted_before_still_expires(keys, clock):
    token = TokenIssuer(keys.private_pem, clock=clock).issue("client", subject="c", lifetime=HOUR)
    verifier = TokenVerifier(keys.public_pem, clock=clock)
    verifier.verify(token)
    clock.advance(seconds=3601)
    with pytest.raises(Unauthenticated, match="expired"):
        verifier.verify(token)


def test_a_changed_token_is_refused(keys):
    head, body, signature = keys.token("client").split(".")
    other = keys.token("trainer").split(".")[1]
    with pytest.raises(Unauthenticated):
        keys.verifier.verify(f"{head}.{other}.{signature}")
    assert keys.verifier.verify(f"{head}.{body}.{signature}").role == "client"


def test_an_unsigned_token_is_refused(keys):
    token = jwt.encode({"iss": "tailorbird", "sub": "x", "role": "client", "exp": 9e9}, key=None, algorithm="none")
    with pytest.raises(Unauthenticated):
        keys.verifier.verify(token)


def test_a_token_signed_with_the_public_key_as_a_secret_is_refused(keys):
    claims = {"iss": "tailorbird", "sub": "x", "role": "client", "exp": 9e9}
    body = jwt.encode(claims, key="a" * 32, algorithm="HS256")
    with pytest.raises(Unauthenticated):
        keys.verifier.verify(body)


def test_unknown_roles_are_never_signed(keys):
    with pytest.raises(InvalidInput, match="`role`: got 'root'"):
        keys.issuer.issue("root", subject="x", lifetime=HOUR)


def test_keys_are_private_and_never_overwritten(tmp_path):
    private = tmp_path / "private.pem"
    generate_key_pair(private, tmp_path / "public.pem")
    assert private.stat().st_mode & 0o077 == 0
    with pytest.raises(FileExistsError):
        generate_key_pair(private, tmp_path / "public.pem")


def test_a_file_that_is_no_key_is_refused():
    with pytest.raises(InvalidInput, match="private key"):
        TokenIssuer(b"nonsense")
    with pytest.raises(InvalidInput, match="public key"):
        TokenVerifier(b"nonsense")


def test_contracts_say_who_may_call():
    service = jobs_pb2.DESCRIPTOR.services_by_name["JobService"].full_name
    assert admitted_roles(f"/{service}/LeaseJob") == {"trainer"}


def test_a_service_that_no_contract_names_admits_nobody():
    assert admitted_roles("/somebody.Else/Call") == frozenset()


def test_a_token_without_an_id_is_refused(keys):
    claims = {"iss": "tailorbird", "sub": "x", "role": "client", "iat": 1, "exp": 9e9}
    token = jwt.encode(claims, load_pem_private_key(keys.private_pem, password=None), algorithm="EdDSA")
    with pytest.raises(Unauthenticated, match="jti"):
        keys.verifier.verify(token)


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
