"""Expressions of metric attributions: how the events of one type are added up."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

__all__ = ["MathFunction", "MetricExpression"]

_COUNT: Final = re.compile(r"SAMPLECOUNT\(\)", re.IGNORECASE)
_SUM: Final = re.compile(r"SUM\((ITEMS|INTERACTIONS)\.([A-Za-z_][A-Za-z0-9_]{0,149})\)", re.IGNORECASE)


class MathFunction(StrEnum):
    """What is done with the events; the values stand in reports."""

    COUNT = "samplecount"
    SUM = "sum"


@dataclass(frozen=True, slots=True)
class MetricExpression:
    """One expression.

    Attributes:
        function: What is done.
        dataset_type: Of what is summed, `ITEMS` or `INTERACTIONS`; empty for counts.
        column: The column that is summed, in upper case; empty for counts.
    """

    function: MathFunction
    dataset_type: str = ""
    column: str = ""

    @classmethod
    def parse(cls, text: str) -> MetricExpression | None:
        """Return the expression in a text; None when there is none."""
        if _COUNT.fullmatch(text):
            return cls(MathFunction.COUNT)
        match = _SUM.fullmatch(text)
        return None if match is None else cls(MathFunction.SUM, match[1].upper(), match[2].upper())
