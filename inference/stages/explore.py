"""Exploration: new items get their chance, by higher scores or by the places of others."""

from __future__ import annotations

import numpy as np

from inference.result import EXPLORED
from inference.run import PipelineRun

__all__ = ["lift_new_items", "mix_new_items"]


def lift_new_items(run: PipelineRun) -> None:
    """Write what is added to the scores of new items, where that is how they are explored."""
    if run.explorer is not None:
        allowed = run.candidates if run.candidates.restricts else None
        run.bonus = run.explorer.bonus(run.state.embedding, allowed=allowed)


def mix_new_items(run: PipelineRun) -> None:
    """Put new items into the places of others, where that is how they are explored.

    What a new item scores is not shown, as the others are in the order of their scores.
    """
    if run.explorer is None:
        return
    mixed = run.explorer.mix(run.items, allowed=run.candidates if run.candidates.restricts else None)
    if mixed is None:
        return
    run.items, explored = mixed
    run.shares = np.where(explored, np.float32(np.nan), run.shares)
    run.reasons.update(dict.fromkeys(run.items[explored].tolist(), EXPLORED))
