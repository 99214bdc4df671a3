"""SASRec in NumPy, as it serves: the same function as `network.SASRec.states`, and fast.

What can be worked out once is: the scales and shifts of the normalisations and the scale of the attention are folded
into the weights that follow them, and what counts by distance is laid out for each pair of places. In the last block
only the states that are wanted are worked out: of the newest place, or of a few.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from common.errors import CorruptArtifact
from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequence_scorer import SequenceScorer, StepArrays, normalise, open_model
from recipes.components.sequential_rules import SequentialRules
from recipes.data.histories import FloatArray

__all__ = ["BLOCK_PREFIXES", "PARAMETERS", "SASRecScorer", "load"]

#: What counts by distance: added to the scores of the attention, float32 [layers, heads, T]; logarithms of the weights
#: of the moving averages, float32 [layers, T]; and what the averages are multiplied by, float32 [layers, d].
_OF_DISTANCES: Final = ("attention_distances", "average_distances", "average_gain")

#: Arrays of the network besides the item vectors, in files of these names. Artifacts from before distances counted have
#: vectors of places, `positions`, float32 [T, d], instead of what counts by distance.
PARAMETERS: Final[tuple[str, ...]] = (
    *_OF_DISTANCES, "actions", "gaps", "start",
    "attention_norm", "attention_norm_bias", "attention_in", "attention_in_bias", "attention_out", "attention_out_bias",
    "forward_norm", "forward_norm_bias", "forward_in", "forward_in_bias", "forward_out", "forward_out_bias",
    "final_norm", "final_norm_bias",
)  # fmt: skip

#: What the names of those begin with that have a part for each block.
BLOCK_PREFIXES: Final = ("average", "attention", "forward")


@dataclass(frozen=True, slots=True)
class _Block:
    """The folded weights of one transformer block, d wide; biases have the width of the product before them."""

    distance_scores: FloatArray  # [h, T, T], a view: added to the attention's, -inf for what comes later
    average_shares: FloatArray  # [T, T], of what stands in each column in the average of each row
    average_gain: FloatArray  # [d]
    attention_in: FloatArray  # [d, 3d]
    attention_in_bias: FloatArray
    attention_out: FloatArray  # [d, d]
    attention_out_bias: FloatArray
    forward_in: FloatArray  # [d, d]
    forward_in_bias: FloatArray
    forward_out: FloatArray  # [d, d]
    forward_out_bias: FloatArray


class SASRecScorer(SequenceScorer):
    """Serves SASRec; see `recipes.components.sequence_scorer.SequenceScorer`.

    Args:
        item_vectors: float32 [n_items, d + 1].
        parameters: The arrays named in `PARAMETERS`; or, without those of distances, `positions`, float32 [T, d].
        heads: Attention heads.
        score_fusion: Learnt on top of the network.
        sequential_rules: The rules that are fused with it.
    """

    def __init__(
        self,
        item_vectors: FloatArray,
        parameters: Mapping[str, FloatArray],
        *,
        heads: int,
        score_fusion: ScoreFusion,
        sequential_rules: SequentialRules,
    ) -> None:
        self._positions = parameters.get("positions")
        places = parameters["average_distances"].shape[1] if self._positions is None else len(self._positions)
        arrays = {**parameters, "heads": np.array(heads, np.int32)}
        super().__init__(
            item_vectors, arrays, max_length=places - 1, score_fusion=score_fusion, sequential_rules=sequential_rules
        )
        self._heads = heads
        self._blocks = [self._fold(layer, places) for layer in range(len(parameters["attention_in"]))]

    def _states(self, steps: StepArrays, lengths: NDArray[np.int64]) -> FloatArray:
        batch, places = steps.items.shape[0], steps.items.shape[1] + 1
        hidden = np.empty((batch, places, self._width), np.float32)
        hidden[:, 0] = self._arrays["start"]
        self._read(steps, hidden[:, 1:])
        if self._positions is not None:
            hidden += self._positions[:places]
        for block in self._blocks[:-1]:
            hidden += self._attend_all(block, normalise(hidden))
            hidden += _forward(block, hidden)
        newest = self._attend_newest(self._blocks[-1], hidden, lengths)
        newest += _forward(self._blocks[-1], newest)
        states: FloatArray = normalise(newest) * self._arrays["final_norm"] + self._arrays["final_norm_bias"]
        return states.reshape(*lengths.shape, -1)

    def _fold(self, layer: int, places: int) -> _Block:
        """Fold the normalisation before each product, and the attention's scale, into the product's weights."""
        weights = {name: value[layer] for name, value in self._arrays.items() if name.startswith(BLOCK_PREFIXES)}
        of_attention = weights.get("attention_distances", np.zeros((self._heads, places), np.float32))
        of_average = weights.get("average_distances", np.zeros(places, np.float32))
        gain = weights.get("average_gain", np.zeros(self._width, np.float32))
        attention_in = weights["attention_norm"][:, None] * weights["attention_in"]
        attention_in_bias = weights["attention_norm_bias"] @ weights["attention_in"] + weights["attention_in_bias"]
        scale = np.float32((self._width // self._heads) ** -0.5)
        attention_in[:, : self._width] *= scale
        attention_in_bias[: self._width] *= scale
        return _Block(
            distance_scores=_by_distance(of_attention),
            average_shares=_softmax(_by_distance(of_average[None])[0].copy()),
            average_gain=gain * weights["attention_norm"],
            attention_in=attention_in,
            attention_in_bias=attention_in_bias,
            attention_out=weights["attention_out"].copy(),
            # Shares add up to 1, so what the normalisation shifts comes through averages as it is.
            attention_out_bias=weights["attention_out_bias"] + gain * weights["attention_norm_bias"],
            forward_in=weights["forward_norm"][:, None] * weights["forward_in"],
            forward_in_bias=weights["forward_norm_bias"] @ weights["forward_in"] + weights["forward_in_bias"],
            forward_out=weights["forward_out"].copy(),
            forward_out_bias=weights["forward_out_bias"].copy(),
        )

    def _attend_all(self, block: _Block, normed: FloatArray) -> FloatArray:
        """Work out the attention and the moving average for every place: float32 [B, T, d]."""
        batch, places, width = normed.shape
        projected = normed @ block.attention_in  # [B, T, 3d]
        projected += block.attention_in_bias
        # Copies in the order of the products: NumPy multiplies other orders without BLAS, at a tenth of the speed.
        split = np.ascontiguousarray(projected.reshape(batch, places, 3, self._heads, -1).transpose(2, 0, 3, 1, 4))
        query, key, value = split
        scores = query @ key.swapaxes(2, 3)  # [B, h, T, T]
        scores += block.distance_scores[:, :places, :places]
        shares = _softmax(scores)
        mixed = (shares @ value).transpose(0, 2, 1, 3).reshape(batch, places, width)
        outer: FloatArray = mixed @ block.attention_out
        outer += block.attention_out_bias
        outer += (block.average_shares[:places, :places] @ normed) * block.average_gain
        return outer

    def _attend_newest(self, block: _Block, hidden: FloatArray, lengths: NDArray[np.int64]) -> FloatArray:
        """Work out attention and average for the newest places of each sequence, and add them to these: [B k, d]."""
        batch, places, width = hidden.shape
        rows = np.arange(batch)[:, None]
        normed = normalise(hidden)
        query = normed[rows, lengths].reshape(-1, width) @ block.attention_in[:, :width]
        query += block.attention_in_bias[:width]
        projected = normed @ block.attention_in[:, width:]  # [B, T, 2d]
        projected += block.attention_in_bias[width:]
        split = np.ascontiguousarray(projected.reshape(batch, places, 2, self._heads, -1).transpose(2, 0, 3, 1, 4))
        key, value = split
        query = np.ascontiguousarray(query.reshape(batch, -1, self._heads, width // self._heads).swapaxes(1, 2))
        scores = query @ key.swapaxes(2, 3)  # [B, h, k, T]
        scores += block.distance_scores[:, lengths, :places].swapaxes(0, 1)
        mixed = (_softmax(scores) @ value).swapaxes(1, 2).reshape(-1, width)
        newest: FloatArray = hidden[rows, lengths].reshape(-1, width) + mixed @ block.attention_out
        newest += block.attention_out_bias
        averages = block.average_shares[lengths, :places] @ normed  # [B, k, d]
        newest += averages.reshape(-1, width) * block.average_gain
        return newest


def load(folder: Path) -> SASRecScorer:
    """Open a saved scorer, its arrays mapped.

    Raises:
        CorruptArtifact: Files are missing, cannot be read or do not fit together.
    """
    names = PARAMETERS
    if (folder / "positions.npy").exists():
        names = ("positions", *(name for name in PARAMETERS if name not in _OF_DISTANCES))
    saved = open_model(folder, names, number="heads")
    width, heads = saved.item_vectors.shape[1] - 1, saved.number
    if heads < 1 or width % heads:
        raise CorruptArtifact(f"`heads.npy`: got {heads}, want a divisor of the width {width}")
    _check_distances(saved.parameters, width=width, heads=heads)
    return (
        SASRecScorer(
            saved.item_vectors,
            saved.parameters,
            heads=heads,
            score_fusion=saved.score_fusion,
            sequential_rules=saved.sequential_rules,
        )
        .with_regression(saved.regression)
        .with_tables(context=saved.context, user_features=saved.user_features)
        .opened_from(folder)
    )


def _check_distances(parameters: Mapping[str, FloatArray], *, width: int, heads: int) -> None:
    """Raise `CorruptArtifact` where what tells the order of steps does not fit the rest."""
    layers = len(parameters["attention_in"])
    if "positions" in parameters:
        fitting: dict[str, tuple[int, ...]] = {"positions": (*parameters["positions"].shape[:1], width)}
    else:
        places = parameters["average_distances"].shape[1:]
        fitting = {
            "average_distances": (layers, *places),
            "attention_distances": (layers, heads, *places),
            "average_gain": (layers, width),
        }
    for name, shape in fitting.items():
        if parameters[name].shape != shape:
            raise CorruptArtifact(f"`{name}.npy`: got shape {parameters[name].shape}, want {shape}")


def _forward(block: _Block, hidden: FloatArray) -> FloatArray:
    """Work out the feed-forward layer of a block: float32, of the shape of `hidden`, [..., d]."""
    inner: FloatArray = normalise(hidden) @ block.forward_in
    inner += block.forward_in_bias
    np.maximum(inner, np.float32(0.0), out=inner)
    outer: FloatArray = inner @ block.forward_out
    outer += block.forward_out_bias
    return outer


def _by_distance(parameters: FloatArray) -> FloatArray:
    """Lay out what places count for each other, float32 [k, T, T], a view, of [k, T]; -inf for what comes later."""
    places = parameters.shape[1]
    later = np.full((len(parameters), places - 1), -np.inf, np.float32)
    line = np.concatenate([parameters[:, ::-1], later], axis=1)
    # The row of each place begins one further left in the line than that of the place before.
    return sliding_window_view(line, places, axis=1)[:, ::-1]


def _softmax(scores: FloatArray) -> FloatArray:
    """Turn scores into shares of 1 along the last axis, in place."""
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores
