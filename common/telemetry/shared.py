"""Figures in memory that a parent shares with the processes that it forks, so that one of them shows those of all.

Each process has a `Block` of its own, made by the parent before the fork and never written by another process. One
that is forked again in the place of one that died goes on in its block: no counter ever falls, and what the dead
process had counted stays counted. A number is eight bytes that are written at once; what stands where is told by a
directory in the block, to which entries are added and whose length is written last.
"""

from __future__ import annotations

import json
import math
import mmap
import threading
from bisect import bisect_left
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from common.logs import get_logger
from common.telemetry.figures import NO_FIGURES, Counter, Figure, Gauge, Histogram, Kind

__all__ = ["Block", "Series", "SharedFigures"]

#: Of one block; the system gives it pages as they are written.
_BYTES: Final = 1 << 20
_NUMBER_BYTES: Final = 8
#: Where the directory begins, behind its length, and where it ends and the numbers begin.
_DIRECTORY: Final = 16
_NUMBERS: Final = 1 << 18
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Series:
    """One figure with values of its labels.

    Attributes:
        kind: Of the figure.
        name: Of the figure.
        labels: Values of its labels.
        first: Place of its first number in the block.
        n_numbers: How many it has: 1, or for a histogram one for each bucket and the sum of all values.
    """

    kind: Kind
    name: str
    labels: tuple[str, ...]
    first: int
    n_numbers: int


class Block:
    """The numbers of one process and of those that replace it.

    Args:
        process: Its name among its siblings.
    """

    def __init__(self, process: str = "") -> None:
        self.process = process
        self._memory = mmap.mmap(-1, _BYTES)
        self._length = memoryview(self._memory)[:_NUMBER_BYTES].cast("Q")
        #: float64, all of them.
        self.numbers: memoryview[float] = memoryview(self._memory)[_NUMBERS:].cast("d")

    def series(self) -> Iterator[Series]:
        """Yield what is in the block; from any process."""
        first = 0
        for line in self._memory[_DIRECTORY : _DIRECTORY + self._length[0]].splitlines():
            kind, name, labels, n_numbers = json.loads(line)
            yield Series(Kind(kind), name, tuple(labels), first, n_numbers)
            first += n_numbers

    def add(self, series: Series) -> bool:
        """Add a series behind the last one; return False if there is no room for it."""
        entry = json.dumps([series.kind, series.name, series.labels, series.n_numbers]).encode() + b"\n"
        begin = _DIRECTORY + self._length[0]
        if begin + len(entry) > _NUMBERS or series.first + series.n_numbers > len(self.numbers):
            return False
        self._memory[begin : begin + len(entry)] = entry
        self._length[0] += len(entry)
        return True


class SharedFigures:
    """The figures of the process that makes this object, in its block; see `Figures`.

    Gauges of an earlier process in the block are not shown any more until they are set. A figure for which the block
    has no room is not shown: labels have few values, so this is a defect, which is logged and costs no caller anything.

    Args:
        block: Of this process.
    """

    def __init__(self, block: Block) -> None:
        self._block = block
        self._lock = threading.Lock()
        self._by_labels = {(one.name, one.labels): one for one in block.series()}
        self._end = sum(one.n_numbers for one in self._by_labels.values())
        self._is_full = False
        for one in self._by_labels.values():
            if one.kind is Kind.GAUGE:
                block.numbers[one.first] = math.nan

    def counter(self, figure: Figure, *labels: str) -> Counter:
        """Return a counter with these values of its labels."""
        series = self._series(figure, labels, 1)
        return NO_FIGURES.counter(figure) if series is None else _Number(self._block, series, self._lock)

    def gauge(self, figure: Figure, *labels: str) -> Gauge:
        """Return a gauge with these values of its labels."""
        series = self._series(figure, labels, 1)
        return NO_FIGURES.gauge(figure) if series is None else _Number(self._block, series, self._lock)

    def histogram(self, figure: Figure, *labels: str) -> Histogram:
        """Return a histogram with these values of its labels."""
        series = self._series(figure, labels, len(figure.bounds) + 2)
        if series is None:
            return NO_FIGURES.histogram(figure)
        return _Histogram(self._block, series, figure.bounds, self._lock)

    def _series(self, figure: Figure, labels: tuple[str, ...], n_numbers: int) -> Series | None:
        assert len(labels) == len(figure.labels), figure.name
        with self._lock:
            if (existing := self._by_labels.get((figure.name, labels))) is not None:
                return existing
            series = Series(figure.kind, figure.name, labels, self._end, n_numbers)
            if not self._block.add(series):
                if not self._is_full:
                    _log.error("figures_full", figure=figure.name)
                self._is_full = True
                return None
            self._by_labels[figure.name, labels] = series
            self._end += n_numbers
            return series


class _Number:
    """A counter or a gauge."""

    __slots__ = ("_lock", "_numbers", "_place")

    def __init__(self, block: Block, series: Series, lock: threading.Lock) -> None:
        self._numbers = block.numbers
        self._place = series.first
        self._lock = lock

    def add(self, amount: float = 1.0) -> None:
        """Add to it; from any thread."""
        with self._lock:
            self._numbers[self._place] += amount

    def set(self, value: float) -> None:
        """Replace it; from any thread."""
        self._numbers[self._place] = value


class _Histogram:
    """A histogram."""

    __slots__ = ("_bounds", "_first", "_lock", "_numbers", "_sum")

    def __init__(self, block: Block, series: Series, bounds: Sequence[float], lock: threading.Lock) -> None:
        self._numbers = block.numbers
        self._first = series.first
        self._sum = series.first + series.n_numbers - 1
        self._bounds = bounds
        self._lock = lock

    def observe(self, value: float) -> None:
        """Count a value; from any thread."""
        place, numbers = self._first + bisect_left(self._bounds, value), self._numbers
        with self._lock:
            numbers[place] += 1.0
            numbers[self._sum] += value
