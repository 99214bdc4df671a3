"""`tailorbird check`: reads files of rows as imports do, without a server; says what is wrong and what is in them."""

from __future__ import annotations

import json
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console, Group
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cli.terminal import escape_controls
from common.errors import InvalidInput, invalid

if TYPE_CHECKING:
    from common.data_files import Report

__all__ = ["check"]


class DatasetType(StrEnum):
    """The types of datasets."""

    INTERACTIONS = "INTERACTIONS"
    ITEMS = "ITEMS"
    USERS = "USERS"
    ACTIONS = "ACTIONS"
    ACTION_INTERACTIONS = "ACTION_INTERACTIONS"


class Output(StrEnum):
    """How results are written."""

    TABLE = "table"
    JSON = "json"


def check(
    data: Annotated[Path, typer.Argument(help="CSV, JSON Lines or Parquet; or a folder of such files.")],
    schema: Annotated[Path, typer.Argument(help="The Avro schema of the dataset, as JSON.")],
    dataset_type: Annotated[
        DatasetType | None,
        typer.Option("--dataset-type", help="By default what the schema's name says.", case_sensitive=False),
    ] = None,
    output: Annotated[Output, typer.Option("--output", help="table, or json with everything.")] = Output.TABLE,
) -> None:
    """Check files of rows before they are imported; exit with 1 if an import would fail."""
    # Polars takes long to import, which other commands do not pay for.
    from cli.insights import Insights
    from common.avro import AvroSchema
    from common.data_files import DataReader, data_files

    parsed = AvroSchema.parse(_text(schema))
    kind = (dataset_type or _type_of(parsed.name)).value
    files = data_files(data)
    insights = Insights(parsed, kind)
    with Progress(
        TextColumn("{task.description}"), BarColumn(), TaskProgressColumn(), TimeElapsedColumn(),
        console=Console(stderr=True), transient=True,
    ) as progress:  # fmt: skip
        task = progress.add_task(f"reading {len(files)} file{'s' * (len(files) != 1)}", total=1.0)
        reader = DataReader(parsed, dataset_type=kind, progress=lambda share: progress.update(task, completed=share))
        for rows in reader.batches(files):
            insights.add(rows)
    report = reader.report
    if output is Output.JSON:
        document = {"datasetType": kind, **report.as_json()}
        if report.clean:
            document["insights"] = insights.as_json()
        typer.echo(json.dumps(document, indent=2, ensure_ascii=False))
    else:
        console = Console()
        console.print(_insights_view(insights.as_json()) if report.clean else _report_view(report), highlight=False)
        if report.ignored_columns:
            names = escape_controls(", ".join(report.ignored_columns))
            console.print(Text(f"not in the schema, so ignored: {names}"))
    if not report.clean:
        raise typer.Exit(1)


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInput(f"`schema`: got {path}, which cannot be read ({error})") from error


def _type_of(name: str) -> DatasetType:
    """Return the type of dataset that the name of a schema stands for."""
    by_name = {kind.replace("_", "").casefold(): kind for kind in DatasetType}
    kind = by_name.get(name.rpartition(".")[2].replace("_", "").casefold())
    if kind is None:
        raise invalid(
            "schema.name", got=name, want="Interactions, Items, Users, Actions or ActionInteractions, or --dataset-type"
        )
    return kind


def _report_view(report: Report) -> Group:
    if report.fault:
        return Group(Text(f"An import would fail: {escape_controls(report.fault)}"))
    counts = Table("column", "want", "rows", title="Problems", title_justify="left")
    for column, rule, count in report.counts():
        counts.add_row(escape(column or "(whole line)"), rule, f"{count:,}")
    first = Table("file", "line", "column", "problem", title="First bad rows", title_justify="left")
    for file, problem in report.listed():
        cells = (file, str(problem.line), problem.column, problem.problem)
        first.add_row(*(escape(escape_controls(cell)) for cell in cells))
    return Group(f"{report.bad_rows:,} of {report.rows:,} rows are wrong: an import would fail.", "", counts, "", first)


def _insights_view(insights: dict[str, Any]) -> Group:
    from cli.insights import date

    table = Table("", "", show_header=False)
    table.add_row("rows", f"{insights['rows']:,}")
    for name, count in insights["distinct"].items():
        table.add_row(f"different {name}", f"{count:,}")
    if insights.get("firstTimestamp") is not None:
        table.add_row("first", date(insights["firstTimestamp"]))
        table.add_row("last", date(insights["lastTimestamp"]))
        table.add_row("repeats of user and item", f"{insights['shareOfRepeats']:.1%}")
        table.add_row("identical rows, of which one is kept", f"{insights['identicalRows']:,}")
        table.add_row("users with two or more", f"{insights['usersWithTwoOrMore']:,}")
    for name, count in insights.get("eventTypes", {}).items():
        table.add_row(escape(escape_controls(f"event type {name}")), f"{count:,}")
    for name, share in insights["completeness"].items():
        table.add_row(f"{name} has a value", f"{share:.1%}")
    for name, count in insights["categories"].items():
        table.add_row(f"{name}: categories", f"{count:,}")
    lines = [Text(f"warning: {escape_controls(text)}", style="yellow") for text in insights["warnings"]]
    lines += [Text(f"suggestion: {escape_controls(text)}") for text in insights["suggestions"]]
    return Group("Nothing is wrong: this can be imported.", table, *lines)
