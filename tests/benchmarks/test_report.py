"""Figures are worked out and written down as they are described."""

import json

import pytest

from benchmarks.report import markdown_table, percentile, publish


@pytest.mark.parametrize(("share", "expected"), [(0.5, 50), (0.99, 99), (0.991, 100), (1.0, 100), (0.0, 1)])
def test_a_percentile_is_a_value_that_was_measured(share, expected):
    assert percentile(range(1, 101), share) == expected


def test_a_table_can_be_pasted():
    assert markdown_table(("a", "b"), [(1, "x")]) == "| a | b |\n| --- | --- |\n| 1 | x |\n"


def test_a_report_carries_machine_and_date(tmp_path, capsys):
    publish({"ratio": 0.5}, table="| t |\n", output=tmp_path / "report.json")
    report = json.loads((tmp_path / "report.json").read_text())
    assert report["ratio"] == 0.5
    assert "processors" in report["machine"]
    assert capsys.readouterr().out == f"{report['date']}, {report['machine']}\n\n| t |\n"
