"""Curves of figures over the size of a catalogue, as SVG."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

__all__ = ["Panel", "draw_curves"]


@dataclass(frozen=True, slots=True)
class Panel:
    """Curves of one unit.

    Attributes:
        label: What is drawn, with its unit.
        curves: The figure of each curve, by the name that the legend shows.
    """

    label: str
    curves: Mapping[str, str]


def draw_curves(
    rows: Sequence[Mapping[str, Any]], panels: Sequence[Panel], *, over: str, path: Path, title: str
) -> None:
    """Draw figures over another one, which grows in powers of ten.

    Args:
        rows: What was measured; figures that no row has are left out.
        panels: Drawn beside each other, two in a line.
        over: The figure to the right.
        path: Of the file.
        title: Above all.
    """
    from matplotlib.figure import Figure

    drawn = [panel for panel in panels if any(key in row for row in rows for key in panel.curves.values())]
    lines = -(-len(drawn) // 2)
    figure = Figure(figsize=(10, 3.2 * lines), layout="constrained")
    figure.suptitle(title, fontsize=9)
    for place, panel in enumerate(drawn, start=1):
        axes = figure.add_subplot(lines, 2, place)
        for name, key in panel.curves.items():
            points = [(row[over], row[key]) for row in rows if key in row]
            if points:
                axes.plot(*zip(*points, strict=True), marker="o", label=name)
        axes.set_xscale("log")
        axes.set_ylim(bottom=0)
        axes.set(xlabel=over, ylabel=panel.label)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.savefig(path)
