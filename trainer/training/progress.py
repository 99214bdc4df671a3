"""How far a training is and how long its stages take."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from recipes.ports import FitProgress

__all__ = ["EXTEND", "FIT", "Stages", "SubProgress"]

#: Shares of the whole that the parts of a training take, roughly.
FIT, EXTEND = (0.05, 0.75), (0.8, 0.95)


class Stages:
    """Times the stages."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Time a block."""
        began = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - began, 3)


class SubProgress:
    """Reports of a part as reports of the whole; `span` says which part of the whole it is."""

    def __init__(self, progress: FitProgress, span: tuple[float, float] = FIT) -> None:
        self._progress = progress
        self.span = span

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        """Take a report of the part."""
        begin, end = self.span
        self._progress(fraction=begin + (end - begin) * fraction, stage=stage, metrics=metrics)
