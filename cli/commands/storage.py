"""`tailorbird storage`: shows what takes the room in the store, and on the hosts of the services."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from google.protobuf import json_format
from google.protobuf.timestamp_pb2 import Timestamp
from rich.console import Console

from cli.commands.options import DEFAULT_DATA_DIR, DataDir
from cli.connection import CaFile, CertFile, ControlPlaneAddress, KeyFile, TokenFile, resolve_connection
from cli.storage_view import HostStorage, storage_rows, storage_view
from common.errors import TailorbirdError, Unavailable
from common.settings import TlsFiles
from protos.tailorbird.control.v1 import storage_service_pb2 as api
from protos.tailorbird.control.v1 import storage_service_pb2_grpc as grpc_api
from protos.tailorbird.internal.v1 import local_storage_pb2, local_storage_pb2_grpc

__all__ = ["storage"]

#: For one page of the list, and for one service's look through its folders.
_CALL_SECONDS: Final = 30.0
_PAUSE_SECONDS: Final = 0.5


class Output(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


def storage(
    output: Annotated[Output, typer.Option("--output", help="table, or json with everything.")] = Output.TABLE,
    now: Annotated[
        bool, typer.Option("--now", help="Put the storage in order and count it now, and wait for that.")
    ] = False,
    wait_seconds: Annotated[float, typer.Option("--wait-seconds", min=0, help="How long --now waits.")] = 600.0,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    control_plane: ControlPlaneAddress = None,
    events_service: Annotated[
        str | None, typer.Option("--events-service", help="HOST:PORT of the events service beside --control-plane.")
    ] = None,
    runtime_service: Annotated[
        str | None, typer.Option("--runtime-service", help="HOST:PORT of a runtime beside --control-plane.")
    ] = None,
    token_file: TokenFile = None,
    tls_ca_file: CaFile = None,
    tls_cert_file: CertFile = None,
    tls_key_file: KeyFile = None,
) -> None:
    """Show what takes the room: datasets, old versions, artifacts, deletions, event log, runtimes' copies."""
    tls = TlsFiles(tls_cert_file, tls_key_file, tls_ca_file)
    connection = resolve_connection(data_dir, target=control_plane, token_file=token_file, tls=tls)
    with connection.open() as channel:
        stub = grpc_api.StorageServiceStub(channel)
        groups = _groups(stub)
        if now:
            groups = _counted_anew(stub, groups, until=time.monotonic() + wait_seconds)
    hosts = [
        _host(process, data_dir, target=target, token_file=token_file, tls=tls)
        for process, target in (("events_service", events_service), ("runtime_service", runtime_service))
        if control_plane is None or target is not None
    ]
    if output is Output.JSON:
        typer.echo(json.dumps(_document(groups, hosts), indent=2))
        return
    Console().print(storage_view(list(groups.values()), hosts))


def _groups(stub: grpc_api.StorageServiceStub) -> dict[str, api.DatasetGroupStorage]:
    """Return what all dataset groups have, by ARN."""
    groups: dict[str, api.DatasetGroupStorage] = {}
    request = api.ListStorageUsageRequest()
    while True:
        page = stub.ListStorageUsage(request, timeout=_CALL_SECONDS)
        groups |= {group.dataset_group_arn: group for group in page.dataset_groups}
        if not page.next_token:
            return groups
        request.next_token = page.next_token


def _counted_anew(
    stub: grpc_api.StorageServiceStub, before: Mapping[str, api.DatasetGroupStorage], *, until: float
) -> dict[str, api.DatasetGroupStorage]:
    """Let every group be counted, and return what they have then; say of those that cannot be why.

    Raises:
        Unavailable: The time is up; the jobs go on.
    """
    pending: dict[str, Timestamp] = {}
    for arn, group in before.items():
        request = api.StartStorageMaintenanceRequest(dataset_group_arn=arn)
        started = stub.StartStorageMaintenance(request, timeout=_CALL_SECONDS)
        if started.is_started:
            pending[arn] = group.measured_at
        elif started.unfinished_jobs:
            typer.echo(f"{arn}: not counted now: {started.unfinished_jobs} of its jobs wait or run", err=True)
    while True:
        groups = _groups(stub)
        # A group that is deleted meanwhile is waited for no more.
        pending = {arn: at for arn, at in pending.items() if arn in groups and groups[arn].measured_at == at}
        if not pending:
            return groups
        if time.monotonic() >= until:
            raise Unavailable(
                f"`wait-seconds`: {len(pending)} dataset groups are not counted yet, {', '.join(sorted(pending)[:3])} "
                "among them; want a trainer that works, or more time: the jobs go on"
            )
        time.sleep(_PAUSE_SECONDS)


def _host(process: str, data_dir: Path, *, target: str | None, token_file: Path | None, tls: TlsFiles) -> HostStorage:
    """Return what a service keeps on its host, or why it could not be asked: the rest is shown all the same."""
    try:
        connection = resolve_connection(data_dir, target=target, token_file=token_file, tls=tls, process=process)
        with connection.open() as channel:
            stub = local_storage_pb2_grpc.LocalStorageServiceStub(channel)
            request = local_storage_pb2.DescribeLocalStorageRequest()
            return HostStorage(process, stub.DescribeLocalStorage(request, timeout=_CALL_SECONDS))
    except TailorbirdError as error:
        return HostStorage(process, None, error.message)


def _document(groups: Mapping[str, api.DatasetGroupStorage], hosts: list[HostStorage]) -> dict[str, Any]:
    rows = storage_rows(list(groups.values()), hosts)

    def plain(message: Any) -> dict[str, Any]:
        return json_format.MessageToDict(message, preserving_proto_field_name=True)

    return {
        "total_bytes": sum(row.bytes for row in rows),
        "freed_bytes": sum(row.bytes for row in rows if row.is_freed),
        "dataset_groups": [plain(group) for group in groups.values()],
        "hosts": [
            {"process": host.process, **({"reason": host.reason} if host.storage is None else plain(host.storage))}
            for host in hosts
        ],
    }
