"""A training process: `python -m trainer.training.subprocess_main SPEC`.

A fresh interpreter, because libraries that compute in threads do not survive a fork and a crash must not take the
trainer along. It holds no channel: it reads a spec, writes files beside it, and reports its progress by one JSON object
a line on standard output, where its log goes too. It ends when its standard input does, so it cannot outlive the
trainer.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TextIO

from common.errors import TailorbirdError
from common.logs import configure_logging
from common.process.lifeline import end_with_input
from trainer.training.spec import REFUSED, RESULT, TrainingSpec

__all__ = ["main"]


def main(spec_file: Path) -> int:
    """Train as the spec says and return the exit status."""
    # A Ctrl-C at the terminal is for the trainer, which decides what becomes of this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines = _claim_output()
    end_with_input()
    configure_logging("training", stream=lines)
    logging.getLogger("jax").setLevel(logging.WARNING)  # it tells of every kind of device that is not there
    # After the lifeline is tied, because it takes a while to load.
    from trainer.training.programs import run_program

    def progress(*, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        _write_line(lines, {"fraction": fraction, "stage": stage, "metrics": dict(metrics)})

    try:
        manifest = run_program(TrainingSpec.read(spec_file), spec_file.parent, progress=progress)
        (spec_file.parent / RESULT).write_bytes(manifest.SerializeToString())
    except TailorbirdError as error:
        return _refuse(lines, error.message, code=error.code)
    except ImportError as error:
        message = f"the trainer lacks what this recipe is fitted with ({error}); install tailorbird[train]"
        return _refuse(lines, message, code="FAILED_PRECONDITION")
    except MemoryError:
        message = "memory ran out; give the trainer more, or train on fewer interactions"
        return _refuse(lines, message, code="UNAVAILABLE")
    return 0


def _refuse(lines: TextIO, message: str, *, code: str) -> int:
    """Say as the last word why there is no model, and return the exit status."""
    _write_line(lines, {"failure": message, "code": code})
    return REFUSED


def _claim_output() -> TextIO:
    """Return standard output; what libraries print goes to standard error from now on."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return lines


def _write_line(lines: TextIO, document: Mapping[str, object]) -> None:
    lines.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
