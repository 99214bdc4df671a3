"""Signature Version 4: what botocore signs is accepted, and nothing else is."""

import hashlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from botocore.auth import S3SigV4Auth, S3SigV4QueryAuth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from common.access_keys import AccessKeys
from common.clock import ManualClock
from common.errors import TailorbirdError, Unauthenticated
from gateway.auth import SignatureVerifier, SignedRequest, parse_authorization
from gateway.auth.presigned import parse_presigned
from gateway.errors import IncompleteSignature, InvalidSignature, UnrecognizedClient

PARAMETERS = [f"X-Amz-{name}" for name in ("Algorithm", "Credential", "Date", "Expires", "SignedHeaders", "Signature")]
BODY = b'{"campaignArn":"arn:aws:personalize:us-east-1:000000000000:campaign/films"}'
HEADERS = {"Host": "127.0.0.1:7400", "Content-Type": "application/json"}


@pytest.fixture
def keys(tmp_path):
    return AccessKeys(tmp_path / "keys.json")


@pytest.fixture
def key(keys):
    return keys.create("test")


@pytest.fixture
def clock():
    # botocore signs with the machine's time.
    return ManualClock(datetime.now(UTC))


@pytest.fixture
def verifier(keys, clock):
    return SignatureVerifier(keys, clock=clock)


def sign(
    key, *, headers=None, body=BODY, auth=SigV4Auth, region="eu-west-1", service="personalize", secret=None, query=""
):
    """Sign as botocore does and return what comes over the wire."""
    request = AWSRequest(
        "POST", f"http://127.0.0.1:7400/recommendations{query}", headers={**HEADERS, **(headers or {})}, data=body
    )
    auth(Credentials(key.access_key_id, secret or key.secret_access_key), service, region).add_auth(request)
    _, _, sent_query = request.url.partition("?")
    wire = {name.lower(): value for name, value in request.headers.items()}
    return SignedRequest(method="POST", path="/recommendations", query=sent_query, headers=wire, body=body)


def proven(verifier, request):
    """Check a request as the endpoint does, and return whose it is."""
    return verifier.verify(request, verifier.admit(replace(request, body=b"")))


def without(request, name):
    return replace(request, headers={key: value for key, value in request.headers.items() if key != name})


def with_header(request, name, value):
    return replace(request, headers={**request.headers, name: value})


def test_a_valid_signature_returns_its_key(verifier, key):
    assert proven(verifier, sign(key)) == key


@pytest.mark.parametrize("region", ["us-east-1", "eu-central-1", "local"])
def test_any_region_is_accepted_by_default(verifier, key, region):
    assert proven(verifier, sign(key, region=region)) == key


def test_a_pinned_region_refuses_others(keys, key, clock):
    pinned = SignatureVerifier(keys, clock=clock, region="eu-west-1")

    assert proven(pinned, sign(key, region="eu-west-1")) == key
    with pytest.raises(InvalidSignature, match="region 'us-east-1', want 'eu-west-1'"):
        proven(pinned, sign(key, region="us-east-1"))


def test_another_service_is_refused(verifier, key):
    with pytest.raises(InvalidSignature, match="service 's3', want 'personalize'"):
        proven(verifier, sign(key, service="s3"))


def test_a_wrong_secret_is_refused(verifier, key):
    with pytest.raises(InvalidSignature, match="does not fit the request") as caught:
        proven(verifier, sign(key, secret="x" * 40))
    assert key.secret_access_key not in str(caught.value)


def test_an_unknown_key_is_refused(verifier, key):
    with pytest.raises(UnrecognizedClient, match="TBUNKNOWN"):
        proven(verifier, sign(replace(key, access_key_id="TBUNKNOWN")))


def test_a_revoked_key_is_refused_at_once(verifier, keys, key):
    request = sign(key)
    proven(verifier, request)
    keys.revoke(key.access_key_id)

    with pytest.raises(UnrecognizedClient, match="revoked"):
        proven(verifier, request)


@pytest.mark.parametrize(("seconds", "fault"), [(301, "Signature expired"), (-301, "Signature not yet current")])
def test_a_request_of_another_time_is_refused(verifier, key, clock, seconds, fault):
    request = sign(key)
    clock.advance(seconds=seconds)

    with pytest.raises(InvalidSignature, match=fault):
        proven(verifier, request)


