"""Page tokens: opaque to callers, bound to the request they came from.

A token is a position in a stable order, so that entries created or deleted between two pages neither repeat nor hide
others. It grants nothing: whoever forges one reads what the list shows anyway. The digest only finds tokens that were
cut, edited, or brought to another list.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from dataclasses import dataclass
from datetime import datetime

from common.errors import InvalidNextToken

__all__ = ["Position", "read_token", "write_token"]

_DIGEST_BYTES = 9


@dataclass(frozen=True, slots=True)
class Position:
    """The last entry of a page: entries are ordered by creation, then by ARN."""

    created: datetime
    arn: str


def write_token(position: Position, *, scope: str) -> str:
    """Return the token for the page behind `position`.

    Args:
        position: The last entry of this page.
        scope: The operation and its filters; the token is good for the same scope only.
    """
    body = json.dumps([position.created.isoformat(), position.arn]).encode()
    return base64.urlsafe_b64encode(_digest(body, scope) + body).decode()


def read_token(token: str, *, scope: str) -> Position:
    """Return the position in a token.

    Raises:
        InvalidNextToken: This service did not make it, or made it for a list with other filters.
    """
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except (binascii.Error, ValueError) as error:
        raise _bad(token) from error
    digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if digest != _digest(body, scope):
        raise _bad(token)
    created, arn = json.loads(body)
    return Position(datetime.fromisoformat(created), arn)


def _digest(body: bytes, scope: str) -> bytes:
    return hashlib.sha256(scope.encode() + b"\0" + body).digest()[:_DIGEST_BYTES]


def _bad(token: str) -> InvalidNextToken:
    return InvalidNextToken(
        f"`nextToken`: got {token[:40]!r}, want the token of the previous answer to the same request"
    )
