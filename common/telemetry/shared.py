"""Figures in memory that a parent shares with the processes that it forks, so that one of them shows those of all.

Each process has a `Block` of its own, made by the parent before the fork and never written by another process while it
runs. One that is forked again in the place of one that died goes on in its block: no counter ever falls, and what the
dead process had counted stays counted, while its gauges, which were true of it alone, are gone. A number is eight bytes
that are written at once; what stands where is told by a directory in the block, to which entries are added and whose
length is written last.
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
#: What stands first: the length of the directory, the id of the process, and how many have ended.
_LENGTH, _PID, _ENDS = range(3)
#: Where the directory begins, and where it ends and the numbers begin.
_DIRECTORY: Final = 32
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
        self._head = memoryview(self._memory)[:_DIRECTORY].cast("Q")
        #: float64, all of them.
        self.numbers: memoryview[float] = memoryview(self._memory)[_NUMBERS:].cast("d")

    def series(self) -> Iterator[Series]:
        """Yield what is in the block; from any process."""
        first = 0
        for line in self._memory[_DIRECTORY : _DIRECTORY + self._head[_LENGTH]].splitlines():
            kind, name, labels, n_numbers = json.loads(line)
            yield Series(Kind(kind), name, tuple(labels), first, n_numbers)
            first += n_numbers

    def add(self, series: Series) -> bool:
        """Add a series behind the last one; return False if there is no room for it."""
        entry = json.dumps([series.kind, series.name, series.labels, series.n_numbers]).encode() + b"\n"
        begin = _DIRECTORY + self._head[_LENGTH]
        if begin + len(entry) > _NUMBERS or series.first + series.n_numbers > len(self.numbers):
            return False
        self._memory[begin : begin + len(entry)] = entry
        self._head[_LENGTH] += len(entry)
        return True

    @property
    def pid(self) -> int | None:
        """Id of the process that runs; None while none does."""
        return self._head[_PID] or None

    @property
    def ends(self) -> int:
        """How many of its processes have ended."""
        return self._head[_ENDS]

    def note(self, pid: int | None) -> None:
        """Note that a process runs, or that it has ended; by the parent."""
        self._head[_PID] = pid or 0
        if pid is None:
            self._head[_ENDS] += 1
            self.clear_gauges()

    def clear_gauges(self) -> None:
        """Let no gauge be shown until it is set again; while no process writes to the block."""
        for one in self.series():
            if one.kind is Kind.GAUGE:
                self.numbers[one.first] = math.nan


class SharedFigures:
    """The figures of the process that makes this object, in its block; see `Figures`.

    A gauge is not shown until it is set or added to, those of an earlier process in the block included. A figure for
    which the block has no room is not shown: labels have few values, so this is a defect, which is logged and costs no
    caller anything. So is a value that would make a figure worthless for good, such as a counter that falls: it is not
    taken.

    Args:
        block: Of this process.
    """

    def __init__(self, block: Block) -> None:
        self._block = block
        self._lock = threading.Lock()
        self._by_labels = {(one.name, one.labels): one for one in block.series()}
        self._end = sum(one.n_numbers for one in self._by_labels.values())
        self._is_full = False
        self._refused: set[str] = set()
        block.clear_gauges()

    def counter(self, figure: Figure, *labels: str) -> Counter:
        """Return a counter with these values of its labels."""
        series = self._series(figure, labels, 1)
        return NO_FIGURES.counter(figure) if series is None else _Counter(self._block, series, self)

    def gauge(self, figure: Figure, *labels: str) -> Gauge:
        """Return a gauge with these values of its labels."""
        series = self._series(figure, labels, 1)
        return NO_FIGURES.gauge(figure) if series is None else _Gauge(self._block, series, self)

    def histogram(self, figure: Figure, *labels: str) -> Histogram:
        """Return a histogram with these values of its labels."""
        series = self._series(figure, labels, len(figure.bounds) + 2)
        if series is None:
            return NO_FIGURES.histogram(figure)
        return _Histogram(self._block, series, figure.bounds, self)

    @property
    def lock(self) -> threading.Lock:
        """Held while a figure is changed."""
        return self._lock

    def refuse(self, name: str, value: float) -> None:
        """Log, once for each figure, that a value was not taken: whoever counts must not fail for it."""
        if name not in self._refused:
            self._refused.add(name)
            _log.error("figure_refused", figure=name, value=str(value))

    def _series(self, figure: Figure, labels: tuple[str, ...], n_numbers: int) -> Series | None:
        assert len(labels) == len(figure.labels), figure.name
        with self._lock:
            if (existing := self._by_labels.get((figure.name, labels))) is not None:
                return existing
            series = Series(figure.kind, figure.name, labels, self._end, n_numbers)
            if figure.kind is Kind.GAUGE and self._end < len(self._block.numbers):
                self._block.numbers[self._end] = math.nan  # before anybody can see it
            if not self._block.add(series):
                if not self._is_full:
                    _log.error("figures_full", figure=figure.name)
                self._is_full = True
                return None
            self._by_labels[figure.name, labels] = series
            self._end += n_numbers
            return series


class _Counter:
    """A counter: it only grows, by finite amounts."""

    __slots__ = ("_figures", "_lock", "_name", "_numbers", "_place")

    def __init__(self, block: Block, series: Series, figures: SharedFigures) -> None:
        self._numbers = block.numbers
        self._place = series.first
        self._lock = figures.lock
        self._name = series.name
        self._figures = figures

    def add(self, amount: float = 1.0) -> None:
        """Add to it; from any thread."""
        if not 0.0 <= amount < math.inf:
            self._figures.refuse(self._name, amount)
            return
        with self._lock:
            self._numbers[self._place] += amount


class _Gauge:
    """A gauge: any finite number; one that is not shown counts as 0."""

    __slots__ = ("_figures", "_lock", "_name", "_numbers", "_place")

    def __init__(self, block: Block, series: Series, figures: SharedFigures) -> None:
        self._numbers = block.numbers
        self._place = series.first
        self._lock = figures.lock
        self._name = series.name
        self._figures = figures

    def add(self, amount: float = 1.0) -> None:
        """Change it by so much; from any thread."""
        if not math.isfinite(amount):
            self._figures.refuse(self._name, amount)
            return
        with self._lock:
            before = self._numbers[self._place]
            self._numbers[self._place] = amount if math.isnan(before) else before + amount

    def set(self, value: float) -> None:
        """Replace it; from any thread."""
        if not math.isfinite(value):
            self._figures.refuse(self._name, value)
            return
        with self._lock:
            self._numbers[self._place] = value


class _Histogram:
    """A histogram, of finite values that are not negative."""

    __slots__ = ("_bounds", "_figures", "_first", "_lock", "_name", "_numbers", "_sum")

    def __init__(self, block: Block, series: Series, bounds: Sequence[float], figures: SharedFigures) -> None:
        self._numbers = block.numbers
        self._first = series.first
        self._sum = series.first + series.n_numbers - 1
        self._bounds = bounds
        self._lock = figures.lock
        self._name = series.name
        self._figures = figures

    def observe(self, value: float) -> None:
        """Count a value; from any thread."""
        if not 0.0 <= value < math.inf:
            self._figures.refuse(self._name, value)
            return
        place, numbers = self._first + bisect_left(self._bounds, value), self._numbers
        with self._lock:
            numbers[place] += 1.0
            numbers[self._sum] += value
