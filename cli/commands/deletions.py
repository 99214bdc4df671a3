"""`tailorbird deletions`: shows the deletions of users, and proves where a user is and is not."""

from __future__ import annotations

import json
import time
from typing import Annotated, Final

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.table import Table

from cli.commands.options import DEFAULT_DATA_DIR, DataDir
from cli.connection import (
    CaFile,
    CertFile,
    Connection,
    ControlPlaneAddress,
    KeyFile,
    TokenFile,
    resolve_connection,
    runtime_connections,
)
from cli.user_search import RuntimeAnswer, UserPlaces
from common.errors import TailorbirdError, Unavailable, invalid
from common.settings import TlsFiles
from protos.tailorbird.control.v1 import (
    common_pb2,
    control_plane_service_pb2_grpc,
    data_deletion_job_pb2,
    dataset_group_pb2,
    user_search_service_pb2_grpc,
)
from protos.tailorbird.control.v1 import user_search_service_pb2 as api
from protos.tailorbird.internal.v1 import user_histories_pb2, user_histories_pb2_grpc

__all__ = ["app"]

app = typer.Typer(help="Deletions of users, and where a user is and is not.", no_args_is_help=True)
_CALL_SECONDS: Final = 30.0
_LOOK_SECONDS: Final = 0.2
#: Exit code when the user is somewhere, or it is not proven that it is nowhere.
_NOT_PROVEN: Final = 3
GroupName = Annotated[
    str | None, typer.Option("--dataset-group", help="ARN or name of the dataset group.", show_default=False)
]
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON.")]


@app.command("list")
def list_deletions(
    dataset_group: GroupName = None,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    control_plane: ControlPlaneAddress = None,
    token_file: TokenFile = None,
    tls_ca_file: CaFile = None,
    tls_cert_file: CertFile = None,
    tls_key_file: KeyFile = None,
) -> None:
    """List data deletion jobs, newest first."""
    tls = TlsFiles(tls_cert_file, tls_key_file, tls_ca_file)
    connection = resolve_connection(data_dir, target=control_plane, token_file=token_file, tls=tls)
    jobs: list[data_deletion_job_pb2.DataDeletionJobSummary] = []
    with connection.open() as channel:
        stub = control_plane_service_pb2_grpc.ControlPlaneServiceStub(channel)
        request = data_deletion_job_pb2.ListDataDeletionJobsRequest()
        if dataset_group is not None:
            request.dataset_group_arn = _group_arn(stub, dataset_group)
        while True:
            page = stub.ListDataDeletionJobs(request, timeout=_CALL_SECONDS)
            jobs += page.data_deletion_jobs
            if not page.next_token:
                break
            request.next_token = page.next_token
    if as_json:
        typer.echo(json.dumps([json_format.MessageToDict(job, preserving_proto_field_name=True) for job in jobs]))
        return
    table = Table("job", "status", "created", "dataset group")
    for job in jobs:
        status = common_pb2.ResourceStatus.Name(job.status).removeprefix("RESOURCE_STATUS_")
        created = f"{job.creation_date_time.ToDatetime():%Y-%m-%dT%H:%M:%SZ}"
        table.add_row(job.data_deletion_job_arn, status, created, job.dataset_group_arn)
    Console().print(table)


@app.command("show")
def show(
    user_id: Annotated[str, typer.Argument(help="The user.")],
    dataset_group: GroupName = None,
    job: Annotated[
        str | None, typer.Option("--job", help="ARN of the one deletion to be told of.", show_default=False)
    ] = None,
    as_json: AsJson = False,
    runtime: Annotated[
        list[str] | None,
        typer.Option("--runtime", help="HOST:PORT of a runtime of each host; default: that of the data directory."),
    ] = None,
    wait_seconds: Annotated[float, typer.Option("--wait", min=1, help="Seconds that the search may take.")] = 600,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    control_plane: ControlPlaneAddress = None,
    token_file: TokenFile = None,
    tls_ca_file: CaFile = None,
    tls_cert_file: CertFile = None,
    tls_key_file: KeyFile = None,
) -> None:
    """Prove where a user is and is not; the exit code is 0 only when the user is nowhere, and 3 otherwise."""
    if dataset_group is None and job is None:
        raise invalid("dataset-group", got=None, want="a dataset group, or a deletion with --job")
    tls = TlsFiles(tls_cert_file, tls_key_file, tls_ca_file)
    connection = resolve_connection(data_dir, target=control_plane, token_file=token_file, tls=tls)
    search = _search(connection, user_id, dataset_group=dataset_group, job=job, wait_seconds=wait_seconds)
    histories = [
        _ask(item, search.dataset_group_arn, user_id)
        for item in runtime_connections(connection, runtime or [], data_dir=data_dir)
    ]
    places = UserPlaces(search, histories)
    if as_json:
        typer.echo(json.dumps(places.as_json(), indent=2))
    else:
        Console().print(places.view())
    if not places.is_nowhere:
        raise typer.Exit(_NOT_PROVEN)


def _search(
    connection: Connection, user_id: str, *, dataset_group: str | None, job: str | None, wait_seconds: float
) -> api.UserSearch:
    """Have the user looked for, and return the search when it is done."""
    with connection.open() as channel:
        request = api.CreateUserSearchRequest(user_id=user_id, data_deletion_job_arn=job)
        if dataset_group is not None:
            control = control_plane_service_pb2_grpc.ControlPlaneServiceStub(channel)
            request.dataset_group_arn = _group_arn(control, dataset_group)
        stub = user_search_service_pb2_grpc.UserSearchServiceStub(channel)
        arn = stub.CreateUserSearch(request, timeout=_CALL_SECONDS).user_search_arn
        question = api.DescribeUserSearchRequest(user_search_arn=arn)
        until = time.monotonic() + wait_seconds
        while True:
            search = stub.DescribeUserSearch(question, timeout=_CALL_SECONDS).user_search
            if search.status == common_pb2.RESOURCE_STATUS_ACTIVE:
                return search
            if search.status == common_pb2.RESOURCE_STATUS_CREATE_FAILED:
                raise Unavailable(f"the search failed: {search.failure_reason}")
            if time.monotonic() >= until:
                raise Unavailable(f"the search {arn} is not done after {wait_seconds:g} s; is a trainer running?")
            time.sleep(_LOOK_SECONDS)


def _ask(runtime: Connection, group_arn: str, user_id: str) -> RuntimeAnswer:
    """Ask a runtime for the histories of its host."""
    request = user_histories_pb2.FindUserHistoryRequest(dataset_group_arn=group_arn, user_id=user_id)
    try:
        with runtime.open() as channel:
            stub = user_histories_pb2_grpc.UserHistoryServiceStub(channel)
            answer = stub.FindUserHistory(request, timeout=_CALL_SECONDS)
    except TailorbirdError as error:
        return RuntimeAnswer(runtime.target, reason=error.message)
    return RuntimeAnswer(runtime.target, answer.runtime_id, answer.events)


def _group_arn(stub: control_plane_service_pb2_grpc.ControlPlaneServiceStub, group: str) -> str:
    """Return the ARN of a dataset group that is given by ARN or name."""
    if group.startswith("arn:"):
        return group
    request = dataset_group_pb2.ListDatasetGroupsRequest()
    while True:
        page = stub.ListDatasetGroups(request, timeout=_CALL_SECONDS)
        for item in page.dataset_groups:
            if item.name == group:
                return item.dataset_group_arn
        if not page.next_token:
            raise invalid("dataset-group", got=group, want="the ARN or the name of a dataset group that exists")
        request.next_token = page.next_token
