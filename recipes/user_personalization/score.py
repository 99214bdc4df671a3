"""The network of User-Personalization in NumPy, as it serves: the same function as `network.states`, and fast.

What can be worked out once is: the scales and shifts of the normalisations and the scale of the attention are folded
into the weights that follow them. In the last block only the newest place asks, so only its state is worked out.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from common.errors import CorruptArtifact
from recipes.arrays import map_arrays, save_arrays
from recipes.blend.score import Blend
from recipes.interface import Adjustment, FloatArray, Histories, History, ItemIndexes
from recipes.rules import Followers
from recipes.user_personalization.gaps import gap_buckets

__all__ = ["PARAMETERS", "UserPersonalizationScorer", "load"]

#: Arrays of the network beside the item vectors, in files of these names.
PARAMETERS = (
    "actions", "gaps", "start", "positions",
    "attention_norm", "attention_norm_bias", "attention_in", "attention_in_bias", "attention_out", "attention_out_bias",
    "forward_norm", "forward_norm_bias", "forward_in", "forward_in_bias", "forward_out", "forward_out_bias",
    "final_norm", "final_norm_bias",
)  # fmt: skip

#: Places worked on at once by `queries`: their states fit into the cache.
_BATCH_PLACES = 4096


@dataclass(frozen=True, slots=True)
class _Steps:
    """What the network reads, padded on the right: items, actions and gap buckets, each [B, T - 1]."""

    items: ItemIndexes
    actions: NDArray[np.uint8]
    gaps: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class _Block:
    attention_in: FloatArray  # [d, 3d]
    attention_in_bias: FloatArray
    attention_out: FloatArray
    attention_out_bias: FloatArray
    forward_in: FloatArray
    forward_in_bias: FloatArray
    forward_out: FloatArray
    forward_out_bias: FloatArray


class UserPersonalizationScorer:
    """Makes the vector of a history by one pass of the network; see `recipes.interface.Scorer`.

    Args:
        item_vectors: float32 [n_items, d + 1], as `Blend.item_vectors` makes them of the embeddings and biases.
        parameters: The arrays named in `PARAMETERS`.
        heads: Attention heads.
        blend: Learnt on top of the network.
        followers: The rules that are blended in.
    """

    def __init__(
        self,
        item_vectors: FloatArray,
        parameters: Mapping[str, FloatArray],
        *,
        heads: int,
        blend: Blend,
        followers: Followers,
    ) -> None:
        self.item_vectors = item_vectors
        self.blend = blend
        self._followers = followers
        # The network reads the embeddings as they were learnt.
        self._scale = np.float32(1.0 / blend.network)
        self._parameters = dict(parameters)
        self._heads = heads
        self._width = item_vectors.shape[1] - 1
        self._positions = parameters["positions"]
        self._max_length = len(self._positions) - 1
        self._n_actions = len(parameters["actions"])
        self._blocks = [self._fold(layer) for layer in range(len(parameters["attention_in"]))]
        places = len(self._positions)
        self._mask = np.triu(np.full((places, places), -np.inf, np.float32), k=1)

    def query(self, history: History) -> FloatArray:
        """Make the vector of one history: float32 [d + 1]."""
        known = history.known(len(self.item_vectors)).newest(self._max_length)
        steps = _Steps(known.items[None], self._actions(known.actions)[None], gap_buckets(known.times)[None])
        vector: FloatArray = self._run(steps, np.array([len(known)]))[0]
        return vector

    def queries(self, histories: Histories) -> FloatArray:
        """Make the vectors of many histories: float32 [number of histories, d + 1]."""
        known = (histories.items >= 0) & (histories.items < len(self.item_vectors))
        if not known.all():
            histories = histories.where(known)
        histories = histories.newest(self._max_length)
        lengths = histories.lengths()
        order = np.argsort(lengths, kind="stable")
        found = np.empty((len(histories), self._width + 1), np.float32)
        begin = 0
        while begin < len(order):
            end = begin + 1
            while end < len(order) and (end + 1 - begin) * (lengths[order[end]] + 1) <= _BATCH_PLACES:
                end += 1
            rows = order[begin:end]
            found[rows] = self._run(self._pad(histories.take(rows)), lengths[rows])
            begin = end
        return found

    def adjust(self, history: History) -> Adjustment:
        """Work out what rules and repeats change."""
        known = history.known(len(self.item_vectors))
        return self.blend.adjust(self._followers, History(known.items, self._actions(known.actions), known.times))

    def _actions(self, actions: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Take event types that are newer than the model for unknown ones."""
        return np.where(actions < self._n_actions, actions, np.uint8(0))

    def _pad(self, histories: Histories) -> _Steps:
        lengths = histories.lengths()
        shape = (len(histories), int(lengths.max(initial=0)))
        filled = np.arange(shape[1]) < lengths[:, None]
        items, actions, times = np.zeros(shape, np.int32), np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
        items[filled], actions[filled], times[filled] = histories.items, histories.actions, histories.times
        return _Steps(items, self._actions(actions), gap_buckets(times))

    def save(self, folder: Path) -> None:
        """Write the item vectors, the parameters, the blend and the rules."""
        own: dict[str, NDArray[np.generic]] = {
            "item_vectors": self.item_vectors,
            "heads": np.array(self._heads, np.int32),
        }
        save_arrays(folder, own | self._parameters | self.blend.arrays())
        self._followers.save(folder)

    def _fold(self, layer: int) -> _Block:
        """Fold the normalisation before each product, and the attention's scale, into the product's weights."""
        own = {name: self._parameters[name][layer] for name in PARAMETERS if name.startswith(("attention", "forward"))}
        attention_in = own["attention_norm"][:, None] * own["attention_in"]
        attention_in_bias = own["attention_norm_bias"] @ own["attention_in"] + own["attention_in_bias"]
        scale = np.float32((self._width // self._heads) ** -0.5)
        attention_in[:, : self._width] *= scale
        attention_in_bias[: self._width] *= scale
        return _Block(
            attention_in=attention_in,
            attention_in_bias=attention_in_bias,
            attention_out=own["attention_out"].copy(),
            attention_out_bias=own["attention_out_bias"].copy(),
            forward_in=own["forward_norm"][:, None] * own["forward_in"],
            forward_in_bias=own["forward_norm_bias"] @ own["forward_in"] + own["forward_in_bias"],
            forward_out=own["forward_out"].copy(),
            forward_out_bias=own["forward_out_bias"].copy(),
        )

    def _run(self, steps: _Steps, lengths: NDArray[np.int64]) -> FloatArray:
        """Read padded sequences and return the query vector after the last step of each."""
        batch, places = steps.items.shape[0], steps.items.shape[1] + 1
        hidden = np.empty((batch, places, self._width), np.float32)
        hidden[:, 0] = self._parameters["start"]
        hidden[:, 1:] = self.item_vectors[steps.items, : self._width]
        if self._scale != 1.0:
            hidden[:, 1:] *= self._scale
        hidden[:, 1:] += self._parameters["actions"][steps.actions]
        hidden[:, 1:] += self._parameters["gaps"][steps.gaps]
        hidden += self._positions[:places]
        for block in self._blocks[:-1]:
            hidden += self._attend_all(block, _norm(hidden))
            hidden += _forward(block, hidden)
        newest = self._attend_newest(self._blocks[-1], hidden, lengths)
        newest += _forward(self._blocks[-1], newest)
        queries = np.ones((batch, self._width + 1), np.float32)
        queries[:, :-1] = _norm(newest) * self._parameters["final_norm"] + self._parameters["final_norm_bias"]
        return queries

    def _attend_all(self, block: _Block, normed: FloatArray) -> FloatArray:
        batch, places, width = normed.shape
        projected = normed @ block.attention_in  # [B, T, 3d]
        projected += block.attention_in_bias
        # Copies in the order of the products: NumPy multiplies other orders without BLAS, at a tenth of the speed.
        split = np.ascontiguousarray(projected.reshape(batch, places, 3, self._heads, -1).transpose(2, 0, 3, 1, 4))
        query, key, value = split
        scores = query @ key.swapaxes(2, 3)  # [B, h, T, T]
        scores += self._mask[:places, :places]
        shares = _softmax(scores)
        mixed = (shares @ value).transpose(0, 2, 1, 3).reshape(batch, places, width)
        outer: FloatArray = mixed @ block.attention_out
        outer += block.attention_out_bias
        return outer

    def _attend_newest(self, block: _Block, hidden: FloatArray, lengths: NDArray[np.int64]) -> FloatArray:
        """Work out the attention for the newest place of each sequence and add it to that place: [B, d]."""
        batch, places, width = hidden.shape
        rows = np.arange(batch)
        normed = _norm(hidden)
        query = normed[rows, lengths] @ block.attention_in[:, :width] + block.attention_in_bias[:width]
        projected = normed @ block.attention_in[:, width:]  # [B, T, 2d]
        projected += block.attention_in_bias[width:]
        split = np.ascontiguousarray(projected.reshape(batch, places, 2, self._heads, -1).transpose(2, 0, 3, 1, 4))
        key, value = split
        scores = query.reshape(batch, self._heads, 1, -1) @ key.swapaxes(2, 3)  # [B, h, 1, T]
        scores += self._mask[lengths, :places][:, None, None, :]
        mixed = (_softmax(scores) @ value).reshape(batch, width)
        newest: FloatArray = hidden[rows, lengths] + mixed @ block.attention_out + block.attention_out_bias
        return newest


def load(folder: Path) -> UserPersonalizationScorer:
    """Open a saved scorer, its arrays mapped.

    Raises:
        CorruptArtifact: Files are missing, cannot be read or do not fit together.
    """
    arrays = map_arrays(folder, ("item_vectors", "heads", *PARAMETERS, *Blend.names()))
    vectors, heads = arrays["item_vectors"], arrays["heads"]
    width = arrays["start"].shape[-1]
    if vectors.ndim != 2 or vectors.shape[1] != width + 1 or heads.shape != () or width % int(heads):
        raise CorruptArtifact(
            f"`item_vectors.npy`: got shape {vectors.shape}, want {width + 1} columns, as `start.npy` tells"
        )
    return UserPersonalizationScorer(
        vectors,
        {name: arrays[name] for name in PARAMETERS},
        heads=int(heads),
        blend=Blend.from_arrays(arrays),
        followers=Followers.load(folder, n_items=len(vectors)),
    )


def _forward(block: _Block, hidden: FloatArray) -> FloatArray:
    inner: FloatArray = _norm(hidden) @ block.forward_in
    inner += block.forward_in_bias
    np.maximum(inner, np.float32(0.0), out=inner)
    outer: FloatArray = inner @ block.forward_out
    outer += block.forward_out_bias
    return outer


def _norm(values: FloatArray) -> FloatArray:
    """Normalise without scale and shift, which are folded into what follows."""
    width = values.shape[-1]
    centred: FloatArray = values - values.mean(axis=-1, keepdims=True)
    variance = np.einsum("...d,...d->...", centred, centred)[..., None] / np.float32(width)
    centred /= np.sqrt(variance + np.float32(1e-5))
    return centred


def _softmax(scores: FloatArray) -> FloatArray:
    scores -= scores.max(axis=-1, keepdims=True)
    np.exp(scores, out=scores)
    scores /= scores.sum(axis=-1, keepdims=True)
    return scores
