"""What is wrong with imported rows: how many are, and the first few by file, line and column."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from common.errors import InvalidInput

__all__ = ["Problem", "Report", "import_failed", "missing_columns"]

_SHOWN = 10
_MAX_SHOWN_VALUE = 60


@dataclass(frozen=True, slots=True, order=True)
class Problem:
    """One value, or one line, at fault.

    Attributes:
        line: In its file; the header is line 1.
        column: Name of the column; empty for the whole line.
        problem: What is wrong: "got X, want Y".
    """

    line: int
    column: str
    problem: str

    @classmethod
    def of_value(cls, line: int, column: str, *, got: str | None, want: str) -> Problem:
        """Make the problem of one value; long values are shortened."""
        shown = "nothing" if got is None else repr(got)
        if len(shown) > _MAX_SHOWN_VALUE:
            shown = shown[: _MAX_SHOWN_VALUE - 3] + "..."
        return cls(line, column, f"got {shown}, want {want}")


@dataclass(slots=True)
class Report:
    """Counts over all files of an import, and the first problems."""

    rows: int = 0
    bad_rows: int = 0
    _shown: list[tuple[str, Problem]] = field(default_factory=list)

    def add(self, file: str, *, rows: int, bad_rows: int, problems: Iterable[Problem]) -> None:
        """Take the outcome of a part of a file; parts come in order.

        Args:
            file: Name of the file.
            rows: Rows that were read.
            bad_rows: Rows among them with a problem.
            problems: The first problems of the part, at least as many as are shown.
        """
        self.rows += rows
        self.bad_rows += bad_rows
        free = _SHOWN - len(self._shown)
        self._shown += [(file, problem) for problem in sorted(problems)[:free]]

    @property
    def clean(self) -> bool:
        """Whether nothing is wrong."""
        return not self.bad_rows

    @property
    def detail(self) -> str:
        """The report in words."""
        text = "; ".join(
            f"{file}, line {item.line}{f', {item.column}' if item.column else ''}: {item.problem}"
            for file, item in self._shown
        )
        more = "; ..." if self.bad_rows > len({(file, item.line) for file, item in self._shown}) else ""
        return f"{self.bad_rows:,} of {self.rows:,} rows cannot be imported, so none was. {text}{more}"


def import_failed(dataset_type: str, detail: str) -> InvalidInput:
    """Build the error that becomes an import job's failureReason, beginning with Personalize's words."""
    return InvalidInput(f"Failed to create a data import job for {dataset_type.title()} dataset. {detail}")


def missing_columns(columns: Iterable[str]) -> str:
    """Say that columns are missing, in Personalize's words."""
    return f"Input CSV is missing the following columns:[{', '.join(columns)}]."
