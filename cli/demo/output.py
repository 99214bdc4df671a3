"""What the demo shows: timed stages, tables of metrics and recommendations, and the commands to try next."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import zip_longest

from rich.console import Console, Group, RenderableType
from rich.markup import escape
from rich.panel import Panel
from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cli.demo.items import DemoData, TasteProfile
from cli.demo.journey import Recommendations
from cli.output import python, tailorbird
from cli.system import endpoint_variables
from common.settings import TlsFiles

__all__ = ["StageTimer", "before_and_after", "metrics_table", "next_commands", "recommendation_table"]


class StageTimer:
    """Shows the stages of the demo with their durations, and keeps these.

    Args:
        console: Where the stages are shown.

    Attributes:
        seconds: Duration of each finished stage, by name.
    """

    def __init__(self, console: Console) -> None:
        self.seconds: dict[str, float] = {}
        self._console = console

    @contextmanager
    def stage(self, name: str, description: str) -> Iterator[None]:
        """Show a spinner with the time while the block runs, and one line when it is done.

        Args:
            name: Key of the duration in `seconds`.
            description: What is being done.
        """
        started = time.perf_counter()
        columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            progress.add_task(description, total=None)
            yield
        taken = time.perf_counter() - started
        self.seconds[name] = round(taken, 2)
        self._console.print(f"[green]✓[/] {description}  [dim]{taken:.1f} s[/]", highlight=False)


def metrics_table(model: Mapping[str, float], baseline: Mapping[str, float]) -> Table:
    """Return a table of a model's metrics, those of the popularity baseline, and their ratio."""
    table = Table("metric", title="Offline metrics", title_justify="left")
    for heading in ("User-Personalization v2", "popularity", "times popularity"):
        table.add_column(heading, justify="right")
    for name in sorted(model):
        other = baseline.get(name)
        ratio = f"{model[name] / other:.1f}" if other else ""
        table.add_row(name, f"{model[name]:.4f}", "" if other is None else f"{other:.4f}", ratio)
    return table


def recommendation_table(data: DemoData, profile: TasteProfile, recommendations: Recommendations) -> Table:
    """Return a table of the items that a user liked, newest first, and of those recommended."""
    user = data.users[profile.user]
    title = f"User {profile.user}: {user.age}, {user.occupation}; likes {profile.genre} more than others do"
    table = Table("liked before (newest first)", "recommended", "genres", title=title, title_justify="left")
    table.add_column("score", justify="right")
    liked = data.liked[profile.user][: len(recommendations.items)]
    for old, new in zip_longest(liked, recommendations.items):
        score = recommendations.scores.get(new) if new else None
        table.add_row(_title(data, old), _title(data, new), _genres(data, new), "" if score is None else f"{score:.4f}")
    return table


def before_and_after(data: DemoData, before: Sequence[str], after: Sequence[str]) -> Table:
    """Return a table of two lists of item ids; items that only the second has are marked."""
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
    data_dir_option: str,
    tls: TlsFiles | None = None,
) -> RenderableType:
    """Return the box of commands to try next.

    Args:
        endpoint: URL of the gateway.
        control_plane: `host:port` of the control plane.
        access_key: Shell commands that set the access key.
        campaign_arn: ARN of the campaign.
        user: Id of the user to get recommendations for.
        data_dir_option: Option of `tailorbird` that names the data directory, with a space before it; or empty.
        tls: The certificates of the system; None when it speaks plain text.
    """
    files = () if tls is None else (tls.cert_file, tls.key_file, tls.ca_file)
    option = f", tls=TlsFiles{tuple(map(str, files))}" if files else ""
    tls_options = "-cert {} -key {} -cacert {}".format(*files) if files else "-plaintext"
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
        f"export TOKEN=$({tailorbird()} keys token{data_dir_option})",
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
        f'grpcurl {tls_options} -H "authorization: Bearer $TOKEN" {control_plane} list',
    ]
    return Panel(Group(*(Text(line, overflow="fold") for line in lines)), title="Try next", title_align="left")


def _title(data: DemoData, item: str | None) -> str:
    return escape(data.items[item].title) if item is not None and item in data.items else (item or "")


def _genres(data: DemoData, item: str | None) -> str:
    return escape(", ".join(data.items[item].genres)) if item is not None and item in data.items else ""