@pytest.mark.parametrize("seconds", [290, -290])
def test_five_minutes_either_way_are_tolerated(verifier, key, clock, seconds):
    request = sign(key)
    clock.advance(seconds=seconds)

    assert proven(verifier, request) == key


def test_the_tolerance_is_the_operators_choice(keys, key, clock):
    strict = SignatureVerifier(keys, clock=clock, tolerance=timedelta(seconds=30))
    request = sign(key)
    clock.advance(seconds=60)

    with pytest.raises(InvalidSignature, match="at most 30 s"):
        proven(strict, request)


def test_a_changed_body_is_refused(verifier, key):
    with pytest.raises(InvalidSignature, match="does not fit"):
        proven(verifier, replace(sign(key), body=BODY + b" "))


def test_a_changed_body_under_a_signed_hash_is_refused(verifier, key):
    request = sign(key, headers={"X-Amz-Content-SHA256": hashlib.sha256(BODY).hexdigest()})
    assert proven(verifier, request) == key

    with pytest.raises(InvalidSignature, match="X-Amz-Content-SHA256"):
        proven(verifier, replace(request, body=BODY + b" "))


def test_an_unsigned_payload_is_refused(verifier, key):
    request = sign(key, headers={"X-Amz-Content-SHA256": "UNSIGNED-PAYLOAD"})

    with pytest.raises(InvalidSignature, match="unsigned payload is not accepted"):
        proven(verifier, request)


@pytest.mark.parametrize(
    "change", [{"method": "GET"}, {"path": "/events"}, {"query": "a=b"}], ids=["method", "path", "query"]
)
def test_a_changed_request_line_is_refused(verifier, key, change):
    with pytest.raises(InvalidSignature, match="does not fit"):
        proven(verifier, replace(sign(key), **change))


def test_query_parameters_are_part_of_what_is_signed(verifier, key):
    assert proven(verifier, sign(key, query="?b=2&a=1")) == key


@pytest.mark.parametrize("name", ["host", "content-type", "x-amz-target"])
def test_a_changed_signed_header_is_refused(verifier, key, name):
    request = sign(key, headers={"X-Amz-Target": "AmazonPersonalize.ListRecipes"})

    with pytest.raises(InvalidSignature, match="does not fit"):
        proven(verifier, with_header(request, name, "changed"))


@pytest.mark.parametrize("name", ["x-amz-target", "x-amz-meta-anything"])
def test_a_header_of_amazons_family_must_be_signed(verifier, key, name):
    with pytest.raises(IncompleteSignature, match=f"got none of {name}, want them signed"):
        proven(verifier, with_header(sign(key), name, "AmazonPersonalize.DeleteCampaign"))


def test_the_host_must_be_signed(verifier, key):
    request = sign(key)
    header = request.headers["authorization"].replace("content-type;host;", "content-type;")

    with pytest.raises(IncompleteSignature, match="got none of host"):
        proven(verifier, with_header(request, "authorization", header))


def test_a_signed_header_that_is_absent_is_refused(verifier, key):
    with pytest.raises(IncompleteSignature, match="content-type, which the request does not carry"):
        proven(verifier, without(sign(key), "content-type"))


def test_a_request_without_a_date_is_refused(verifier, key):
    with pytest.raises(IncompleteSignature, match="x-amz-date"):
        proven(verifier, without(sign(key), "x-amz-date"))


@pytest.mark.parametrize("date", ["", "yesterday", "2026-01-01T00:00:00Z", "99999999T999999Z"])
def test_a_date_of_another_form_is_refused(verifier, key, date):
    with pytest.raises(IncompleteSignature, match="X-Amz-Date"):
        proven(verifier, with_header(sign(key), "x-amz-date", date))


def test_the_day_of_the_scope_must_be_that_of_the_request(verifier, key):
    request = sign(key)
    day = request.headers["x-amz-date"][:8]
    header = request.headers["authorization"].replace(f"/{day}/", "/20200101/")

    with pytest.raises(InvalidSignature, match="got a scope of 20200101"):
        proven(verifier, with_header(request, "authorization", header))


def test_an_unsigned_request_is_refused(verifier, key):
    with pytest.raises(Unauthenticated, match="keys create") as caught:
        proven(verifier, without(sign(key), "authorization"))
    assert caught.value.reason == "MissingAuthenticationTokenException"


SESSION_TOKEN_ERROR = "^The security token included in the request is invalid.$"


