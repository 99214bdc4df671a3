"""The words of reports on imported rows."""

from __future__ import annotations

from trainer.domain.import_report import Problem, Report


def test_report_counts_all_and_shows_the_first():
    report = Report()
    problems = [Problem.of_value(line, "A", got="x", want="y") for line in range(20, 1, -1)]
    report.add("a.csv", rows=100, bad_rows=19, problems=problems)
    report.add("b.csv", rows=5, bad_rows=1, problems=[Problem(2, "", "got 1 values, want 2")])

    assert not report.clean
    assert report.detail.startswith(
        "20 of 105 rows cannot be imported, so none was. a.csv, line 2, A: got 'x', want y;"
    )
    assert report.detail.endswith("a.csv, line 11, A: got 'x', want y; ...")


def test_report_of_a_single_row_has_nothing_more():
    report = Report()
    report.add("a.csv", rows=1, bad_rows=1, problems=[Problem.of_value(2, "A", got="x" * 500, want="y")])
    assert not report.detail.endswith("...")
    assert len(report.detail) < 250
