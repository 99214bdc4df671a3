"""Calls of the control plane by kind of resource; the RPCs and messages are found by the names in the contracts."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from cli.declaration.kinds import METHODS, Kind
from common.errors import ResourceNotFound, TailorbirdError
from common.rpc import from_rpc_error
from protos.tailorbird.control.v1 import control_plane_service_pb2, tag_pb2

__all__ = ["ControlPlaneApi", "new_message"]

_SERVICE: Final = control_plane_service_pb2.DESCRIPTOR.services_by_name["ControlPlaneService"].full_name
_PAGE: Final = 100


def new_message(method: str, **fields: Any) -> Any:
    """Return the request of an RPC with some of its fields set."""
    return GetMessageClass(METHODS[method].input_type)(**fields)


class ControlPlaneApi:
    """The operations of the control plane.

    Args:
        channel: A channel whose calls carry a token.
    """

    def __init__(self, channel: grpc.Channel) -> None:
        self._calls = {
            name: channel.unary_unary(
                f"/{_SERVICE}/{name}",
                request_serializer=GetMessageClass(method.input_type).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            for name, method in METHODS.items()
        }

    def call(self, method: str, request: Message) -> Any:
        """Call an RPC.

        Raises:
            TailorbirdError: As the control plane reports it.
        """
        try:
            return self._calls[method](request)
        except grpc.RpcError as error:
            raise from_rpc_error(error) from error

    def create(self, kind: Kind, request: Message) -> str:
        """Create a resource; return its ARN."""
        return str(getattr(self.call(f"Create{kind}", request), kind.arn_field))

    def describe(self, kind: Kind, arn: str) -> Any:
        """Return a described resource, None if there is no such resource."""
        try:
            response = self.call(f"Describe{kind}", new_message(f"Describe{kind}", **{kind.arn_field: arn}))
        except ResourceNotFound:
            return None
        (field,) = response.DESCRIPTOR.fields
        return getattr(response, field.name)

    def summaries(self, kind: Kind, **parent: str) -> Iterator[Any]:
        """Yield the summaries of all resources of a kind, or of those that belong to a parent."""
        method = f"List{kind}s"
        request = new_message(method, max_results=_PAGE, **parent)
        (field,) = (item for item in METHODS[method].output_type.fields if item.is_repeated)
        while True:
            response = self.call(method, request)
            yield from getattr(response, field.name)
            if not response.next_token:
                return
            request.next_token = response.next_token

    def delete(self, kind: Kind, arn: str) -> None:
        """Begin to delete a resource; one that is gone is no error."""
        try:
            self.call(f"Delete{kind}", new_message(f"Delete{kind}", **{kind.arn_field: arn}))
        except ResourceNotFound:
            return

    def tags(self, arn: str) -> dict[str, str]:
        """Return the tags of a resource."""
        response = self.call("ListTagsForResource", tag_pb2.ListTagsForResourceRequest(resource_arn=arn))
        return {tag.tag_key: tag.tag_value for tag in response.tags}

    def set_tags(self, arn: str, *, tags: dict[str, str], removed: list[str]) -> None:
        """Add or change tags of a resource, and remove others."""
        if tags:
            request = new_message("TagResource", resource_arn=arn)
            for key, value in tags.items():
                request.tags.add(tag_key=key, tag_value=value)
            self.call("TagResource", request)
        if removed:
            self.call("UntagResource", new_message("UntagResource", resource_arn=arn, tag_keys=removed))

    def arn_prefix(self) -> str | None:
        """Return what the ARNs of this account begin with, None while it has neither groups nor schemas.

        Raises:
            TailorbirdError: An ARN is none.
        """
        for kind in (Kind.DATASET_GROUP, Kind.SCHEMA):
            for summary in self.summaries(kind):
                arn = str(getattr(summary, kind.arn_field))
                prefix, separator, _ = arn.partition(f":{kind.in_arn}/")
                if not separator:
                    raise TailorbirdError(f"`{kind.arn_field}`: got {arn}, want an ARN of a {kind.words}")
                return f"{prefix}:"
        return None
