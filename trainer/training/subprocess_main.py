"""A training process: `python -m trainer.training.subprocess_main ORDER`.

A fresh interpreter, because libraries that compute in threads do not survive a fork and a crash must not take the
trainer along. It holds no channel: it is told everything by its order, answers by files beside it, and says how far it
is by one JSON object a line on standard output. It ends when its standard input does, so it cannot outlive the trainer.
"""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import IO

from common.errors import TailorbirdError
from common.process.lifeline import end_with_input
from trainer.training.spec import REFUSED, TrainingSpec

__all__ = ["main"]


def main(order_file: Path) -> int:
    """Train as ordered and return the exit status."""
    # A Ctrl-C at the terminal is for the trainer, which decides what becomes of this process.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    lines = _claim_output()
    end_with_input()
    # After the lifeline is tied, because these take a while to load.
    from recipes.catalog import get_recipe
    from recipes.spec import RecipeKind
    from trainer.training.incremental_update import update
    from trainer.training.item_catalog import train_catalogue
    from trainer.training.pipeline import train

    def progress(*, fraction: float, stage: str, metrics: Mapping[str, float]) -> None:
        _say(lines, {"fraction": fraction, "stage": stage, "metrics": dict(metrics)})

    try:
        order = TrainingSpec.read(order_file)
        from_items = get_recipe(order.recipe).kind is RecipeKind.SIMILAR_CONTENT
        work = update if order.base is not None else train_catalogue if from_items else train
        work(order, order_file.parent, progress=progress).write(order_file.parent)
    except TailorbirdError as error:
        _say(lines, {"failure": error.message, "code": error.code})
        return REFUSED
    except ImportError as error:
        told = f"the trainer lacks what this recipe is fitted with ({error}); install tailorbird[train]"
        _say(lines, {"failure": told, "code": "FAILED_PRECONDITION"})
        return REFUSED
    except MemoryError:
        told = "memory ran out; give the trainer more, or train on fewer interactions"
        _say(lines, {"failure": told, "code": "UNAVAILABLE"})
        return REFUSED
    return 0


def _claim_output() -> IO[str]:
    """Return standard output; what libraries print goes to standard error from now on."""
    lines = os.fdopen(os.dup(1), "w", buffering=1)
    os.dup2(2, 1)
    return lines


def _say(lines: IO[str], document: Mapping[str, object]) -> None:
    lines.write(json.dumps(document) + "\n")


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
