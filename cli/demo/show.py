"""What the demo shows: tables of metrics and recommendations, and the commands to try next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import zip_longest

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from cli.demo.items import DemoData, Showcase
from cli.demo.journey import Recommendations
from cli.shell import python, tailorbird
from cli.system import endpoint_variables
from common.settings import TlsFiles

__all__ = ["before_and_after", "metrics_table", "next_commands", "recommendation_table"]


def metrics_table(model: Mapping[str, float], baseline: Mapping[str, float]) -> Table:
    """Return the metrics of a model beside those of the popularity baseline."""
    table = Table("metric", title="Offline metrics", title_justify="left")
    for heading in ("User-Personalization v2", "popularity", "times popularity"):
        table.add_column(heading, justify="right")
    for name in sorted(model):
        other = baseline.get(name)
        ratio = f"{model[name] / other:.1f}" if other else ""
        table.add_row(name, f"{model[name]:.4f}", "" if other is None else f"{other:.4f}", ratio)
    return table


def recommendation_table(data: DemoData, showcase: Showcase, found: Recommendations) -> Table:
    """Return what a user liked, newest first, beside what is recommended."""
    person = data.users[showcase.user]
    title = f"User {showcase.user}: {person.age}, {person.occupation}; likes {showcase.genre} more than others do"
    table = Table("liked before (newest first)", "recommended", "genres", title=title, title_justify="left")
    table.add_column("score", justify="right")
    liked = data.liked[showcase.user][: len(found.items)]
    for old, new in zip_longest(liked, found.items):
        score = found.scores.get(new) if new else None
        table.add_row(_title(data, old), _title(data, new), _genres(data, new), "" if score is None else f"{score:.4f}")
    return table


def before_and_after(data: DemoData, before: Sequence[str], after: Sequence[str]) -> Table:
    """Return two lists side by side; what is new in the second is marked."""
    table = Table("before", "after", "genres", "", title="The same request, before and after", title_justify="left")
    for old, new in zip_longest(before, after):
        mark = "[bold green]new[/]" if new is not None and new not in before else ""
        table.add_row(_title(data, old), _title(data, new), _genres(data, new), mark)
    return table


def next_commands(
    *,
    endpoint: str,
    control_plane: str,
    access_key: Sequence[str],
    campaign_arn: str,
    user: str,
    where: str,
    tls: TlsFiles | None = None,
) -> RenderableType:
    """Return the commands to go on with, ready to be copied.

    Args:
        endpoint: URL of the gateway.
        control_plane: `host:port`.
        access_key: Lines that say what to sign with.
        campaign_arn: Of the campaign that serves.
        user: Whose recommendations to ask for.
        where: Option that names the data directory, or nothing.
        tls: The certificates that the system speaks TLS with, None when it speaks plain text.
    """
    files = () if tls is None else (tls.cert_file, tls.key_file, tls.ca_file)
    option = f", tls=TlsFiles{tuple(map(str, files))}" if files else ""
    trust = "-cert {} -key {} -cacert {}".format(*files) if files else "-plaintext"
    lines = [
        "In another terminal:",
        "",
        *access_key,
        *endpoint_variables(endpoint),
        *([f"export AWS_CA_BUNDLE={tls.ca_file}"] if tls else []),
        "",
        "# the AWS CLI; boto3 and other SDKs understand the same variables",
        "aws personalize list-campaigns",
        "aws personalize-runtime get-recommendations \\",
        f"  --user-id {user} --num-results 10 --campaign-arn {campaign_arn}",
        "",
        "# Python stubs, without the gateway",
        f"export TOKEN=$({tailorbird()} keys token{where})",
        f"{python()} - <<'PY'",
        "import os",
        "from common.rpc import channel",
        *(["from common.settings import TlsFiles"] if files else []),
        "from protos.tailorbird.control.v1 import control_plane_service_pb2_grpc as grpc_api, recipe_pb2",
        f"with channel('{control_plane}', token=os.environ['TOKEN']{option}) as opened:",
        "    stub = grpc_api.ControlPlaneServiceStub(opened)",
        "    print(stub.ListRecipes(recipe_pb2.ListRecipesRequest()))",
        "PY",
        "",
        "# any gRPC client, by reflection",
        f'grpcurl {trust} -H "authorization: Bearer $TOKEN" {control_plane} list',
    ]
    return Panel(Group(*(Text(line, overflow="fold") for line in lines)), title="Try next", title_align="left")


def _title(data: DemoData, item: str | None) -> str:
    return escape(data.items[item].title) if item is not None and item in data.items else (item or "")


def _genres(data: DemoData, item: str | None) -> str:
    return escape(", ".join(data.items[item].genres)) if item is not None and item in data.items else ""
