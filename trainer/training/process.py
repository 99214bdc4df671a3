"""Runs a training process: starts it, passes its progress on, kills it when its job must end, explains its death."""

from __future__ import annotations

import json
import logging
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final, Protocol

from common import errors
from common.logs import get_logger
from protos.tailorbird.storage.v1.artifact_manifest_pb2 import ArtifactManifest
from recipes.ports import SECONDS_IN_ALL
from trainer.training.spec import REFUSED, RESULT, TrainingSpec
from trainer.worker import JobContext

__all__ = ["TrainingRun", "job_error", "run_training"]

_TAIL_BYTES = 4000
#: Share of a job that is done when its process is.
_DONE = 0.97
#: What is measured at the end of an epoch, and holds within the next one.
_OF_EPOCHS: Final = frozenset({"training_loss", "validation_ndcg_at_10"})
_log = get_logger(__name__)


class TrainingRun(Protocol):
    """Trains as a spec says; `run_training` does it in a process of its own, which may be killed at any time."""

    def __call__(
        self, spec: TrainingSpec, folder: Path, context: JobContext, /, *, on_start: Callable[[int], object]
    ) -> ArtifactManifest:
        """Train; arguments, result and errors are those of `run_training`."""


def run_training(
    spec: TrainingSpec, folder: Path, context: JobContext, *, on_start: Callable[[int], object] = lambda _: None
) -> ArtifactManifest:
    """Train in a process of its own.

    Args:
        spec: What to train.
        folder: Empty; the artifact's files are in it afterwards.
        context: Of the job; takes progress, and ends the process.
        on_start: Told the id of the process.

    Returns:
        What the training knows of its artifact.

    Raises:
        JobCancelled: The job must end; the process is gone.
        Unavailable: The process died, or something that it needs cannot be reached.
        TailorbirdError: It says that another attempt cannot succeed, and why.
    """
    spec_file = folder / "spec.json"
    spec.write(spec_file)
    output = folder / "output.log"
    with (
        output.open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "trainer.training.subprocess_main", str(spec_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        _log.info("training_process_started", process_id=process.pid)
        on_start(process.pid)
        try:
            with context.on_cancel(process.kill):
                failure = _pass_progress_on(process, context)
                code = process.wait()
        except BaseException:
            process.kill()
            raise
    context.check()
    if code == 0:
        return ArtifactManifest.FromString((folder / RESULT).read_bytes())
    if code == REFUSED and failure is not None:
        raise job_error(failure["failure"], code=failure["code"])
    _log.error("training_process_died", status=code, output=_tail(output))
    raise errors.Unavailable(_death(code))


def _pass_progress_on(process: subprocess.Popen[bytes], context: JobContext) -> dict[str, Any] | None:
    """Report what the process writes until it writes no more; returns its failure, if that is the last line."""
    assert process.stdout is not None
    failure = None
    details: Mapping[str, float] = {}
    for line in process.stdout:
        try:
            message = json.loads(line)
        except json.JSONDecodeError:
            continue  # cut off by the end of the process
        if "failure" in message:
            failure = message
        elif "event" in message:
            _log_again(message)
        else:
            details = _details(message, details)
            context.report(fraction=_DONE * message["fraction"], activity=message["stage"], details=details)
            _log.debug("training_progress", **message)
    return failure


def _details(message: Mapping[str, Any], before: Mapping[str, float]) -> Mapping[str, float]:
    """Return what is known after a report: what an epoch was measured by holds until the next one has ended."""
    metrics: dict[str, float] = message["metrics"]
    if "epoch" not in metrics:
        return {name: metrics[name] for name in _OF_EPOCHS & metrics.keys()}
    details = {name: value for name, value in before.items() if name in _OF_EPOCHS} | metrics
    seconds = details.pop(SECONDS_IN_ALL, None)
    return details if seconds is None else details | {"seconds_left": seconds * (1.0 - message["fraction"])}


def _log_again(message: dict[str, Any]) -> None:
    """Write what the process logs into the trainer's log."""
    level = logging.getLevelNamesMapping().get(str(message.pop("level", "info")).upper(), logging.INFO)
    event = message.pop("event")
    for name in ("service", "timestamp"):
        message.pop(name, None)
    _log.log(level, event, **message)


def job_error(message: str, *, code: str) -> errors.TailorbirdError:
    """Return what a training's refusal is to its job: a reason to try again, or the end of it.

    Args:
        message: Why there is no model.
        code: Of gRPC; see `common.errors.TailorbirdError`.
    """
    retryable = code in ("UNAVAILABLE", "INTERNAL", errors.StorageFull.code)
    return errors.Unavailable(message) if retryable else errors.InvalidInput(message)


def _death(code: int) -> str:
    if code == -signal.SIGKILL:
        return (
            "the training process was killed, most likely because memory ran out; give the trainer more memory, or "
            "train on fewer interactions or with a smaller model"
        )
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"the training process crashed ({name}); the trainer's log has its last words"
    return f"the training process ended with status {code}; the trainer's log has its last words"


def _tail(output: Path) -> str:
    data = output.read_bytes()
    return data[-_TAIL_BYTES:].decode(errors="replace")
