"""The words of reports on imported rows."""

from __future__ import annotations

from common.data_files.report import Problem, Report, Rule


def test_report_counts_all_and_shows_the_first():
    report = Report()
    problems = [Problem.of_value(line, "A", got="x", want="y", rule=Rule.TYPE) for line in range(20, 1, -1)]
    report.add("a.csv", rows=100, bad_rows=19, problems=problems)
    report.add("b.csv", rows=5, bad_rows=1, problems=[Problem(2, "", "got 1 values, want 2", Rule.VALUE_COUNT)])

    assert not report.clean
    assert report.detail.startswith(
        "20 of 105 rows cannot be imported, so none was. a.csv, line 2, A: got 'x', want y;"
    )
    assert report.detail.endswith("a.csv, line 11, A: got 'x', want y; ...")


def test_report_of_a_single_row_has_nothing_more():
    report = Report()
    report.add(
        "a.csv", rows=1, bad_rows=1, problems=[Problem.of_value(2, "A", got="x" * 500, want="y", rule=Rule.TYPE)]
    )
    assert not report.detail.endswith("...")
    assert len(report.detail) < 250


def test_whole_report_has_all_counts_and_the_first_bad_rows():
    report = Report()
    problems = [Problem.of_value(line, "A", got="x" * 2000, want="y", rule=Rule.TYPE) for line in range(2, 40)]
    report.add("a.csv", rows=100, bad_rows=60, problems=problems, counts={("A", Rule.TYPE): 60, ("B", Rule.LENGTH): 3})
    report.add("b.csv", rows=5, bad_rows=1, problems=[Problem(2, "", "got 1 values, want 2", Rule.VALUE_COUNT)])

    document = report.as_json()

    assert (document["rows"], document["badRows"]) == (105, 61)
    assert [(item["column"], item["rule"], item["count"]) for item in document["problems"]] == [
        ("A", Rule.TYPE, 60), ("B", Rule.LENGTH, 3), ("", Rule.VALUE_COUNT, 1),
    ]  # fmt: skip
    assert [item["line"] for item in document["firstBadRows"]] == list(range(2, 22))
    first = document["firstBadRows"][0]
    assert (first["file"], first["column"], first["value"], first["rule"]) == ("a.csv", "A", "x" * 1000, Rule.TYPE)
    assert first["problem"].endswith("want y")


def test_all_problems_of_a_listed_row_are_listed():
    report = Report()
    problems = [
        Problem.of_value(line, column, got="x", want="y", rule=Rule.TYPE) for line in range(1, 30) for column in "BA"
    ]
    report.add("a.csv", rows=29, bad_rows=29, problems=problems)
    assert [(item["line"], item["column"]) for item in report.as_json()["firstBadRows"]] == [
        (line, column) for line in range(1, 21) for column in "AB"
    ]