@pytest.mark.parametrize("auth", [SigV4Auth, SigV4QueryAuth])
def test_a_session_token_is_refused_as_by_aws(verifier, key, auth):
    request = AWSRequest("POST", "http://127.0.0.1:7400/recommendations", headers=HEADERS, data=b"")
    auth(Credentials(key.access_key_id, key.secret_access_key, "session"), "personalize", "us-east-1").add_auth(request)
    assert "X-Amz-Security-Token" in str(request.headers) + request.url

    with pytest.raises(UnrecognizedClient, match=SESSION_TOKEN_ERROR):
        proven(verifier, arrived(request))


def arrived(request):
    """Return a request of botocore as it comes over the wire."""
    wire = {name.lower(): value for name, value in request.headers.items()}
    return SignedRequest("POST", "/recommendations", request.url.partition("?")[2], wire, request.data or b"")


def presign(key, *, expires=60, query="", headers=None, auth=SigV4QueryAuth, secret=None):
    """Presign an address as botocore does and return the request that somebody makes with it."""
    url = f"http://127.0.0.1:7400/recommendations{query}"
    request = AWSRequest("POST", url, headers={"Host": "127.0.0.1:7400", **(headers or {})}, data=b"")
    credentials = Credentials(key.access_key_id, secret or key.secret_access_key)
    auth(credentials, "personalize", "eu-west-1", expires=expires).add_auth(request)
    return arrived(request)


def with_query(request, name, value):
    """Replace a parameter of a query; None removes it."""
    pairs = [pair for pair in request.query.split("&") if not pair.startswith(f"{name}=")]
    return replace(request, query="&".join(pairs if value is None else [*pairs, f"{name}={value}"]))


@pytest.mark.parametrize("query", ["", "?a=b&c=d%20e%2Ff&a=c", "?empty="])
def test_a_presigned_address_returns_its_key(verifier, key, query):
    assert proven(verifier, presign(key, query=query, headers={"X-Amz-Target": "AmazonPersonalize.ListRecipes"})) == key


def test_a_presigned_address_is_valid_for_as_long_as_it_says(verifier, key, clock):
    request = presign(key, expires=3600)

    clock.advance(seconds=3599)
    assert proven(verifier, request) == key
    clock.advance(seconds=2)
    with pytest.raises(InvalidSignature, match=r"^Signature expired: .* want at most 3600 s before"):
        proven(verifier, request)


def test_a_presigned_address_of_the_future_is_refused(verifier, key, clock):
    request = presign(key)
    clock.advance(seconds=-301)

    with pytest.raises(InvalidSignature, match="Signature not yet current"):
        proven(verifier, request)


@pytest.mark.parametrize("expires", [1, 604_800])
def test_a_presigned_address_is_valid_for_a_week_at_most(verifier, key, expires):
    assert proven(verifier, presign(key, expires=expires)) == key


@pytest.mark.parametrize("expires", ["0", "604801", "-1", "1.5", "", "99999999", "\u0661"])
def test_another_expiry_is_refused(verifier, key, expires):
    with pytest.raises(IncompleteSignature, match=r"`X-Amz-Expires`: got .* want seconds from 1 to 604800"):
        proven(verifier, with_query(presign(key), "X-Amz-Expires", expires))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("X-Amz-Expires", "61"),
        ("X-Amz-Date", None),
        ("X-Amz-Algorithm", "AWS4-HMAC-SHA1"),
        ("X-Amz-Algorithm", None),
        ("X-Amz-Credential", "TB/x"),
        ("X-Amz-Credential", None),
        ("X-Amz-SignedHeaders", "x-other"),
        ("X-Amz-SignedHeaders", ""),
        ("X-Amz-SignedHeaders", None),
        ("X-Amz-Signature", "0" * 64),
        ("X-Amz-Signature", "0" * 63),
        ("X-Amz-Signature", None),
        ("a", "c"),
        ("b", "new"),
    ],
)
def test_an_altered_presigned_address_is_refused(verifier, key, name, value):
    request = presign(key, query="?a=b")
    assert proven(verifier, request) == key

    with pytest.raises(Unauthenticated):
        proven(verifier, with_query(request, name, value))


def test_a_parameter_twice_is_refused(verifier, key):
    request = presign(key)

    with pytest.raises(IncompleteSignature, match="`X-Amz-Expires`: got it more than once"):
        proven(verifier, replace(request, query=f"{request.query}&X-Amz-Expires=604800"))


