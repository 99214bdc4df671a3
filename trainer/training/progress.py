"""The stages of a training: what share of the whole each takes, what a person reads meanwhile, how long each took.

A training process reports a fraction and an activity; both come from the table below and from what a fit reports of
itself, which is placed into the span of the stage that runs.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from itertools import pairwise
from typing import Final, NamedTuple

from recipes.ports import SECONDS_IN_ALL, FitProgress

__all__ = ["RESUMED", "STAGES", "Stage", "StageProgress", "SubProgress"]


class Stage(NamedTuple):
    """One stage of a training, as its progress shows it.

    Attributes:
        activity: What a person reads while it runs; empty for one that is not worth a word or has words of its own.
        weight: Its share of the whole, in percent of a training without tuning, roughly.
    """

    activity: str
    weight: float


#: The name in a manifest's `stage_seconds` of what earlier attempts had done of the fits, where one went on from them.
RESUMED: Final = "resumed"
#: By the names under which a manifest's `stage_seconds` has them.
STAGES: Final[Mapping[str, Stage]] = {
    "load": Stage("loading data", 5),
    "split": Stage("", 0),
    "tune": Stage("", 100),  # for each trial
    "fit": Stage("fitting", 70),
    "evaluate": Stage("evaluating", 3),
    "compare": Stage("comparing with the version before", 2),
    "extend": Stage("learning from everybody", 15),
    "update": Stage("taking up what is new", 15),
    "index": Stage("indexing", 3),
    "pack": Stage("writing the artifact", 2),
}


class StageProgress:
    """Measures the stages of one training and reports where it is; see `recipes.ports.FitProgress`.

    Args:
        names: The stages of this training in their order, from `STAGES`. One that is not named passes unreported.
        progress: Takes how far the whole is.
        trials: Trainings that tuning may try.
    """

    def __init__(self, names: Sequence[str], progress: FitProgress, *, trials: int = 0) -> None:
        weights = [STAGES[name].weight * (trials if name == "tune" else 1) for name in names]
        begins = [sum(weights[:place]) / sum(weights) for place in range(len(weights) + 1)]
        self._spans = dict(zip(names, pairwise(begins), strict=True))
        self._progress = progress
        self._current = SubProgress(progress, (0.0, 0.0))
        self.seconds: dict[str, float] = {}

    @contextmanager
    def stage(self, name: str, *, metrics: Mapping[str, float] | None = None) -> Iterator[None]:
        """Time a block as a stage, and place what is reported meanwhile into its span.

        Args:
            name: The stage, from `STAGES`.
            metrics: What is known of the model by then.
        """
        if name not in self._spans:
            yield
            return
        begin, _ = self._spans[name]
        self._current = SubProgress(self._progress, self._spans[name])
        if STAGES[name].activity:
            self._progress(fraction=begin, stage=STAGES[name].activity, metrics=metrics or {})
        started = time.perf_counter()
        yield
        self.seconds[name] = round(time.perf_counter() - started, 3)

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        """Take a report of the stage that runs, `fraction` of which is done."""
        self._current(fraction=fraction, stage=stage, metrics=metrics)


class SubProgress:
    """Reports of a part as reports of the whole; the speed of a part counts as that of the whole.

    Args:
        progress: Takes how far the whole is.
        span: Fractions of the whole between which the part lies.
    """

    def __init__(self, progress: FitProgress, span: tuple[float, float]) -> None:
        self._progress = progress
        self._span = span

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        """Take a report of the part."""
        begin, end = self._span
        if SECONDS_IN_ALL in metrics and end > begin:
            metrics = {**metrics, SECONDS_IN_ALL: metrics[SECONDS_IN_ALL] / (end - begin)}
        self._progress(fraction=begin + (end - begin) * fraction, stage=stage, metrics=metrics)
