"""`tailorbird explain`: says why an answer of the runtime is what it is."""

from __future__ import annotations

from typing import Annotated, Final, Literal

import typer
from google.protobuf import json_format
from rich.console import Console, Group
from rich.table import Table
from rich.text import Text

from cli.commands.options import DEFAULT_DATA_DIR, DataDir
from cli.connection import CaFile, CertFile, KeyFile, TokenFile, resolve_connection
from common.errors import invalid
from common.settings import TlsFiles
from protos.tailorbird.runtime.v1 import explanation_service_pb2 as api
from protos.tailorbird.runtime.v1 import explanation_service_pb2_grpc

__all__ = ["explain"]

_CALL_SECONDS: Final = 30.0
_Number = Literal["model_score", "ranking_influence", "history_rules", "exploration_bonus"]


def explain(
    arn: Annotated[str, typer.Argument(help="ARN of the campaign or recommender that answers.")],
    recommendation_id: Annotated[
        str | None, typer.Argument(help="An answer of a moment ago; else say what is asked by options.")
    ] = None,
    user: Annotated[str | None, typer.Option("--user", help="The user.", show_default=False)] = None,
    item: Annotated[
        str | None, typer.Option("--item", help="The item that others are to be similar to.", show_default=False)
    ] = None,
    count: Annotated[int, typer.Option("--count", min=1, help="Results at most.")] = 10,
    why_not: Annotated[
        list[str] | None, typer.Option("--why-not", help="An item that is missed in the list.", show_default=False)
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON.")] = False,
    runtime: Annotated[
        str | None, typer.Option("--runtime", help="HOST:PORT of a runtime not started in the data directory.")
    ] = None,
    data_dir: DataDir = DEFAULT_DATA_DIR,
    token_file: TokenFile = None,
    tls_ca_file: CaFile = None,
    tls_cert_file: CertFile = None,
    tls_key_file: KeyFile = None,
) -> None:
    """Explain an earlier answer, or the answer to a request: scores, ranks, rules, and what of the history counts."""
    request = api.ExplainRecommendationsRequest(explained_ids=why_not or [])
    if ":campaign/" in arn:
        request.campaign_arn = arn
    elif ":recommender/" in arn:
        request.recommender_arn = arn
    else:
        raise invalid("arn", got=arn, want="the ARN of a campaign or of a recommender")
    if recommendation_id is None:
        request.num_results = count
        if user is not None:
            request.user_id = user
        if item is not None:
            request.item_id = item
    else:
        request.recommendation_id = recommendation_id
    tls = TlsFiles(tls_cert_file, tls_key_file, tls_ca_file)
    connection = resolve_connection(data_dir, target=runtime, token_file=token_file, tls=tls, process="runtime_service")
    with connection.open() as channel:
        stub = explanation_service_pb2_grpc.ExplanationServiceStub(channel)
        explanation = stub.ExplainRecommendations(request, timeout=_CALL_SECONDS)
    if as_json:
        typer.echo(json_format.MessageToJson(explanation))
    else:
        Console().print(_view(explanation))


def _view(explanation: api.ExplainRecommendationsResponse) -> Group:
    table = Table(
        "place", "item", "how", "score", "model", "rank", "influence", "rules", "explored", "rank", "because of"
    )
    for entry in (*explanation.items, *explanation.other_items):
        table.add_row(
            str(entry.place) if entry.HasField("place") else "-",
            Text(entry.item_id),
            _how(entry),
            f"{entry.score:.7f}" if entry.HasField("score") else "-",
            _number(entry, "model_score"),
            str(entry.model_rank) if entry.HasField("model_rank") else "-",
            _number(entry, "ranking_influence"),
            _number(entry, "history_rules"),
            _number(entry, "exploration_bonus"),
            str(entry.rank) if entry.HasField("rank") else "-",
            Text(", ".join(f"{one.item_id} {one.score_change:+.3f}" for one in entry.contributions)),
        )
    model = explanation.model
    exactness = "exact" if explanation.exact else "not exact: a better item was missed"
    lines = [
        f"{model.recipe}, {model.solution_version_arn or model.artifact_location}, deployment {model.deployment_id}",
        f"index {model.index}; {exactness}; events up to {explanation.event_offset}",
    ]
    if explanation.earlier_answer.model_changed:
        lines.append("Another model answers now than the one whose answer this was.")
    return Group(table, *map(Text, lines))


def _how(entry: api.ExplainedItem) -> str:
    if entry.HasField("place"):
        text = api.CandidateSource.Name(entry.source).removeprefix("CANDIDATE_SOURCE_")
    else:
        text = "not there: " + api.AbsenceReason.Name(entry.absence_reason).removeprefix("ABSENCE_REASON_")
    return text.lower().replace("_", " ") + "".join(f" {arn.rpartition('/')[2]}" for arn in entry.excluding_filter_arns)


def _number(entry: api.ExplainedItem, name: _Number) -> str:
    return f"{getattr(entry, name):.3f}" if entry.HasField(name) else "-"
