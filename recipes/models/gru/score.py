"""The GRU of the HRNN recipes in NumPy, as it serves: the same function as `network.GRU.states`.

What depends on inputs alone is worked out for all steps at once, with the scale and shift of the normalisation folded
into the weights; each step then costs one product.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequence_scorer import SequenceScorer, StepArrays, normalise, open_model
from recipes.components.sequential_rules import SequentialRules
from recipes.data.histories import FloatArray

__all__ = ["PARAMETERS", "GRUScorer", "load"]

#: Arrays of the network besides the item vectors, in files of these names.
PARAMETERS = (
    "actions", "gaps", "lasting", "start", "input_norm", "input_norm_bias", "input", "input_bias", "recurrent",
    "recurrent_bias", "output", "output_bias",
)  # fmt: skip


class GRUScorer(SequenceScorer):
    """Serves the GRU; see `recipes.components.sequence_scorer.SequenceScorer`.

    Args:
        item_vectors: float32 [n_items, d + 1].
        parameters: The arrays named in `PARAMETERS`.
        max_length: Newest items that the network reads.
        score_fusion: Learnt on top of the network.
        sequential_rules: The rules that are fused with it.
    """

    def __init__(
        self,
        item_vectors: FloatArray,
        parameters: Mapping[str, FloatArray],
        *,
        max_length: int,
        score_fusion: ScoreFusion,
        sequential_rules: SequentialRules,
    ) -> None:
        arrays = {**parameters, "max_length": np.array(max_length, np.int32)}
        super().__init__(
            item_vectors, arrays, max_length=max_length, score_fusion=score_fusion, sequential_rules=sequential_rules
        )
        self._input = parameters["input_norm"][:, None] * parameters["input"]
        self._input_bias = parameters["input_norm_bias"] @ parameters["input"] + parameters["input_bias"]
        self._lasting = _sigmoid(np.array(parameters["lasting"]))
        self._start = parameters["start"]
        self._recurrent = np.array(parameters["recurrent"])
        self._recurrent_bias = parameters["recurrent_bias"]

    def _states(self, steps: StepArrays, lengths: NDArray[np.int64]) -> FloatArray:
        batch, places = steps.items.shape
        read = np.empty((batch, places, self._width), np.float32)
        self._read(steps, read)
        inputs = normalise(read) @ self._input
        inputs += self._input_bias
        lasting = self._lasting[steps.gaps]
        state = np.repeat(self._start[None], batch, axis=0)
        newest = np.repeat(state, lengths.shape[1], axis=0)
        rows, ends = np.repeat(np.arange(batch), lengths.shape[1]), lengths.reshape(-1)
        for place in range(places):
            state = self._step(self._start + lasting[:, place] * (state - self._start), inputs[:, place])
            ended = ends == place + 1
            newest[ended] = state[rows[ended]]
        states: FloatArray = newest @ self._arrays["output"]
        states += self._arrays["output_bias"]
        return states.reshape(*lengths.shape, -1)

    def _step(self, state: FloatArray, given: FloatArray) -> FloatArray:
        """Take one step of the unit: float32 [B, d]."""
        width = self._width
        recalled = state @ self._recurrent  # [B, 3d]
        gates = _sigmoid(given[:, : 2 * width] + recalled[:, : 2 * width])
        new = recalled[:, 2 * width :]
        new += self._recurrent_bias
        new *= gates[:, :width]
        new += given[:, 2 * width :]
        np.tanh(new, out=new)
        state -= new
        state *= gates[:, width:]
        state += new
        return state


def load(folder: Path) -> GRUScorer:
    """Open a saved scorer, its arrays mapped.

    Raises:
        CorruptArtifact: Files are missing, cannot be read or do not fit together.
    """
    saved = open_model(folder, PARAMETERS, number="max_length")
    return (
        GRUScorer(
            saved.item_vectors,
            saved.parameters,
            max_length=saved.number,
            score_fusion=saved.score_fusion,
            sequential_rules=saved.sequential_rules,
        )
        .with_regression(saved.regression)
        .with_tables(context=saved.context, user_features=saved.user_features)
        .opened_from(folder)
    )


def _sigmoid(values: FloatArray) -> FloatArray:
    """Work out 1 / (1 + e^-x) in place, by the hyperbolic tangent, which cannot overflow."""
    values *= np.float32(0.5)
    np.tanh(values, out=values)
    values += np.float32(1.0)
    values *= np.float32(0.5)
    return values
