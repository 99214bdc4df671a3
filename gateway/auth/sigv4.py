"""Verifies AWS Signature Version 4: recomputes the signature with the caller's secret and compares.

`gateway.auth.signing` computes what botocore does, the code that signs on the client's side; this module adds what a
server must check: that all relevant headers are signed, that the time is recent, and that the body is the one
that was signed.
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from common.access_keys import AccessKey, AccessKeys
from common.clock import Clock
from common.errors import InvalidInput, TailorbirdError, Unavailable
from gateway.auth.authorization import Authorization, parse_authorization
from gateway.auth.presigned import parse_presigned
from gateway.auth.signing import signature
from gateway.errors import IncompleteSignature, InvalidSignature, UnrecognizedClient

__all__ = ["Admitted", "SignatureVerifier", "SignedRequest"]

#: All three services sign with this name.
_SERVICE = "personalize"
_DATE_FORMAT = "%Y%m%dT%H%M%SZ"
_DATE = re.compile(r"[0-9]{8}T[0-9]{6}Z")
#: No operation has parameters in its address, so a query holds credentials at most. What it costs to take apart is
#: spent before anybody is known.
_MAX_QUERY: Final = 8192
_MAX_PARAMETERS: Final = 64
_SECURITY_TOKEN = re.compile(r"(^|&)X-Amz-Security-Token(=|&|$)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class SignedRequest:
    """A request as it came over the wire.

    Attributes:
        method: `POST`.
        path: Percent-encoded, as sent.
        query: What follows the `?`, as sent.
        headers: By name in lower case; several of one name joined by commas.
        body: The bytes.
    """

    method: str
    path: str
    query: str
    headers: Mapping[str, str]
    body: bytes

    def with_body(self, body: bytes) -> SignedRequest:
        """Return the request with its body."""
        return SignedRequest(self.method, self.path, self.query, self.headers, body)


@dataclass(frozen=True, slots=True)
class Admitted:
    """A request whose headers are valid: known key, recent time, all relevant headers signed; not yet authenticated.

    Attributes:
        claim: The `Authorization` header, or what the query says in its place.
        key: The key that it names.
        timestamp: `X-Amz-Date`.
        query: The query as it was signed.
    """

    claim: Authorization
    key: AccessKey
    timestamp: str
    query: str


class SignatureVerifier:
    """Authenticates a request in two steps: its headers before its body is received, then the signature.

    Args:
        keys: The access keys that are accepted.
        clock: Source of the present time.
        tolerance: How far a request's time may be from ours, either way.
        region: The only region that signatures may be made for; None accepts any, so that applications keep theirs.
    """

    def __init__(
        self,
        keys: AccessKeys,
        *,
        clock: Clock,
        tolerance: timedelta = timedelta(minutes=5),
        region: str | None = None,
    ) -> None:
        self._keys = keys
        self._clock = clock
        self._tolerance = tolerance
        self._region = region

    def admit(self, request: SignedRequest) -> Admitted:
        """Check a request's headers; its body is not read.

        Raises:
            Unauthenticated: The request is not signed; subclasses name what is wrong with the headers.
        """
        _check_query(request.query)
        presigned = None if "authorization" in request.headers else parse_presigned(request.query)
        if presigned is not None:
            claim, required = presigned.authorization, {"host"}
        else:
            claim, required = parse_authorization(request.headers.get("authorization")), {"host", "x-amz-date"}
        _check_signed_headers(claim, request.headers, required)
        self._check_scope(claim)
        if presigned is not None:
            timestamp, signed_query = presigned.timestamp, presigned.signed_query
            self._check_time(claim, timestamp, valid_for=timedelta(seconds=presigned.expiry_seconds))
        else:
            timestamp, signed_query = request.headers["x-amz-date"], request.query
            self._check_time(claim, timestamp, valid_for=self._tolerance)
        if "x-amz-security-token" in request.headers or _SECURITY_TOKEN.search(request.query):
            # Keys here are permanent, so no session token is one of ours.
            raise UnrecognizedClient("The security token included in the request is invalid.")
        return Admitted(claim, self._find(claim.access_key_id), timestamp, signed_query)

    def verify(self, request: SignedRequest, admitted: Admitted) -> AccessKey:
        """Return the key that signed the complete request.

        Raises:
            InvalidSignature: The signature was made for something else, or with another secret.
        """
        _check_body(request)
        key = admitted.key
        claim = admitted.claim
        # The scheme and host of the address are not part of what is signed; the `host` header is.
        expected = signature(
            key.secret_access_key,
            scope=(claim.date, claim.region, claim.service),
            timestamp=admitted.timestamp,
            method=request.method,
            path=request.path,
            query=admitted.query,
            headers=request.headers,
            signed=claim.signed_headers,
            body=request.body,
        )
        if not hmac.compare_digest(expected, claim.signature):
            raise InvalidSignature(
                f"`Authorization`: got a signature that does not fit the request, want one made with the secret of "
                f"{key.access_key_id}: check the secret access key, and that no proxy changes the host or the headers"
            )
        return key

    def _check_scope(self, claim: Authorization) -> None:
        if claim.service != _SERVICE:
            raise InvalidSignature(f"`Credential`: got a scope of service {claim.service!r}, want {_SERVICE!r}")
        if self._region is not None and claim.region != self._region:
            raise InvalidSignature(
                f"`Credential`: got a scope of region {claim.region!r}, want {self._region!r}: set the client's region"
            )

    def _check_time(self, claim: Authorization, text: str, *, valid_for: timedelta) -> None:
        """Check when a request was signed.

        Args:
            claim: The credentials.
            text: The time, as sent.
            valid_for: How long after that the signature is valid.
        """
        signed_at = _parse_date(text)
        if text[:8] != claim.date:
            raise InvalidSignature(f"`Credential`: got a scope of {claim.date}, want the day of X-Amz-Date, {text[:8]}")
        now = self._clock.now()
        if now - signed_at > valid_for:
            raise InvalidSignature(
                f"Signature expired: `X-Amz-Date`: got {text}, want at most {valid_for.total_seconds():.0f} s before "
                f"{now.strftime(_DATE_FORMAT)}: sign again, or set the client's clock"
            )
        if signed_at - now > self._tolerance:
            raise InvalidSignature(
                f"Signature not yet current: `X-Amz-Date`: got {text}, want at most "
                f"{self._tolerance.total_seconds():.0f} s after {now.strftime(_DATE_FORMAT)}: set the client's clock"
            )

    def _find(self, access_key_id: str) -> AccessKey:
        try:
            key = self._keys.find(access_key_id)
        except (InvalidInput, Unavailable) as error:
            # The file's state is for the operator: it goes into the log, and not to the caller.
            raise TailorbirdError(error.message) from error
        if key is None or not key.active:
            raise UnrecognizedClient(
                f"`Credential`: got access key {access_key_id}, want one of this installation that is not revoked "
                "(`tailorbird keys list`)"
            )
        return key


def _parse_date(text: str) -> datetime:
    # strptime costs more than the rest of the check.
    if _DATE.fullmatch(text):
        try:
            return datetime.fromisoformat(text)
        except ValueError:
            pass  # digits that are not a date
    raise IncompleteSignature(f"`X-Amz-Date`: got {text[:64]!r}, want YYYYMMDDTHHMMSSZ")


def _check_query(query: str) -> None:
    if len(query) > _MAX_QUERY or query.count("&") >= _MAX_PARAMETERS:
        raise IncompleteSignature(
            f"query: got {len(query)} characters in {query.count('&') + 1} parameters, want at most {_MAX_QUERY} in "
            f"{_MAX_PARAMETERS}"
        )


def _check_signed_headers(claim: Authorization, headers: Mapping[str, str], required: set[str]) -> None:
    signed = set(claim.signed_headers)
    if absent := sorted(signed - headers.keys()):
        raise IncompleteSignature(f"`SignedHeaders`: got {', '.join(absent)}, which the request does not carry")
    # Headers x-amz-* name the operation, the time and the body, so the caller has to have signed them.
    named = {*required, *(name for name in headers if name.startswith("x-amz-"))}
    if unsigned := sorted(named - signed):
        raise IncompleteSignature(f"`SignedHeaders`: got none of {', '.join(unsigned)}, want them signed")


def _check_body(request: SignedRequest) -> None:
    claimed = request.headers.get("x-amz-content-sha256")
    if claimed is None:
        return  # then the signature itself covers the hash of the body
    if not hmac.compare_digest(claimed.encode(), hashlib.sha256(request.body).hexdigest().encode()):
        raise InvalidSignature(
            f"`X-Amz-Content-SHA256`: got {claimed[:64]!r}, want the SHA-256 of the body in hexadecimal digits (an "
            "unsigned payload is not accepted)"
        )
