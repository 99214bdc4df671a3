"""Running a training process: started, listened to, ended when its job must end, and understood when it dies."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

from common import errors
from common.logs import get_logger
from trainer.training.spec import REFUSED, TrainingResult, TrainingSpec
from trainer.worker import JobContext

__all__ = ["run_training"]

_TAIL_BYTES = 4000
#: Share of a job that is done when its process is.
_DONE = 0.97
_log = get_logger(__name__)


def run_training(order: TrainingSpec, folder: Path, watch: JobContext) -> TrainingResult:
    """Train in a process of its own.

    Args:
        order: What to do.
        folder: Empty; the artifact's files are in it afterwards.
        watch: Hears of progress, and ends the process.

    Raises:
        JobCancelled: The watch said so; the process is gone.
        Unavailable: The process died, or something that it needs cannot be reached.
        TailorbirdError: It says that another attempt cannot succeed, and why.
    """
    order_file = folder / "order.json"
    order.write(order_file)
    output = folder / "output.log"
    with (
        output.open("wb") as log,
        subprocess.Popen(
            [sys.executable, "-m", "trainer.training.subprocess_main", str(order_file)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
        ) as process,
    ):
        _log.info("training_process_started", process_id=process.pid)
        try:
            with watch.ending_calls(process.kill):
                refusal = _listen(process, watch)
                code = process.wait()
        except BaseException:
            process.kill()
            raise
    watch.check()
    if code == 0:
        return TrainingResult.read(folder)
    if code == REFUSED and refusal is not None:
        raise _refused(refusal)
    _log.error("training_process_died", status=code, output=_tail(output))
    raise errors.Unavailable(_death(code))


def _listen(process: subprocess.Popen[bytes], watch: JobContext) -> dict[str, Any] | None:
    """Pass on what the process says until it says no more; returns its refusal, if that is its last word."""
    assert process.stdout is not None
    refusal = None
    for line in process.stdout:
        try:
            said = json.loads(line)
        except json.JSONDecodeError:
            continue  # cut off by the end of the process
        if "failure" in said:
            refusal = said
        else:
            watch.report(fraction=_DONE * said["fraction"], activity=said["stage"])
            _log.debug("training_progress", **said)
    return refusal


def _refused(said: dict[str, Any]) -> errors.TailorbirdError:
    passing = said["code"] in ("UNAVAILABLE", "INTERNAL")
    return errors.Unavailable(said["failure"]) if passing else errors.InvalidInput(said["failure"])


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
