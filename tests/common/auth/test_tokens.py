"""Tokens: their claims, expiry and signatures."""

import json
from datetime import timedelta

import jwt
import pytest
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from common.auth import TokenIssuer, TokenVerifier, check_policy, generate_key_pair
from common.clock import ManualClock
from common.errors import InvalidInput, Unauthenticated
from common.testing import make_keys

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


def test_a_token_without_an_id_is_refused(keys):
    claims = {"iss": "tailorbird", "sub": "x", "role": "client", "iat": 1, "exp": 9e9}
    token = jwt.encode(claims, load_pem_private_key(keys.private_pem, password=None), algorithm="EdDSA")
    with pytest.raises(Unauthenticated, match="jti"):
        keys.verifier.verify(token)


def test_a_token_may_hold_an_account(keys):
    token = keys.issuer.issue("client", subject="shop", lifetime=HOUR, account="123456789012")

    assert keys.verifier.verify(token).account == "123456789012"
    assert keys.verifier.verify(keys.token("client")).account is None


@pytest.mark.parametrize("account", ["", "12345678901", "1234567890123", "12345678901a", "\u0661" * 12])
def test_an_account_has_twelve_digits(keys, account):
    with pytest.raises(InvalidInput, match="`account`"):
        keys.issuer.issue("client", subject="shop", lifetime=HOUR, account=account)


@pytest.mark.parametrize("account", ["12", 123456789012, ["123456789012"]])
def test_a_token_with_a_malformed_account_is_refused(keys, account):
    claims = {"iss": "tailorbird", "sub": "x", "role": "client", "iat": 1, "exp": 9e9, "jti": "1", "account": account}
    token = jwt.encode(claims, load_pem_private_key(keys.private_pem, password=None), algorithm="EdDSA")
    with pytest.raises(Unauthenticated, match="account"):
        keys.verifier.verify(token)


@pytest.mark.parametrize("letter", ["x", "é", "\U0001f600"])
def test_policies_count_as_long_as_they_are_in_the_token(keys, letter):
    def issue(repeats):
        document = {"Statement": {"Effect": "Allow", "Action": "*", "Resource": f"arn:{letter * repeats}"}}
        return keys.issuer.issue("client", subject="c", lifetime=HOUR, policies=[check_policy(json.dumps(document))])

    longest = 4000 // len(json.dumps(letter)[1:-1])
    # All metadata of a call must fit into 8 KiB.
    assert len(issue(longest)) < 6 * 1024
    with pytest.raises(InvalidInput, match=r"`policies`: got .* want at most 4096 in a token"):
        issue(longest + 100)
