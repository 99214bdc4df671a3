"""Parses the `Authorization` header of Signature Version 4: key, scope, signed headers, signature."""

from __future__ import annotations

import re
from dataclasses import dataclass

from common.errors import Unauthenticated
from gateway.errors import IncompleteSignature

__all__ = ["ALGORITHM", "Authorization", "authorization_of", "parse_authorization"]

ALGORITHM = "AWS4-HMAC-SHA256"

_WANT = f"`{ALGORITHM} Credential=KEY/DATE/REGION/SERVICE/aws4_request, SignedHeaders=NAME;NAME, Signature=HEX`"
_PART = re.compile(r"\s*(Credential|SignedHeaders|Signature)=([^\s,]+)\s*")
_SCOPE = re.compile(r"([A-Za-z0-9]{1,128})/(\d{8})/([a-z0-9\-]{1,64})/([a-z0-9\-]{1,64})/aws4_request")
_HEADERS = re.compile(r"[a-z0-9!#$%&'*+.^_`|~\-]+(;[a-z0-9!#$%&'*+.^_`|~\-]+)*")
_SIGNATURE = re.compile(r"[0-9a-f]{64}")
#: A whole header as SDKs write it: read at once, where the parts one by one would say what is wrong.
_USUAL = re.compile(
    rf"{ALGORITHM} Credential={_SCOPE.pattern}, SignedHeaders=({_HEADERS.pattern}), Signature=({_SIGNATURE.pattern})"
)


@dataclass(frozen=True, slots=True)
class Authorization:
    """The parts of the header; nothing in them is proven.

    Attributes:
        access_key_id: The key that the caller claims to have signed with.
        date: Day of the scope, `YYYYMMDD`.
        region: Region of the scope.
        service: Service of the scope.
        signed_headers: Names in lower case, in the order given.
        signature: 64 hexadecimal digits.
    """

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str


def parse_authorization(header: str | None) -> Authorization:
    """Parse an `Authorization` header.

    Raises:
        Unauthenticated: There is no header.
        IncompleteSignature: It is of another scheme, or a part is missing or misspelt.
    """
    if not header:
        raise Unauthenticated(
            f"`Authorization`: got no such header, want {_WANT}: give the client an access key "
            "(`tailorbird keys create`)"
        )
    if (usual := _USUAL.fullmatch(header)) is not None:
        key, date, region, service, signed, _, signature = usual.groups()
        return Authorization(key, date, region, service, tuple(signed.split(";")), signature)
    algorithm, _, rest = header.partition(" ")
    if algorithm != ALGORITHM:
        raise IncompleteSignature(f"`Authorization`: got another scheme than {ALGORITHM}, want {_WANT}")
    parts: dict[str, str] = {}
    for piece in rest.split(","):
        match = _PART.fullmatch(piece)
        if match is None or match[1] in parts:
            raise IncompleteSignature(f"`Authorization`: got a part that cannot be read, want {_WANT}")
        parts[match[1]] = match[2]
    if missing := [name for name in ("Credential", "SignedHeaders", "Signature") if name not in parts]:
        raise IncompleteSignature(f"`Authorization`: got no {' and no '.join(missing)}, want {_WANT}")
    return authorization_of(
        credential=parts["Credential"],
        signed_headers=parts["SignedHeaders"],
        signature=parts["Signature"],
        place="Authorization",
    )


def authorization_of(*, credential: str, signed_headers: str, signature: str, place: str) -> Authorization:
    """Return parts of credentials, each of them well formed.

    Raises:
        IncompleteSignature: One is not.
    """
    scope = _SCOPE.fullmatch(credential)
    if scope is None:
        raise IncompleteSignature(
            f"`{place}`: got a Credential that cannot be read, want KEY/DATE/REGION/SERVICE/aws4_request"
        )
    if _HEADERS.fullmatch(signed_headers) is None:
        raise IncompleteSignature(f"`{place}`: got SignedHeaders that cannot be read, want names in lower case by `;`")
    if _SIGNATURE.fullmatch(signature) is None:
        raise IncompleteSignature(f"`{place}`: got a Signature that cannot be read, want 64 hexadecimal digits")
    return Authorization(
        access_key_id=scope[1],
        date=scope[2],
        region=scope[3],
        service=scope[4],
        signed_headers=tuple(signed_headers.split(";")),
        signature=signature,
    )
