"""Page tokens, opaque to callers and valid for one list operation with the same filters.

A token is a position in the order of creation, which is that of commits, so that entries created or deleted between two
pages neither repeat, nor are missed, nor hide others. It gives no access: a forged token shows only what the list shows
anyway. The digest detects tokens that were truncated, edited, or made for another list.
"""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from datetime import UTC, datetime

from common.errors import InvalidNextToken
from common.json_text import is_unicode

__all__ = ["Position", "read_token", "write_token"]

_DIGEST_BYTES = 9
#: The limit of Personalize's tokens.
_MAX_LENGTH = 1500


@dataclass(frozen=True, slots=True)
class Position:
    """The last entry of a page: entries are ordered by creation, then by ARN."""

    created: datetime
    arn: str


def write_token(position: Position, *, scope: str) -> str:
    """Return the token for the page behind `position`.

    Args:
        position: The last entry of this page.
        scope: The operation and its filters; the token is valid for the same scope only.
    """
    body = json.dumps([position.created.isoformat(), position.arn]).encode()
    return base64.urlsafe_b64encode(_digest(body, scope) + body).decode()


def read_token(token: str, *, scope: str) -> Position:
    """Return the position in a token.

    Raises:
        InvalidNextToken: This service did not make it, or made it for a list with other filters.
    """
    if len(token) > _MAX_LENGTH:
        raise _invalid_token(token)
    try:
        raw = base64.b64decode(token.encode(), altchars=b"-_", validate=True)
    except ValueError as error:  # not base64, or not even Unicode
        raise _invalid_token(token) from error
    digest, body = raw[:_DIGEST_BYTES], raw[_DIGEST_BYTES:]
    if digest != _digest(body, scope):
        raise _invalid_token(token)
    try:
        created, arn = json.loads(body)
        position = Position(datetime.fromisoformat(created).astimezone(UTC), arn)
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        # The digest is right, so a caller has computed it for a body of its own.
        raise _invalid_token(token) from error
    if not isinstance(arn, str) or not is_unicode(arn):
        raise _invalid_token(token)
    return position


def _digest(body: bytes, scope: str) -> bytes:
    return hashlib.sha256(scope.encode() + b"\0" + body).digest()[:_DIGEST_BYTES]


def _invalid_token(token: str) -> InvalidNextToken:
    return InvalidNextToken(
        f"`nextToken`: got {token[:40]!r}, want the token of the previous answer to the same request"
    )
