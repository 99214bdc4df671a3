"""What is wrong with the rows of data files: how many are, by rule, and the first ones by file, line and column."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from common.errors import InvalidInput

__all__ = ["Problem", "Report", "Rule", "import_failed", "missing_columns"]

#: Problems in words, and bad rows in the whole report.
_SHOWN: Final = 10
_LISTED_ROWS: Final = 20
_MAX_SHOWN_VALUE: Final = 60
_MAX_LISTED_VALUE: Final = 1000


class Rule:
    """The rules that a row can break, as reports name them."""

    VALUE_COUNT = "as many values as the header has"
    QUOTES = "quotes"
    JSON = "a JSON object"
    PRESENT = "a value where the schema has no null"
    TYPE = "a value of the schema's type"
    SECONDS = "a time in seconds"
    LENGTH = "at most as many characters as are allowed"


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One value, or one line, at fault.

    Attributes:
        line: In its file, from 1; of a Parquet file the row.
        column: Name of the column; empty for the whole line.
        problem: What is wrong: "got X, want Y".
        rule: The rule that is broken, one of `Rule`.
        value: What stands there; None for nothing, and for a whole line.
    """

    line: int
    column: str
    problem: str
    rule: str = field(compare=False)
    value: str | None = field(default=None, compare=False)

    @classmethod
    def of_value(cls, line: int, column: str, *, got: str | None, want: str, rule: str) -> Problem:
        """Make the problem of one value; long values are shortened."""
        shown = "nothing" if got is None else repr(got)
        if len(shown) > _MAX_SHOWN_VALUE:
            shown = shown[: _MAX_SHOWN_VALUE - 3] + "..."
        return cls(line, column, f"got {shown}, want {want}", rule, got)


@dataclass(slots=True)
class Report:
    """Counts over all files of an import, and the first problems.

    Attributes:
        rows: Rows that were read.
        bad_rows: Those with at least one problem.
        fault: What made whole files unreadable, in words; empty when all could be read to their ends.
        ignored_columns: Columns of the last files that the schema does not name, so that they are not imported.
    """

    rows: int = 0
    bad_rows: int = 0
    fault: str = ""
    ignored_columns: list[str] = field(default_factory=list)
    _counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    _listed: list[tuple[str, Problem]] = field(default_factory=list)
    _listed_rows: set[tuple[str, int]] = field(default_factory=set)

    def add(
        self,
        file: str,
        *,
        rows: int,
        bad_rows: int = 0,
        problems: Iterable[Problem] = (),
        counts: Mapping[tuple[str, str], int] | None = None,
    ) -> None:
        """Take the outcome of a part of a file; parts come in order.

        Args:
            file: Name of the file.
            rows: Rows that were read.
            bad_rows: Rows among them with a problem.
            problems: The first problems of the part, at least those of as many rows as are listed.
            counts: How many problems there are, by column and rule; by default those of `problems`.
        """
        self.rows += rows
        self.bad_rows += bad_rows
        ordered = sorted(problems)
        self._counts.update(Counter((item.column, item.rule) for item in ordered) if counts is None else counts)
        for problem in ordered:
            row = (file, problem.line)
            if row not in self._listed_rows and len(self._listed_rows) == _LISTED_ROWS:
                break
            self._listed_rows.add(row)
            self._listed.append((file, problem))

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.bad_rows and not self.fault

    @property
    def detail(self) -> str:
        """The report in words, with the first problems only."""
        if self.fault:
            return self.fault
        shown = self._listed[:_SHOWN]
        text = "; ".join(
            f"{file}, line {item.line}{f', {item.column}' if item.column else ''}: {item.problem}"
            for file, item in shown
        )
        more = "; ..." if self.bad_rows > len({(file, item.line) for file, item in shown}) else ""
        return f"{self.bad_rows:,} of {self.rows:,} rows cannot be imported, so none was. {text}{more}"

    def counts(self) -> list[tuple[str, str, int]]:
        """Return column, rule and number of problems, the most frequent first; the column is empty for whole lines."""
        return [(column, rule, count) for (column, rule), count in self._counts.most_common()]

    def listed(self) -> list[tuple[str, Problem]]:
        """Return the problems of the first bad rows, each with the name of its file."""
        return list(self._listed)

    def as_json(self) -> dict[str, Any]:
        """Return the whole report as it is written to files."""
        return {
            "rows": self.rows,
            "badRows": self.bad_rows,
            **({"fault": self.fault} if self.fault else {}),
            "ignoredColumns": self.ignored_columns,
            "problems": [
                {"column": column, "rule": rule, "count": count} for column, rule, count in self.counts()
            ],
            "firstBadRows": [
                {
                    "file": file,
                    "line": item.line,
                    "column": item.column,
                    "value": None if item.value is None else item.value[:_MAX_LISTED_VALUE],
                    "rule": item.rule,
                    "problem": item.problem,
                }
                for file, item in self._listed
            ],
        }  # fmt: skip


def import_failed(dataset_type: str, detail: str) -> InvalidInput:
    """Build the error that becomes an import job's failureReason, beginning with Personalize's words."""
    return InvalidInput(f"Failed to create a data import job for {dataset_type.title()} dataset. {detail}")


def missing_columns(columns: Iterable[str]) -> str:
    """Say that columns are missing, in Personalize's words."""
    return f"Input CSV is missing the following columns:[{', '.join(columns)}]."
