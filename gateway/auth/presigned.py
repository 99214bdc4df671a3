"""Parses presigned addresses: the credentials of Signature Version 4 in a query, valid for as long as it says."""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import unquote_plus

from gateway.auth.authorization import ALGORITHM, Authorization, authorization_of
from gateway.errors import IncompleteSignature

__all__ = ["Presigned", "parse_presigned"]

#: A week; AWS's own limit.
_MAX_EXPIRY_SECONDS = 604_800
_EXPIRY = re.compile(r"[0-9]{1,7}")
_QUERY_NAMES = (
    *("X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders", "X-Amz-Signature"),
)


@dataclass(frozen=True, slots=True)
class Presigned:
    """The credentials in the query of an address; nothing in them is proven.

    Attributes:
        authorization: What an `Authorization` header would say.
        timestamp: When it was signed, as sent.
        expiry_seconds: How long it is valid.
        signed_query: The query that was signed: all but the signature.
    """

    authorization: Authorization
    timestamp: str
    expiry_seconds: int
    signed_query: str


def parse_presigned(query: str) -> Presigned | None:
    """Parse the query of an address; None when it is not signed.

    Args:
        query: What follows the `?`, as sent.

    Raises:
        IncompleteSignature: A part is missing, there more than once, or misspelt.
    """
    if "X-Amz-Signature" not in query:
        return None
    pairs = [
        (unquote_plus(name), unquote_plus(value), pair)
        for pair in query.split("&")
        for name, _, value in [pair.partition("=")]
    ]
    values: dict[str, str] = {}
    for name, value, _ in pairs:
        if name in _QUERY_NAMES and name in values:
            raise IncompleteSignature(f"`{name}`: got it more than once, want it once")
        values[name] = value
    if "X-Amz-Signature" not in values:
        return None
    if missing := [name for name in _QUERY_NAMES if name not in values]:
        raise IncompleteSignature(
            f"`X-Amz-Signature`: got an address without {' and '.join(missing)}, want all of these"
        )
    if values["X-Amz-Algorithm"] != ALGORITHM:
        raise IncompleteSignature(f"`X-Amz-Algorithm`: got another algorithm, want {ALGORITHM}")
    expiry = values["X-Amz-Expires"]
    if _EXPIRY.fullmatch(expiry) is None or not 1 <= int(expiry) <= _MAX_EXPIRY_SECONDS:
        raise IncompleteSignature(f"`X-Amz-Expires`: got {expiry[:16]!r}, want seconds from 1 to {_MAX_EXPIRY_SECONDS}")
    authorization = authorization_of(
        credential=values["X-Amz-Credential"],
        signed_headers=values["X-Amz-SignedHeaders"],
        signature=values["X-Amz-Signature"],
        place="X-Amz-Signature",
    )
    signed_query = "&".join(pair for name, _, pair in pairs if name != "X-Amz-Signature")
    return Presigned(authorization, values["X-Amz-Date"], int(expiry), signed_query)
