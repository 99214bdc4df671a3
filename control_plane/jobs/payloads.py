"""How the payloads of jobs are kept: as protobuf's JSON of the contract's messages, keyed by field names."""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf import json_format
from google.protobuf.message import Message

from control_plane.metadata_store.tables import Job

__all__ = ["read_payload", "write_payload"]

Payload = TypeVar("Payload", bound=Message)


def read_payload(job: Job, payload_class: type[Payload]) -> Payload:
    """Return the payload of a job; empty once the job is finished."""
    # A newer control plane on the same database may have written more than this one knows.
    return json_format.ParseDict(job.payload, payload_class(), ignore_unknown_fields=True)


def write_payload(payload: Message) -> dict[str, Any]:
    """Return what the row of a job keeps of its payload."""
    return json_format.MessageToDict(payload, preserving_proto_field_name=True)
