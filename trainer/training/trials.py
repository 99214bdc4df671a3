"""Trials of a tuning as parts: each is measured by whatever process has a place for it, on this machine or another one.

A process reads the snapshot once, from the shared store, and measures one trial after the other with it.
"""

from __future__ import annotations

import os
import secrets
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Protocol
from weakref import finalize

from common.process.held_folder import HeldFolder, temporary_root
from recipes.ports import FitProgress, ignore_progress
from trainer.training.program import Training
from trainer.training.spec import TrainingSpec

__all__ = ["Measure", "MeasuresTrials", "TrialPart", "run_trial"]

#: Trains with some values, which it is given by name, reports how far it is, and returns the metric that decides.
Measure = Callable[[Mapping[str, str], FitProgress], float]


class MeasuresTrials(Protocol):
    """Steps of a kind of recipes whose hyperparameters are tuned."""

    def open_trials(self) -> Measure:
        """Read the snapshot, and return what measures trials with it; errors of `LearningSteps.load` and `split`."""


@dataclass(frozen=True, slots=True)
class TrialPart:
    """A trial.

    Attributes:
        spec: Of the training, as JSON.
        values: The hyperparameters to try, by name.
        measured: The metric of the same values in an earlier trial; None to measure them.
    """

    spec: str
    values: Mapping[str, str]
    measured: float | None = None


class _Opened:
    """The snapshot of a training, in a process that measures trials.

    Args:
        spec: As JSON.
    """

    def __init__(self, spec: str) -> None:
        # Here, because the programs are made of steps that are tuned.
        from trainer.training.programs import PROGRAMS

        self.spec = spec
        # What processes left that were killed goes when the next one comes.
        folder = HeldFolder(temporary_root("trials"), f"{os.getpid()}-{secrets.token_hex(8)}", idle_seconds=0.0)
        self._remove_folder = finalize(self, folder.remove)
        training = Training.open(TrainingSpec.model_validate_json(spec), folder.path)
        steps: MeasuresTrials = PROGRAMS[training.recipe.kind](training)  # type: ignore[assignment]  # tuned kinds are
        self.measure = steps.open_trials()

    def close(self) -> None:
        self._remove_folder()


_opened: list[_Opened] = []


def run_trial(part: TrialPart) -> float:
    """Measure a trial; a task of `common.compute`.

    Raises:
        TailorbirdError: The snapshot cannot be read, or nothing can be learnt from it with these values.
    """
    if part.measured is not None:
        return part.measured
    if not _opened or _opened[0].spec != part.spec:
        while _opened:  # first, as both need not fit into memory
            _opened.pop().close()
        _opened.append(_Opened(part.spec))
    return _opened[0].measure(part.values, ignore_progress)
