"""Choosing hyperparameters by trial (`performHPO`).

The trials are measured on users of their own: a tenth of those that the version itself may learn from, so the figures
that are published later have nothing to do with the choice. The search is Optuna's tree-structured Parzen estimator
(Bergstra et al., "Algorithms for hyper-parameter optimization", NIPS 2011), which begins with the defaults; a trial
that lags behind the median of the others on the validation steps of its own training is cut short.

Trials are done one after another, each with the whole machine, or side by side on a cluster. There a trial is proposed
without what those that still run will say, which the estimator takes for bad (its "constant liar"); none is cut short;
and what is proposed next depends on which ended first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import optuna

from common.compute import Compute
from common.logs import get_logger
from protos.tailorbird.internal.v1.jobs_pb2 import HyperParameterRange, HyperParameterTuning
from recipes.evaluation.paired_tests import PRIMARY_METRIC
from recipes.ports import FitProgress
from trainer.training.progress import SubProgress
from trainer.training.trials import Measure, TrialPart

__all__ = ["tune", "tune_side_by_side"]

#: What a training reports after each pass, where it validates.
_REPORTED: Final = "validation_ndcg_at_10"
#: Trials that are never cut short, the first ones, and reports of a trial before it may be.
_UNCUT_TRIALS, _UNCUT_REPORTS = 3, 4

_log = get_logger(__name__)


def tune(
    measure: Measure, tuning: HyperParameterTuning, *, defaults: Mapping[str, Any], seed: int, progress: FitProgress
) -> dict[str, str]:
    """Try values out, the defaults first, and return the best, as strings by name.

    Args:
        measure: Tries them out; equal values are tried once.
        tuning: What to search.
        defaults: Of all hyperparameters; they are moved into the ranges, and a choice without its default is open.
        seed: Where the random numbers of the search begin.
        progress: Takes how far the search is.
    """
    study = _study(tuning, defaults, seed=seed)
    measured: dict[tuple[str, ...], float] = {}
    for number in range(tuning.trials):
        trial = study.ask()
        values = {item.name: _text(_suggest(trial, item)) for item in tuning.ranges}
        key = tuple(values.values())
        trial_progress = SubProgress(progress, (number / tuning.trials, (number + 1) / tuning.trials))
        try:
            if key not in measured:
                measured[key] = measure(
                    values, _TrialProgress(trial, trial_progress, stage=f"trial {number + 1} of {tuning.trials}")
                )
        except optuna.TrialPruned:
            study.tell(trial, state=optuna.trial.TrialState.PRUNED)
            _log.info("trial_cut_short", number=number + 1, **values)
        else:
            study.tell(trial, measured[key])
            _log.info("trial", number=number + 1, value=round(measured[key], 4), **values)
    progress(fraction=1.0, stage="tuned", metrics={PRIMARY_METRIC: study.best_value})
    return {name: _text(value) for name, value in study.best_params.items()}


def tune_side_by_side(
    compute: Compute,
    task: Callable[[TrialPart], float],
    spec: str,
    tuning: HyperParameterTuning,
    *,
    defaults: Mapping[str, Any],
    seed: int,
    progress: FitProgress,
) -> dict[str, str]:
    """Try values out as `tune` does, as many trials at a time as there are places for.

    Args:
        compute: Does the trials.
        task: Measures one.
        spec: Of the training, as JSON; handed to the task.
        tuning: What to search.
        defaults: As of `tune`.
        seed: Where the random numbers of the search begin.
        progress: Takes how far the search is, and may raise to end it.

    Raises:
        Unavailable: The cluster cannot be reached, or loses a trial again and again.
        TailorbirdError: As the task raises.
    """
    study = _study(tuning, defaults, seed=seed, side_by_side=True)
    proposals = _Proposals(study, tuning, spec)

    def report(ended: int) -> None:
        progress(fraction=ended / tuning.trials, stage=f"{ended} of {tuning.trials} trials", metrics={})

    report(0)
    for ended, (place, value) in enumerate(compute.run(task, proposals, check=lambda: None), 1):
        proposals.tell(place, value)
        report(ended)
    progress(fraction=1.0, stage="tuned", metrics={PRIMARY_METRIC: study.best_value})
    return {name: _text(value) for name, value in study.best_params.items()}


class _Proposals(Sequence[TrialPart]):
    """Trials as parts, proposed when there is a place for them, from what was told of others by then.

    Args:
        study: Proposes.
        tuning: What to search.
        spec: Of the training.
    """

    def __init__(self, study: optuna.Study, tuning: HyperParameterTuning, spec: str) -> None:
        self._study, self._tuning, self._spec = study, tuning, spec
        self._trials: dict[int, tuple[optuna.Trial, dict[str, str]]] = {}
        self._measured: dict[tuple[str, ...], float] = {}

    def __len__(self) -> int:
        return self._tuning.trials

    def __getitem__(self, place: Any) -> Any:
        trial = self._study.ask()
        values = {item.name: _text(_suggest(trial, item)) for item in self._tuning.ranges}
        self._trials[place] = trial, values
        return TrialPart(self._spec, values, self._measured.get(tuple(values.values())))

    def tell(self, place: int, value: float) -> None:
        """Take what was measured of a trial."""
        trial, values = self._trials.pop(place)
        self._measured[tuple(values.values())] = value
        self._study.tell(trial, value)
        _log.info("trial", number=place + 1, value=round(value, 4), **values)


def _study(
    tuning: HyperParameterTuning, defaults: Mapping[str, Any], *, seed: int, side_by_side: bool = False
) -> optuna.Study:
    """Return a study that proposes the defaults first."""
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        direction="maximize",
        sampler=optuna.samplers.TPESampler(
            seed=seed, n_startup_trials=min(10, max(2, tuning.trials // 2)), constant_liar=side_by_side
        ),
        pruner=optuna.pruners.MedianPruner(n_startup_trials=_UNCUT_TRIALS, n_warmup_steps=_UNCUT_REPORTS),
    )
    study.enqueue_trial(_within(tuning.ranges, defaults))
    return study


class _TrialProgress:
    """Passes on what a trial reports, and ends it when it lags behind the others."""

    def __init__(self, trial: optuna.Trial, progress: FitProgress, *, stage: str) -> None:
        self._trial, self._progress, self._stage = trial, progress, stage
        self._reports = 0

    def __call__(self, *, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        self._progress(fraction=fraction, stage=f"{self._stage}: {stage}", metrics=metrics)
        if _REPORTED in metrics:
            self._trial.report(metrics[_REPORTED], step=self._reports)
            self._reports += 1
            if self._trial.should_prune():
                raise optuna.TrialPruned


def _suggest(trial: optuna.Trial, item: HyperParameterRange) -> int | float | str:
    match item.kind:
        case "integer":
            return trial.suggest_int(item.name, round(item.low), round(item.high))
        case "float":
            return trial.suggest_float(item.name, item.low, item.high)
        case _:
            return str(trial.suggest_categorical(item.name, list(item.values)))


def _within(ranges: Iterable[HyperParameterRange], defaults: Mapping[str, Any]) -> dict[str, int | float | str]:
    """Return the defaults of what is tuned, moved into the ranges; choices without the default are left open."""
    values: dict[str, int | float | str] = {}
    for item in ranges:
        default = defaults[item.name]
        if item.kind == "choice":
            for text in item.values:
                if text.lower() == _text(default).lower():
                    values[item.name] = text
        else:
            inside = min(max(default, item.low), item.high)
            values[item.name] = round(inside) if item.kind == "integer" else inside
    return values


def _text(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
