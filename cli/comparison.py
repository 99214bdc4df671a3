"""Tables of `tailorbird solutions compare`: metrics with intervals, baselines, recipes that were tried, verdicts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from rich.console import Group, RenderableType
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from protos.tailorbird.control.v1.evaluation_service_pb2 import SolutionVersionEvaluation
from protos.tailorbird.storage.v1 import evaluation_pb2
from protos.tailorbird.storage.v1.evaluation_pb2 import MeasuredMetric, ModelEvaluation

__all__ = ["comparison_view", "metric_label"]

_STYLES = {
    evaluation_pb2.VERDICT_BETTER: "green",
    evaluation_pb2.VERDICT_WORSE: "bold red",
    evaluation_pb2.VERDICT_UNDECIDED: "",
    evaluation_pb2.VERDICT_NOT_COMPARED: "yellow",
}
_SHORT_NAMES = (
    (r"^mean_reciprocal_rank_at_(\d+)$", r"MRR@\1"),
    (r"^normalized_discounted_cumulative_gain_at_(\d+)$", r"NDCG@\1, Personalize's"),
    (r"^standard_normalized_discounted_cumulative_gain_at_(\d+)$", r"NDCG@\1, standard"),
    (r"^(precision|recall)_at_(\d+)$", r"\1@\2"),
    (r"^recall_at_(\d+)_of_(\w+)_items$", r"recall@\1 of \2 items"),
)


def metric_label(name: str) -> str:
    """Return the short name of a metric for table rows, e.g. `MRR@25`."""
    for pattern, short in _SHORT_NAMES:
        if re.match(pattern, name):
            return re.sub(pattern, short, name)
    return name.replace("_", " ")


def comparison_view(versions: Sequence[SolutionVersionEvaluation], *, without_repeats: bool = False) -> RenderableType:
    """Return the tables and verdicts of several versions.

    Args:
        versions: Evaluated versions, newest first; at least one.
        without_repeats: Whether to show the metrics of lists without items that the user has interacted with before.
    """
    newest = versions[0]
    parts: list[RenderableType] = [_metrics_table(versions, without_repeats=without_repeats)]
    if newest.evaluation.comparison.differences:
        parts.append(_differences_table(newest))
    parts += [_candidates_table(version) for version in versions if version.evaluation.HasField("recipe_choice")]
    parts += [line for version in versions for line in _verdicts(version)]
    return Group(*parts)


def _metrics_table(versions: Sequence[SolutionVersionEvaluation], *, without_repeats: bool) -> Table:
    """Return a table with a row for each metric, and columns for the versions and the newest one's baselines."""
    columns = [(_short_arn(version), version.evaluation.model) for version in versions]
    columns += [(item.name.replace("-", " "), item) for item in versions[0].evaluation.baselines]
    lists = "without repeats" if without_repeats else "as served"
    table = Table("metric", title=f"Lists {lists}: value and 95 % interval", title_justify="left")
    for heading, _ in columns:
        table.add_column(escape(heading), justify="right")
    cells = [_metrics(model, without_repeats=without_repeats) for _, model in columns]
    for name in dict.fromkeys(name for column in cells for name in column):
        table.add_row(metric_label(name), *(_cell(column.get(name)) for column in cells))
    return table


def _differences_table(version: SolutionVersionEvaluation) -> Table:
    comparison = version.evaluation.comparison
    previous = comparison.solution_version_arn.rpartition("/")[2]
    title = f"{_short_arn(version)} beside {previous}, on {comparison.users} users that neither has seen"
    table = Table("metric", title=escape(title), title_justify="left")
    for heading in (_short_arn(version), previous, "difference and 95 % interval"):
        table.add_column(escape(heading), justify="right")
    for item in comparison.differences:
        difference = f"{item.value - item.predecessor:+.4f} ({item.low:+.4f} to {item.high:+.4f})"
        table.add_row(metric_label(item.name), f"{item.value:.4f}", f"{item.predecessor:.4f}", difference)
    return table


def _candidates_table(version: SolutionVersionEvaluation) -> Table:
    """Return a table with a row for each recipe that AutoML tried: what it scored, and why it was chosen or not."""
    choice = version.evaluation.recipe_choice
    title = f"Recipes tried for {_short_arn(version)}, by {metric_label(choice.judged_by)}"
    table = Table("recipe", title=escape(title), title_justify="left")
    table.add_column("value and 95 % interval", justify="right")
    table.add_column("seconds", justify="right")
    table.add_column("outcome")
    for item in choice.candidates:
        metrics = {metric.name: metric for metric in item.metrics}
        table.add_row(
            escape(item.recipe),
            _cell(metrics.get(choice.judged_by)),
            f"{item.seconds:.1f}",
            Text(_outcome(item), style="green" if item.chosen else "yellow" if item.failure_reason else ""),
        )
    return table


def _outcome(candidate: evaluation_pb2.RecipeCandidate) -> str:
    """Return what became of a recipe, in words."""
    if candidate.failure_reason:
        return f"failed: {candidate.failure_reason}"
    words = {
        evaluation_pb2.VERDICT_BETTER: f"better than {candidate.compared_with}",
        evaluation_pb2.VERDICT_WORSE: f"worse than {candidate.compared_with}",
        evaluation_pb2.VERDICT_UNDECIDED: f"not significantly different from {candidate.compared_with}",
    }
    compared = words.get(candidate.comparison.verdict, "tried first")
    return f"chosen: {compared}" if candidate.chosen else compared


def _verdicts(version: SolutionVersionEvaluation) -> Iterator[Text]:
    name = _short_arn(version)
    if not version.HasField("evaluation"):
        yield Text(f"{name}: trained before evaluations were kept", style="yellow")
    elif not version.evaluation.HasField("comparison"):
        yield Text(f"{name}: had no version to be compared with")
    else:
        comparison = version.evaluation.comparison
        yield Text(f"{name}: {comparison.reason}", style=_STYLES.get(comparison.verdict, ""))
    for warning in version.evaluation.warnings:
        yield Text(f"{name}: {warning}", style="yellow")
    for rejection in version.refusals:
        yield Text(f"{name}: {rejection.campaign_arn or rejection.recommender_arn} {rejection.reason}", style="yellow")


def _metrics(model: ModelEvaluation, *, without_repeats: bool) -> dict[str, MeasuredMetric]:
    metrics = model.metrics_without_repeats if without_repeats else model.metrics
    return {metric.name: metric for metric in metrics}


def _cell(metric: MeasuredMetric | None) -> str:
    if metric is None:
        return ""
    ends = f" ({metric.low:.4f} to {metric.high:.4f})" if metric.HasField("low") else ""
    return f"{metric.value:.4f}{ends}"


def _short_arn(version: SolutionVersionEvaluation) -> str:
    return version.solution_version_arn.rpartition("/")[2]
