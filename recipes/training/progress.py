"""Reports of how far a fit is, from within its epochs too, at a bounded rate: people want to see work move."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any

from recipes.ports import SECONDS_IN_ALL, FitProgress

__all__ = ["EpochProgress"]


class EpochProgress:
    """Turns shares of epochs into shares of a fit, and reports them, with epoch, step and speed.

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
        self._span = (begin, end)
        self._seconds = seconds
        self._clock = clock
        self._epoch = 0
        self._last = clock()
        #: When and how far the work was that its speed is measured from: after the first steps, which are compiled.
        self._measured_from: tuple[float, float] | None = None
        self._is_first = True

    def start(self, epoch: int) -> None:
        """Begin an epoch, counted from 1, without a report."""
        self._epoch = epoch
        self._last = self._clock()
        if self._measured_from is None:
            self._measured_from = (self._last, (epoch - 1) / self._epochs)
        else:
            self._is_first = False

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
        begin, end = self._span
        values = {"epoch": self._epoch, "epochs": self._epochs, **metrics}
        if (seconds := self._seconds_in_all(done)) is not None:
            values[SECONDS_IN_ALL] = seconds
        self._progress(
            fraction=begin + (end - begin) * done,
            stage=self._stage.format(epoch=self._epoch) + ("" if doing is None else f": {doing}"),
            metrics=values,
        )

    def report_within(self, share: float, *, wait: Callable[[], Any], steps: int | None = None) -> None:
        """Report if it is time.

        Args:
            share: Share of the epoch that has been handed to the device, 0 to 1.
            wait: Waits until that is done, as work runs behind the thread that hands it over, and returns the loss of
                the last step.
            steps: Of the epoch; None where they are not counted.
        """
        if self._clock() - self._last < self._seconds:
            return
        metrics = {"training_loss": float(wait())}
        if steps is not None:
            metrics |= {"step": round(share * steps), "steps": steps}
        self._last = self._clock()
        if self._is_first:
            self._measured_from, self._is_first = (self._last, (self._epoch - 1 + share) / self._epochs), False
        self.report(share, metrics=metrics)

    def _seconds_in_all(self, done: float) -> float | None:
        """Return how long the whole fit takes at the speed of the epochs until now; None at first."""
        if self._measured_from is None:
            return None
        since, done_then = self._measured_from
        begin, end = self._span
        return None if done <= done_then else (self._clock() - since) / ((done - done_then) * (end - begin))
