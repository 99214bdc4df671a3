"""`tailorbird jobs`: what trainers work on, what waits for one, and how far a training is."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from google.protobuf import json_format
from rich.console import Console
from rich.live import Live

from cli.commands.options import DEFAULT_DATA_DIR, DataDir
from cli.connection import CaFile, CertFile, ControlPlaneAddress, KeyFile, TokenFile, resolve_connection
from cli.jobs_view import job_line, job_view, jobs_table
from common.errors import Unavailable, invalid
from common.settings import TlsFiles
from protos.tailorbird.control.v1 import job_status_service_pb2 as api
from protos.tailorbird.control.v1.job_status_service_pb2_grpc import JobStatusServiceStub

__all__ = ["app"]

app = typer.Typer(help="What trainers work on, and what waits for one.", no_args_is_help=True)
_CALL_SECONDS: Final = 30.0
AsJson = Annotated[bool, typer.Option("--json", help="Write JSON, one line for each look.")]


@app.command("list")
def list_jobs(
    ended: Annotated[bool, typer.Option("--ended", help="Show the newest jobs that have ended, too.")] = False,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    control_plane: ControlPlaneAddress = None,
    token_file: TokenFile = None,
    tls_ca_file: CaFile = None,
    tls_cert_file: CertFile = None,
    tls_key_file: KeyFile = None,
) -> None:
    """List the jobs that wait or run, the oldest first."""
    tls = TlsFiles(tls_cert_file, tls_key_file, tls_ca_file)
    connection = resolve_connection(data_dir, target=control_plane, token_file=token_file, tls=tls)
    with connection.open() as channel:
        jobs = _jobs(JobStatusServiceStub(channel), api.ListJobsRequest(ended=ended))
    if as_json:
        typer.echo(_line(jobs))
    else:
        Console().print(jobs_table(jobs))


@app.command("watch")
def watch(
    resource_arn: Annotated[
        str | None,
        typer.Argument(help="ARN of a solution version, or of another resource; without it, all.", show_default=False),
    ] = None,
    every: Annotated[float, typer.Option(help="Seconds between two looks.", min=0.1, max=60)] = 1.0,
    as_json: AsJson = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    control_plane: ControlPlaneAddress = None,
    token_file: TokenFile = None,
    tls_ca_file: CaFile = None,
    tls_cert_file: CertFile = None,
    tls_key_file: KeyFile = None,
) -> None:
    """Follow the job of a resource until it ends, or all jobs until Ctrl-C; the exit code is 1 when it failed."""
    tls = TlsFiles(tls_cert_file, tls_key_file, tls_ca_file)
    connection = resolve_connection(data_dir, target=control_plane, token_file=token_file, tls=tls)
    request = api.ListJobsRequest(resource_arn=resource_arn, ended=resource_arn is not None)
    with connection.open() as channel:
        stub = JobStatusServiceStub(channel)
        with _shown(whole_screen=resource_arn is None, as_json=as_json) as show:
            while True:
                jobs = _looked_at(_jobs(stub, request), resource_arn)
                show(jobs)
                if resource_arn is not None and jobs[0].HasField("ended_date_time"):
                    break
                threading.Event().wait(every)
    if jobs[0].state == "FAILED":
        raise Unavailable(f"the job failed: {jobs[0].failure_reason}")


@contextmanager
def _shown(*, whole_screen: bool, as_json: bool) -> Iterator[Callable[[list[api.JobStatus]], None]]:
    """Give what shows jobs at each look: in place on a terminal, line by line elsewhere."""
    console = Console()
    if as_json:
        yield lambda jobs: typer.echo(_line(jobs))
    elif not console.is_terminal:
        yield lambda jobs: console.print(jobs_table(jobs)) if whole_screen else typer.echo(job_line(jobs[0]))
    else:
        with Live(console=console, auto_refresh=False, screen=whole_screen) as live:
            yield lambda jobs: live.update(jobs_table(jobs) if whole_screen else job_view(jobs[0]), refresh=True)


def _jobs(stub: JobStatusServiceStub, request: api.ListJobsRequest) -> list[api.JobStatus]:
    return list(stub.ListJobs(request, timeout=_CALL_SECONDS).jobs)


def _looked_at(jobs: list[api.JobStatus], resource_arn: str | None) -> list[api.JobStatus]:
    """Return all jobs, or the one of a resource that waits or runs, or that ended last.

    Raises:
        InvalidInput: The resource has none.
    """
    if resource_arn is None:
        return jobs
    if not jobs:
        raise invalid("resource_arn", got=resource_arn, want="a resource with a job: `tailorbird jobs list --ended`")
    return jobs[:1]


def _line(jobs: Sequence[api.JobStatus]) -> str:
    return json.dumps([json_format.MessageToDict(job, preserving_proto_field_name=True) for job in jobs])
