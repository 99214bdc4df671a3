"""The signature of any request is the one that botocore computes."""

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials
from hypothesis import given
from hypothesis import strategies as st

from gateway.auth.signing import signature

TIMESTAMP = "20261128T101112Z"
ADDRESSES = st.sampled_from(["/", "/events", "/action-interactions", "/a.b/../c", "//events", "/%41/%ff", "/é", "/a/"])
SEGMENTS = st.text(alphabet="aZ9-_~./%+é ", max_size=12).map(lambda text: f"/{text}")
VALUES = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=255, exclude_characters="\x7f\x85\xa0"))


class Signer(SigV4Auth):
    """Signs all headers that it is given."""

    def headers_to_sign(self, request):
        return request.headers


@given(
    path=ADDRESSES | SEGMENTS,
    query=st.sampled_from(["", "b=2&a=1", "a", "a=%20&a=", "X=é"]),
    value=VALUES,
    region=st.sampled_from(["us-east-1", "eu-west-1"]),
    body=st.binary(max_size=50),
    claimed=st.none() | st.sampled_from(["", "UNSIGNED-PAYLOAD"]),
)
def test_it_is_the_one_that_botocore_computes(path, query, value, region, body, claimed):
    headers = {"host": "x:7400", "x-amz-date": TIMESTAMP, "x-other": value}
    if claimed is not None:
        headers["x-amz-content-sha256"] = claimed
    request = AWSRequest("POST", f"http://gateway{path}{'?' if query else ''}{query}", headers=headers, data=body)
    request.context["timestamp"] = TIMESTAMP
    signer = Signer(Credentials("KEY", "SECRET"), "personalize", region)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)

    assert expected == signature(
        "SECRET",
        scope=("20261128", region, "personalize"),
        timestamp=TIMESTAMP,
        method="POST",
        path=path,
        query=query,
        headers={**headers, "unsigned": "x"},
        signed=[*headers],
        body=body,
    )


def test_a_key_of_another_day_or_secret_is_another():
    def made(secret, day):
        return signature(
            secret,
            scope=(day, "us-east-1", "personalize"),
            timestamp=f"{day}T000000Z",
            method="POST",
            path="/",
            query="",
            headers={"host": "x"},
            signed=["host"],
            body=b"",
        )

    made_by = [made(secret, day) for secret in ("a", "b") for day in ("20261128", "20261129")]
    assert len({*made_by}) == 4
    assert made("a", "20261128") == made_by[0]