@pytest.mark.parametrize(
    "query", ["&" * 64, "a=&" * 5000, "%41" * 2731, "X-Amz-Signature&" + "&" * 30_000], ids=range(4)
)
def test_an_address_that_costs_much_to_take_apart_is_refused_before_it_is(verifier, key, query):
    unsigned = SignedRequest("POST", "/", query, {}, b"")
    for request in (unsigned, replace(sign(key), query=query), replace(presign(key), query=f"{query}&X-Amz-Signature")):
        with pytest.raises(IncompleteSignature, match="want at most 8192 in 64"):
            verifier.admit(request)


def test_another_time_than_the_scopes_is_refused(verifier, key):
    with pytest.raises(InvalidSignature, match="scope of"):
        proven(verifier, with_query(presign(key), "X-Amz-Date", "20250101T000000Z"))


def test_a_body_that_was_not_signed_is_refused(verifier, key):
    with pytest.raises(InvalidSignature, match="does not fit"):
        proven(verifier, replace(presign(key), body=BODY))
    with pytest.raises(InvalidSignature, match="does not fit"):
        proven(verifier, presign(key, auth=S3SigV4QueryAuth))


def test_an_operation_that_was_not_signed_is_refused(verifier, key):
    with pytest.raises(IncompleteSignature, match="x-amz-target, want them signed"):
        proven(verifier, with_header(presign(key), "x-amz-target", "AmazonPersonalize.DeleteCampaign"))


def test_a_presigned_address_with_a_wrong_secret_or_a_revoked_key_is_refused(verifier, keys, key):
    with pytest.raises(InvalidSignature, match="does not fit"):
        proven(verifier, presign(key, secret="x" * 40))

    request = presign(key)
    keys.revoke(key.access_key_id)
    with pytest.raises(UnrecognizedClient, match="revoked"):
        proven(verifier, request)


def test_a_header_comes_before_an_address(verifier, key):
    request = with_header(presign(key), "authorization", "AWS4-HMAC-SHA256 nonsense")

    with pytest.raises(IncompleteSignature, match="`Authorization`"):
        proven(verifier, request)


def test_a_file_of_keys_that_others_may_read_is_the_operators_fault(verifier, keys, key):
    request = sign(key)
    keys.path.chmod(0o644)

    with pytest.raises(TailorbirdError) as caught:
        proven(verifier, request)
    assert caught.value.code == "INTERNAL"


def test_a_signer_that_sends_the_hash_of_the_body_is_accepted(verifier, key):
    class Signer(S3SigV4Auth):
        def __init__(self, *arguments):
            super().__init__(*arguments)

        def _should_sha256_sign_payload(self, request):
            return True

    assert proven(verifier, sign(key, auth=Signer)) == key


@pytest.mark.parametrize(
    "header",
    [
        "Bearer abc",
        "AWS4-HMAC-SHA256",
        "AWS4-HMAC-SHA256 Credential=K/20260101/r/personalize/aws4_request",
        "AWS4-HMAC-SHA256 Credential=K/20260101/r/personalize, SignedHeaders=host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=K/20260101/r/personalize/aws4_request, SignedHeaders=Host, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=K/20260101/r/personalize/aws4_request, SignedHeaders=host, Signature=xyz",
        "AWS4-HMAC-SHA256 Credential=K/20260101/r/personalize/aws4_request, Credential=K, Signature=" + "0" * 64,
        "AWS4-HMAC-SHA256 Credential=K/20260101/r/personalize/aws4_request; SignedHeaders=host; Signature=" + "0" * 64,
    ],
)
def test_an_authorization_that_cannot_be_read_is_incomplete(header):
    with pytest.raises(IncompleteSignature):
        parse_authorization(header)


@given(st.text(max_size=200).map(lambda text: f"AWS4-HMAC-SHA256 {text}") | st.text(min_size=1, max_size=200))
def test_no_authorization_header_is_more_than_refused(header):
    with pytest.raises(Unauthenticated):
        parse_authorization(header)


@given(
    st.lists(st.tuples(st.sampled_from([*PARAMETERS, "a", ""]), st.text(max_size=70)), max_size=12),
    st.text(max_size=20),
)
def test_any_query_is_presigned_or_not_or_incomplete(pairs, rest):
    query = "&".join(f"{name}={value}" for name, value in pairs) + rest
    try:
        presigned = parse_presigned(query)
    except IncompleteSignature:
        return
    assert presigned is None or "X-Amz-Signature" not in presigned.signed_query
