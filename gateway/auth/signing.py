"""The signature that a request should carry: Signature Version 4 as botocore computes it, at a tenth of its cost.

Keys are derived once for each secret, day and region, and the canonical form is put together from what is in canonical
form already, as all that SDKs send to these services is. Addresses that are not, and queries, are botocore's to
normalise: its code signs on the client's side, so it decides.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Final

from botocore.auth import SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

__all__ = ["signature"]

#: Addresses that are their own canonical form: no empty or dotted segment, nothing to encode.
_CANONICAL_PATH: Final = re.compile(r"/|(?:/[A-Za-z0-9_~\-]+)+")


def signature(
    secret: str,
    *,
    scope: tuple[str, str, str],
    timestamp: str,
    method: str,
    path: str,
    query: str,
    headers: Mapping[str, str],
    signed: Sequence[str],
    body: bytes,
) -> str:
    """Return the 64 hexadecimal digits that the holder of a secret signs a request with.

    Args:
        secret: The secret access key.
        scope: Day (`YYYYMMDD`), region and service.
        timestamp: `X-Amz-Date`.
        method: `POST`.
        path: Percent-encoded, as sent.
        query: What follows the `?`, as sent.
        headers: By name in lower case; those in `signed` at least.
        signed: Names of the signed headers, in lower case.
        body: The bytes.
    """
    names = sorted(set(signed))
    # A signed hash of the body stands in the canonical form as it is; whether it is the body's was checked before.
    body_hash = headers["x-amz-content-sha256"] if "x-amz-content-sha256" in names else hashlib.sha256(body).hexdigest()
    canonical = "\n".join(
        (
            method,
            *_canonical_address(path, query),
            *[f"{name}:{' '.join(headers[name].split())}" for name in names],
            "",
            ";".join(names),
            body_hash,
        )
    )
    text = "\n".join(
        (
            "AWS4-HMAC-SHA256",
            timestamp,
            f"{'/'.join(scope)}/aws4_request",
            hashlib.sha256(canonical.encode()).hexdigest(),
        )
    )
    return hmac.digest(_signing_key(secret, scope), text.encode(), "sha256").hex()


def _canonical_address(path: str, query: str) -> tuple[str, str]:
    if not query and _CANONICAL_PATH.fullmatch(path):
        return path, ""
    request = AWSRequest("POST", f"http://gateway{path}{'?' if query else ''}{query}")
    _, address, arguments, *_ = SigV4Auth(Credentials("", ""), "", "").canonical_request(request).split("\n")
    return address, arguments


@lru_cache(maxsize=1024)
def _signing_key(secret: str, scope: tuple[str, str, str]) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (*scope, "aws4_request"):
        key = hmac.digest(key, part.encode(), "sha256")
    return key
