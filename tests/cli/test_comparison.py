"""Tables and verdicts of evaluations."""

import io

import pytest
from rich.console import Console

from cli.comparison import comparison_view, metric_label
from protos.tailorbird.control.v1.evaluation_service_pb2 import SolutionVersionEvaluation
from protos.tailorbird.storage.v1 import evaluation_pb2
from tests.cli.evaluations import evaluation


def rendered(*versions, **options):
    file = io.StringIO()
    Console(file=file, width=200).print(comparison_view(versions, **options))
    return file.getvalue()


def version(name, evaluated=None, refusals=()):
    return SolutionVersionEvaluation(
        solution_version_arn=f"arn:aws:personalize:eu-west-1:123456789012:solution/films/{name}",
        evaluation=evaluated,
        refusals=refusals,
    )


def test_versions_and_baselines_are_columns_of_one_table():
    text = rendered(version("second", evaluation(0.25)), version("first", evaluation(0.75)))
    (row,) = (line for line in text.splitlines() if "precision@5" in line)
    assert row.replace(" ", "").strip("│").split("│") == [
        "precision@5", "0.2500(0.2000to0.3000)", "0.7500(0.7000to0.8000)", "0.0625(0.0000to0.1000)",
    ]  # fmt: skip
    assert "popularity" in text


def test_coverage_has_no_interval():
    (row,) = (line for line in rendered(version("first", evaluation())).splitlines() if "coverage" in line)
    assert "0.5000" in row
    assert "to" not in row


def test_lists_without_repeats_are_shown_on_request():
    text = rendered(version("first", evaluation()), without_repeats=True)
    assert "without repeats" in text
    assert "0.1250" in text
    assert "precision" not in text


def test_verdict_differences_and_rejections_are_shown():
    refused = [
        {member: f"arn:{member}", "reason": "refused: too bad"} for member in ("campaign_arn", "recommender_arn")
    ]
    worse = evaluation(0.25, evaluation_pb2.VERDICT_WORSE)
    worse.warnings.append("Interactions are left out.")
    text = rendered(version("second", worse, refused), version("first", evaluation()), version("old"))
    assert "second beside before, on 38 users" in text
    assert "-0.5000 (-0.6250 to -0.3750)" in text
    assert "second: significantly worse than the one before" in text
    assert "second: Interactions are left out." in text
    assert "second: arn:campaign_arn refused: too bad" in text
    assert "second: arn:recommender_arn refused: too bad" in text
    assert "first: had no version to be compared with" in text
    assert "old: trained before evaluations were kept" in text


@pytest.mark.parametrize(
    ("name", "short"),
    [
        ("coverage", "coverage"),
        ("mean_reciprocal_rank_at_25", "MRR@25"),
        ("normalized_discounted_cumulative_gain_at_5", "NDCG@5, Personalize's"),
        ("standard_normalized_discounted_cumulative_gain_at_5", "NDCG@5, standard"),
        ("recall_at_25_of_tail_items", "recall@25 of tail items"),
        ("new_item_share", "new item share"),
    ],
)
def test_names_are_short_in_tables(name, short):
    assert metric_label(name) == short


def test_recipes_that_were_tried_are_shown_with_their_outcome():
    chosen = evaluation()
    choice = chosen.recipe_choice
    choice.judged_by = "precision_at_5"
    tried = choice.candidates.add(recipe="aws-popularity-count", seconds=1.25)
    tried.metrics.add(name="precision_at_5", value=0.5, low=0.25, high=0.75)
    choice.candidates.add(recipe="aws-hrnn", failure_reason="memory ran out", seconds=2.0)
    better = choice.candidates.add(recipe="tailorbird-ials", chosen=True, seconds=3.0, compared_with=tried.recipe)
    better.comparison.verdict = evaluation_pb2.VERDICT_BETTER

    text = rendered(version("first", chosen))

    assert "Recipes tried for first, by precision@5" in text
    rows = [[cell.strip() for cell in line.strip("│").split("│")] for line in text.splitlines() if "│" in line][-3:]
    assert rows == [
        ["aws-popularity-count", "0.5000 (0.2500 to 0.7500)", "1.2", "tried first"],
        ["aws-hrnn", "", "2.0", "failed: memory ran out"],
        ["tailorbird-ials", "", "3.0", "chosen: better than aws-popularity-count"],
    ]
