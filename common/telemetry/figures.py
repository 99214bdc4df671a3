"""What a process counts and measures, as the parts of the process see it: figures to add to, to set and to observe.

A `Figure` is declared once, as data, beside the parts that it is about; docs/reference/metrics.md lists all of them.
The parts get `Figures`, which are `NO_FIGURES` by default: what is not shown to anybody costs a call that does nothing.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, Protocol

__all__ = ["NO_FIGURES", "SECONDS", "Counter", "Figure", "Figures", "Gauge", "Histogram", "Kind", "Reading", "Source"]

#: Bounds of times in seconds: from an answer out of a cache to the longest call.
SECONDS: Final = (
    0.0001, 0.00025, 0.0005, 0.001, 0.0015, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 60.0,
)  # fmt: skip


class Kind(StrEnum):
    """What a figure is, in Prometheus' words."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


@dataclass(frozen=True, slots=True)
class Figure:
    """One metric.

    Attributes:
        kind: What it is.
        name: Its name; that of a counter ends with `_total`.
        meaning: One sentence.
        labels: Names of its labels. Their values are few, and none of them says anything about a user.
        bounds: Upper bounds of a histogram's buckets, rising.
        by_worker: Whether each process of a service has its own gauge, told apart by the label `worker`.
    """

    kind: Kind
    name: str
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()
    by_worker: bool = False


@dataclass(frozen=True, slots=True)
class Reading:
    """What a counter or a gauge comes to at the moment.

    Attributes:
        figure: Which.
        value: Its value.
        labels: Values of its labels.
    """

    figure: Figure
    value: float
    labels: tuple[str, ...] = ()


class Source(Protocol):
    """Knows figures that nobody counts, because they stand in a database, or are a state."""

    def read(self) -> Iterable[Reading]:
        """Return them as they are now; from any thread. What it raises costs these figures, until the next scrape."""
        ...


class Counter(Protocol):
    """A number that only grows."""

    def add(self, amount: float = 1.0) -> None:
        """Add to it; from any thread."""


class Gauge(Protocol):
    """A number that goes up and down."""

    def set(self, value: float) -> None:
        """Replace it; from any thread."""

    def add(self, amount: float = 1.0) -> None:
        """Change it by so much; from any thread."""


class Histogram(Protocol):
    """How often values came that were at most so large."""

    def observe(self, value: float) -> None:
        """Count a value; from any thread."""


class Figures(Protocol):
    """The figures of one process. Asked again for the same labels it returns the same figure; hot code keeps it."""

    def counter(self, figure: Figure, *labels: str) -> Counter:
        """Return a counter with these values of its labels."""
        ...

    def gauge(self, figure: Figure, *labels: str) -> Gauge:
        """Return a gauge with these values of its labels."""
        ...

    def histogram(self, figure: Figure, *labels: str) -> Histogram:
        """Return a histogram with these values of its labels."""
        ...


class _Nothing:
    """A figure that nobody looks at."""

    def add(self, amount: float = 1.0) -> None:
        """Do nothing."""

    def set(self, value: float) -> None:
        """Do nothing."""

    def observe(self, value: float) -> None:
        """Do nothing."""


class _NoFigures:
    """Figures of a process that shows none."""

    def __init__(self) -> None:
        self._nothing = _Nothing()

    def counter(self, figure: Figure, *labels: str) -> Counter:  # noqa: ARG002 - the interface's signature
        """Return a counter that counts nothing."""
        return self._nothing

    def gauge(self, figure: Figure, *labels: str) -> Gauge:  # noqa: ARG002 - the interface's signature
        """Return a gauge that keeps nothing."""
        return self._nothing

    def histogram(self, figure: Figure, *labels: str) -> Histogram:  # noqa: ARG002 - the interface's signature
        """Return a histogram that counts nothing."""
        return self._nothing


NO_FIGURES: Final[Figures] = _NoFigures()
