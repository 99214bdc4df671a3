"""Reports of how far a fit is, from within its epochs too, at a bounded rate: people want to see work move."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType

from recipes.ports import FitProgress

__all__ = ["EpochProgress"]


class EpochProgress:
    """Turns shares of epochs into shares of a fit, and reports them.

    Args:
        progress: Receives the reports; may raise to stop the work.
        stage: Name of the stage, with `{epoch}` for the number of the epoch.
        epochs: Epochs at most.
        begin: Share of the fit that is done before the first epoch.
        end: Share that is done after the last one.
        seconds: Least time between two reports from within an epoch, and before the first.
        clock: Seconds of a clock that never goes back.
    """

    def __init__(
        self,
        progress: FitProgress,
        *,
        stage: str,
        epochs: int,
        begin: float = 0.0,
        end: float = 1.0,
        seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._progress = progress
        self._stage = stage
        self._epochs = epochs
        self._begin = begin
        self._end = end
        self._seconds = seconds
        self._clock = clock
        self._epoch = 0
        self._last = clock()

    def start(self, epoch: int) -> None:
        """Begin an epoch, counted from 1, without a report."""
        self._epoch = epoch
        self._last = self._clock()

    def report(
        self, share: float, *, metrics: Mapping[str, float] = MappingProxyType({}), doing: str | None = None
    ) -> None:
        """Report that a share of the epoch, 0 to 1, is done; at its end with what was measured.

        Args:
            share: Of the epoch.
            metrics: What was measured, by name.
            doing: What comes next within the epoch, where it is not learning.
        """
        done = (self._epoch - 1 + share) / self._epochs
        self._progress(
            fraction=self._begin + (self._end - self._begin) * done,
            stage=self._stage.format(epoch=self._epoch) + ("" if doing is None else f": {doing}"),
            metrics=metrics,
        )

    def report_within(self, share: float, *, wait: Callable[[], object]) -> None:
        """Report if it is time.

        Args:
            share: Share of the epoch that has been handed to the device, 0 to 1.
            wait: Returns when that is done: work runs behind the thread that hands it over.
        """
        if self._clock() - self._last < self._seconds:
            return
        wait()
        self._last = self._clock()
        self.report(share)
