"""Offsets of the event log in the metadata of calls: what a request waits for, and what an answer includes."""

from __future__ import annotations

from typing import Any

from common.event_offsets import OFFSET_KEY, WAIT_KEY
from common.logs import request_id
from common.positions import Position
from common.rpc.call_policy import REQUEST_ID_KEY
from common.rpc.handlers import invocation_metadata

__all__ = ["required_offset", "tell_offset"]


def tell_offset(context: Any, position: Position) -> None:
    """Send an offset behind the response, beside the request id: metadata that is set replaces what was set before."""
    context.set_trailing_metadata(((REQUEST_ID_KEY, request_id.get()), (OFFSET_KEY, str(position))))


def required_offset() -> Position | None:
    """Return the offset that the caller of the call that this task serves wants to be included; None for none.

    Raises:
        InvalidInput: What the caller sent is no offset.
    """
    for key, value in invocation_metadata():
        if key == WAIT_KEY and isinstance(value, str):
            return Position.parse(value, field=WAIT_KEY)
    return None
