"""Latencies as HdrHistograms, to three digits from a microsecond to a minute, in the files that other tools read."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from hdrh.histogram import HdrHistogram
from hdrh.log import HistogramLogWriter

__all__ = ["add_encoded", "encoded", "milliseconds", "new_histogram", "plot", "write_hgrm", "write_hlog"]

_LOWEST_MICROS: Final = 1
_HIGHEST_MICROS: Final = 60_000_000
_DIGITS: Final = 3
_MICROS_PER_MILLI: Final = 1000.0
#: Of the curve: shares of the calls that are above.
_CURVE: Final = tuple(0.5 * 0.8**step for step in range(31))


def new_histogram() -> Any:
    """Return an empty one, of microseconds."""
    return HdrHistogram(_LOWEST_MICROS, _HIGHEST_MICROS, _DIGITS)


def encoded(histogram: Any) -> str:
    """Return it as text."""
    text: bytes = histogram.encode()
    return text.decode()


def add_encoded(histogram: Any, text: str) -> None:
    """Add what `encoded` returned."""
    histogram.decode_and_add(text)


def milliseconds(histogram: Any, share: float) -> float:
    """Return the latency that a share of the calls, from 0 to 1, does not exceed."""
    return float(histogram.get_value_at_percentile(100 * share)) / _MICROS_PER_MILLI


def write_hgrm(histogram: Any, path: Path) -> None:
    """Write the distribution by percentiles, in milliseconds, as HdrHistogram's plotter reads it."""
    with path.open("wb") as file:
        histogram.output_percentile_distribution(file, _MICROS_PER_MILLI)


def write_hlog(intervals: Mapping[int, Any], path: Path, *, started: float) -> None:
    """Write a log of histograms.

    Args:
        intervals: By the second since the start.
        path: The file.
        started: Seconds since 1970.
    """
    with path.open("w") as file:
        writer = HistogramLogWriter(file)
        writer.output_log_format_version()
        writer.output_base_time(started * 1000)
        writer.output_legend()
        for second, histogram in sorted(intervals.items()):
            # The library takes a start of 0 for none given, and reads it from the histogram.
            histogram.set_start_time_stamp((started + second) * 1000)
            histogram.set_end_time_stamp((started + second + 1) * 1000)
            writer.base_time = started * 1000
            writer.output_interval_histogram(histogram, max_value_unit_ratio=_MICROS_PER_MILLI)


def plot(histograms: Mapping[str, Any], path: Path, *, title: str) -> None:
    """Draw the curves of latency by percentile, as SVG and as PNG.

    Args:
        histograms: By the names that the legend shows.
        path: Of the files, without their ending.
        title: Above the curves.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 4.5), layout="constrained")
    axes = figure.subplots()
    for name, histogram in histograms.items():
        above = [share for share in _CURVE if share * histogram.get_total_count() >= 1]
        axes.plot([1 / share for share in above], [milliseconds(histogram, 1 - share) for share in above], label=name)
    ticks = {"50 %": 2, "90 %": 10, "99 %": 100, "99.9 %": 1000}
    axes.set_xscale("log")
    axes.set_xticks(list(ticks.values()), list(ticks))
    axes.minorticks_off()
    axes.set_yscale("log")
    axes.set(xlabel="share of calls", ylabel="latency in ms", title=title)
    axes.grid(alpha=0.3)
    axes.legend()
    for ending in (".svg", ".png"):
        figure.savefig(path.with_suffix(ending))
