"""LocalStorageService: what a runtime keeps on the disk of its host, whichever of its workers is asked."""

from __future__ import annotations

import asyncio
import socket
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc.aio

from common.artifacts import kept_copies
from common.disk_usage import disk_usage
from protos.tailorbird.internal.v1 import local_storage_pb2, local_storage_pb2_grpc

__all__ = ["SERVICE", "LocalFolders", "LocalStorageServicer"]

SERVICE = local_storage_pb2.DESCRIPTOR.services_by_name["LocalStorageService"]


@dataclass(frozen=True, slots=True)
class LocalFolders:
    """Where a runtime keeps what.

    Attributes:
        copies: Artifacts from a store elsewhere.
        histories: What users did, and which items were shown.
    """

    copies: Path
    histories: Path


class LocalStorageServicer(local_storage_pb2_grpc.LocalStorageServiceServicer):
    """Tells operators how large the copies and histories are.

    Args:
        folders: Where they are.
    """

    def __init__(self, folders: LocalFolders) -> None:
        self._folders = folders

    async def DescribeLocalStorage(
        self,
        request: local_storage_pb2.DescribeLocalStorageRequest,  # noqa: ARG002 - nothing to choose
        context: grpc.aio.ServicerContext[Any, Any],  # noqa: ARG002 - gRPC passes a context to every method
    ) -> local_storage_pb2.DescribeLocalStorageResponse:
        """Look through the folders, beside the event loop."""
        parts = await asyncio.to_thread(self._parts)
        return local_storage_pb2.DescribeLocalStorageResponse(host=socket.gethostname(), parts=parts)

    def _parts(self) -> list[local_storage_pb2.LocalStorage]:
        named = [("histories", self._folders.histories)]
        named += [
            (f"copy of {location}", folder) for location, folder in sorted(kept_copies(self._folders.copies).items())
        ]
        usages = ((name, disk_usage(folder)) for name, folder in named)
        return [
            local_storage_pb2.LocalStorage(name=name, bytes=usage.bytes, files=usage.files) for name, usage in usages
        ]
