"""`tailorbird solutions`: compares the evaluations of solution versions."""

from __future__ import annotations

import json
from enum import StrEnum
from typing import Annotated

import typer
from google.protobuf import json_format
from rich.console import Console

from cli.commands.options import DEFAULT_DATA_DIR, DataDir
from cli.comparison import comparison_view
from cli.connection import CaFile, CertFile, ControlPlaneAddress, KeyFile, TokenFile, resolve_connection
from common.settings import TlsFiles
from protos.tailorbird.control.v1 import evaluation_service_pb2 as api
from protos.tailorbird.control.v1 import evaluation_service_pb2_grpc as grpc_api

__all__ = ["app"]

app = typer.Typer(help="What was measured of solution versions.", no_args_is_help=True)


class Output(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


@app.command("compare")
def compare(
    solution_arn: Annotated[str, typer.Argument(help="ARN of the solution, or of a recommender.")],
    version_arns: Annotated[
        list[str] | None, typer.Argument(help="ARNs of versions; without any, the newest five.", show_default=False)
    ] = None,
    output: Annotated[Output, typer.Option("--output", help="table, or json with everything.")] = Output.TABLE,
    without_repeats: Annotated[
        bool, typer.Option("--without-repeats", help="Show lists without what users have used already.")
    ] = False,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    control_plane: ControlPlaneAddress = None,
    token_file: TokenFile = None,
    tls_ca_file: CaFile = None,
    tls_cert_file: CertFile = None,
    tls_key_file: KeyFile = None,
) -> None:
    """Show versions of a solution or a recommender beside each other, baselines and the versions before them."""
    tls = TlsFiles(tls_cert_file, tls_key_file, tls_ca_file)
    connection = resolve_connection(data_dir, target=control_plane, token_file=token_file, tls=tls)
    with connection.open() as channel:
        request = api.CompareSolutionVersionsRequest(
            solution_arn=solution_arn, solution_version_arns=version_arns or []
        )
        response = grpc_api.EvaluationServiceStub(channel).CompareSolutionVersions(request)
    versions = response.solution_version_evaluations
    if output is Output.JSON:
        documents = [json_format.MessageToDict(item, preserving_proto_field_name=True) for item in versions]
        typer.echo(json.dumps(documents, indent=2))
        return
    Console().print(comparison_view(list(versions), without_repeats=without_repeats))
