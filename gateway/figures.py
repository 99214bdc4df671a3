"""What the gateway counts and measures."""

from __future__ import annotations

from time import perf_counter
from typing import Final

from common.telemetry import SECONDS, Counter, Figure, Figures, Histogram, Kind

__all__ = ["FIGURES", "RequestFigures"]

_REQUESTS: Final = Figure(
    Kind.COUNTER,
    "tailorbird_gateway_requests_total",
    "Requests by operation and HTTP status, 499 where the caller left; `unknown` is all that names no operation.",
    ("operation", "status"),
)
_SECONDS: Final = Figure(
    Kind.HISTOGRAM,
    "tailorbird_gateway_request_seconds",
    "Time from a request's headers to its answer.",
    ("operation",),
    SECONDS,
)
FIGURES: Final = (_REQUESTS, _SECONDS)
_UNKNOWN: Final = "unknown"


class RequestFigures:
    """Counts the requests of one process.

    Args:
        figures: Of the process.
    """

    def __init__(self, figures: Figures) -> None:
        self._figures = figures
        self._made: dict[tuple[str, int], tuple[Counter, Histogram]] = {}

    def count(self, operation: str | None, status: int, *, began: float) -> None:
        """Count a request.

        Args:
            operation: Name of the operation; None where there is none such.
            status: HTTP status of the answer.
            began: When it began, by `perf_counter`.
        """
        name = operation or _UNKNOWN
        made = self._made.get((name, status))
        if made is None:
            counter, histogram = (
                self._figures.counter(_REQUESTS, name, str(status)),
                self._figures.histogram(_SECONDS, name),
            )
            made = self._made[name, status] = (counter, histogram)
        made[0].add()
        made[1].observe(perf_counter() - began)
