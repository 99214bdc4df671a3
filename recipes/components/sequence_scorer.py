"""What the scorers of all sequence models share: what a network reads, score fusion, and batching. NumPy only.

A model supplies the pass of its network (`SequenceScorer._states`); see `recipes.models.sasrec.score` and
`recipes.models.gru.score`.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from common.arrays import map_arrays, save_arrays
from common.errors import CorruptArtifact
from recipes.components.cold_start import COLD, with_cold_items
from recipes.components.context import ContextTable
from recipes.components.item_regression.score import ItemRegression
from recipes.components.new_items import ContentEncoder, learn_encoder, unremarkable_vector
from recipes.components.score_fusion.score import ScoreFusion
from recipes.components.sequential_rules import SequentialRules
from recipes.components.user_features import UserFeatureTable
from recipes.data.histories import FloatArray, Histories, History, ItemIndexes
from recipes.data.training_data import TrainingData
from recipes.ports import LearntContent, Neighbours, ScoreDelta, ScoreDeltas

__all__ = ["GAP_BUCKETS", "SavedModel", "SequenceScorer", "StepArrays", "gap_buckets", "normalise", "open_model"]

#: Places worked on at once by `embed_histories`: their states fit into the cache.
_BATCH_PLACES = 4096


#: Buckets of the time between two steps; the last one holds gaps of 2^22 seconds (49 days) and more.
GAP_BUCKETS = 24


def gap_buckets(times: NDArray[np.int64]) -> NDArray[np.int32]:
    """Sort the time since the step before into buckets, on a logarithmic scale.

    Args:
        times: int64 [..., T], seconds, each row oldest first.

    Returns:
        int32 [..., T]: 0 for the first step and where no time passed, else 1 + floor(log2(seconds)), at most
        `GAP_BUCKETS` - 1.
    """
    gaps = np.maximum(np.diff(times, axis=-1, prepend=times[..., :1]), 0)
    # The exponent of a float64 is the floor of the logarithm plus 1, exact up to 2^53.
    return np.minimum(np.frexp(gaps.astype(np.float64))[1], GAP_BUCKETS - 1).astype(np.int32)


@dataclass(frozen=True, slots=True)
class StepArrays:
    """What a network reads, padded on the right: items, event types and gap buckets, each [B, T - 1]."""

    items: ItemIndexes
    event_types: NDArray[np.uint8]
    gaps: NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class SavedModel:
    """What a `SequenceScorer` saved, to make one of the same model of.

    Attributes:
        item_vectors: float32 [n_items, d + 1].
        parameters: Of the network, by name.
        number: The one number that the model saves besides.
        score_fusion: Learnt on top of the network.
        sequential_rules: The rules that are fused with it.
        regression: What items speak for, which is fused with it too.
        context: What context adds; None without.
        user_features: What users' columns add; None without.
    """

    item_vectors: FloatArray
    parameters: Mapping[str, FloatArray]
    number: int
    score_fusion: ScoreFusion
    sequential_rules: SequentialRules
    regression: ItemRegression
    context: ContextTable | None
    user_features: UserFeatureTable | None


class SequenceScorer(ABC):
    """Makes the vector of a history by one pass of a network; see `recipes.ports.ItemScorer`.

    Args:
        item_vectors: float32 [n_items, d + 1], as `ScoreFusion.item_vectors` makes them of the embeddings and biases.
        arrays: Everything of the network that is saved; `event_types` and `gaps` are added to the items' embeddings.
        max_length: Newest items that the network reads.
        score_fusion: Learnt on top of the network.
        sequential_rules: The rules that are fused with it.

    Attributes:
        regression: What items speak for, which is fused with it too; nothing unless given.
        context: What context adds to a history's vector; None without. Vectors are made without it.
        user_features: What users' columns add; None without. Vectors are made without it.
        encoder: Returns what makes vectors of items that came after the training; None where they have none.
    """

    def __init__(
        self,
        item_vectors: FloatArray,
        arrays: Mapping[str, NDArray[Any]],
        *,
        max_length: int,
        score_fusion: ScoreFusion,
        sequential_rules: SequentialRules,
    ) -> None:
        self.item_vectors = item_vectors
        self.score_fusion = score_fusion
        self.regression = ItemRegression.nothing()
        self.context: ContextTable | None = None
        self.user_features: UserFeatureTable | None = None
        self.encoder: Callable[[], ContentEncoder] | None = None
        self._new_vectors = np.empty((0, item_vectors.shape[1]), np.float32)
        self._sequential_rules = sequential_rules
        # The network reads the embeddings as they were learnt.
        self._scale = np.float32(1.0 / score_fusion.network)
        self._arrays = dict(arrays)
        self._width = item_vectors.shape[1] - 1
        self._max_length = max_length
        self._n_event_types = len(arrays["actions"])

    @abstractmethod
    def _states(self, steps: StepArrays, lengths: NDArray[np.int64]) -> FloatArray:
        """Read padded sequences and return the states after k numbers of steps of each, int64 [B, k]: [B, k, d]."""

    def embed_history(self, history: History) -> FloatArray:
        """Make the vector of one history: float32 [d + 1]."""
        read = history.in_catalogue(len(self.item_vectors) + len(self._new_vectors)).newest(self._max_length)
        steps = StepArrays(
            read.items[None], self._known_event_types(read.event_types)[None], gap_buckets(read.times)[None]
        )
        vector: FloatArray = self._run(steps, np.array([[len(read)]]))[0, 0]
        return vector

    def embed_histories(self, histories: Histories) -> FloatArray:
        """Make the vectors of many histories: float32 [number of histories, d + 1]."""
        in_catalogue = (histories.items >= 0) & (histories.items < len(self.item_vectors))
        if not in_catalogue.all():
            histories = histories.where(in_catalogue)
        histories = histories.newest(self._max_length)
        return self._embed(histories, histories.lengths()[:, None])[:, 0]

    def embed_before(self, histories: Histories, owners: NDArray[np.int64], lengths: NDArray[np.int64]) -> FloatArray:
        """Make the vectors of the oldest `lengths[k]` steps of history `owners[k]`, reading each history once.

        They are those of `histories.before(owners, lengths)`, but that of a history with more steps than the network
        reads the newest ones of the whole count: its beginnings are read from there on, and not as far back.

        Args:
            histories: Of items of the catalogue alone.
            owners: int64 [m], ascending.
            lengths: int64 [m], within what is read.

        Returns:
            float32 [m, d + 1].
        """
        read = histories.newest(self._max_length)
        counts = np.bincount(owners, minlength=len(read))
        numbers = np.arange(len(owners)) - (np.cumsum(counts) - counts)[owners]
        places = np.zeros((len(read), int(counts.max(initial=1))), np.int64)
        places[owners, numbers] = lengths - (histories.lengths() - read.lengths())[owners]
        return self._embed(read, places)[owners, numbers]

    def score_deltas(self, history: History) -> ScoreDelta:
        """Work out what rules, the regression and repeats change of the scores of some items."""
        return self.score_fusion.score_deltas(self._sequential_rules, self.regression, history)

    def score_deltas_of(self, histories: Histories, users: NDArray[np.int64]) -> ScoreDeltas:
        """Do `score_deltas` for many users; see `recipes.ports.ScoresManyUsers`."""
        return self.score_fusion.score_deltas_of(self._sequential_rules, self.regression, histories, users)

    def with_item_bias(self, biases: FloatArray) -> Self:
        """Return the same model with float32 [n_items] added to every user's scores."""
        changed = copy(self)
        changed.item_vectors = self.item_vectors.copy()
        changed.item_vectors[:, -1] += biases
        return changed

    def new_item_encoder(self) -> ContentEncoder | None:
        """Return what makes vectors of items that came after the training; None where they have none."""
        return None if self.encoder is None else self.encoder()

    def with_new_items(
        self,
        vectors: FloatArray,
        neighbours: Neighbours | None,  # noqa: ARG002 -- the port's; vectors say everything
    ) -> Self:
        """Return the same model that reads steps with new items too; see `recipes.ports.EncodesNewItems`."""
        changed = copy(self)
        changed._new_vectors = vectors  # noqa: SLF001 - one's own copy
        return changed

    def with_encoder(self, encoder: ContentEncoder) -> Self:
        """Return the same model with what gives items that come after the training their vectors."""
        changed = copy(self)
        changed.encoder = lambda: encoder
        return changed

    def with_cold_items(
        self, data: TrainingData, content: LearntContent | None, *, uses: NDArray[np.integer], seed: int
    ) -> Self:
        """Return the same model with the vectors of cold items moved to what their columns predict.

        Items that come later get vectors in the same way. Arguments are those of `new_items.learn_encoder`.
        """
        encoder, vectors = learn_encoder(self, data, content, uses=uses, seed=seed), self.item_vectors
        if content is not None and encoder.cold_map is not None:
            vectors = with_cold_items(vectors, content.vectors, encoder.cold_map, uses=uses)
        changed = self.with_encoder(replace(encoder, unknown=unremarkable_vector(vectors, uses)))
        changed.item_vectors = vectors
        return changed

    def updated(
        self, before: NDArray[np.int64], data: TrainingData, *, content: LearntContent | None, seed: int
    ) -> Self:
        """Return the same model for another catalogue; see `recipes.ports.SupportsIncrementalUpdate`.

        Rules are counted again; the weights of the regression, which are learnt, stay. A new item begins where it says
        nothing: its embedding is zero, and its bias is the median of the tenth of the old items that are used least, so
        that it scores like them. Then it is moved to what its columns predict, see `recipes.components.cold_start`.
        """
        histories = data.histories()
        is_old = before >= 0
        vectors = np.zeros((len(before), self._width + 1), np.float32)
        vectors[is_old] = self.item_vectors[before[is_old]]
        uses = np.bincount(histories.items, minlength=len(before))
        vectors[~is_old] = unremarkable_vector(vectors[is_old], uses[is_old])
        changed = copy(self)
        changed.item_vectors = vectors
        shape = self._sequential_rules.shape
        changed._sequential_rules = SequentialRules.count(histories, n_items=len(before), shape=shape)  # noqa: SLF001 - one's own copy
        changed.regression = self.regression.moved(before)
        if self.encoder is None and content is None:
            return changed
        # What was learnt stays; what users did with new items since then, the model has not learnt from.
        return changed.with_cold_items(data, content, uses=np.where(is_old, np.maximum(uses, COLD), 0), seed=seed)

    def save(self, folder: Path) -> None:
        """Write the item vectors, the network, the fusion with its parts, and the tables of side features."""
        save_arrays(folder, {"item_vectors": self.item_vectors} | self._arrays | self.score_fusion.arrays())
        self._sequential_rules.save(folder)
        self.regression.save(folder)
        if self.context is not None:
            self.context.save(folder)
        if self.user_features is not None:
            self.user_features.save(folder)
        if self.encoder is not None:
            self.encoder().save(folder)

    def with_tables(self, *, context: ContextTable | None, user_features: UserFeatureTable | None) -> Self:
        """Return the same model with what context and users' columns add."""
        changed = copy(self)
        changed.context, changed.user_features = context, user_features
        return changed

    def with_regression(self, regression: ItemRegression) -> Self:
        """Return the same model with what items speak for."""
        changed = copy(self)
        changed.regression = regression
        return changed

    def opened_from(self, folder: Path) -> Self:
        """Return the same model with what its files say of new items, which is read when the first one comes."""
        changed = copy(self)
        changed.encoder = partial(ContentEncoder.load, folder) if ContentEncoder.is_in(folder) else None
        return changed

    def _read(self, steps: StepArrays, out: FloatArray) -> None:
        """Write what the network reads of each step into `out`, float32 [B, T - 1, d]."""
        out[:] = self._embeddings(steps.items)
        if self._scale != 1.0:
            out *= self._scale
        out += self._arrays["actions"][steps.event_types]
        out += self._arrays["gaps"][steps.gaps]

    def _embeddings(self, items: ItemIndexes) -> FloatArray:
        """Return the embeddings of items, those that came after the training included: float32 [..., d]."""
        n_items = len(self.item_vectors)
        if not len(self._new_vectors) or not (is_new := items >= n_items).any():
            embeddings: FloatArray = self.item_vectors[items, : self._width]
            return embeddings
        embeddings = self.item_vectors[np.where(is_new, 0, items), : self._width]
        embeddings[is_new] = self._new_vectors[items[is_new] - n_items, : self._width]
        return embeddings

    def _embed(self, histories: Histories, lengths: NDArray[np.int64]) -> FloatArray:
        """Read histories, those of like length together, and return their vectors after int64 [n, k] steps."""
        totals = histories.lengths()
        order = np.argsort(totals, kind="stable")
        vectors = np.empty((*lengths.shape, self._width + 1), np.float32)
        begin = 0
        while begin < len(order):
            end = begin + 1
            while end < len(order) and (end + 1 - begin) * (totals[order[end]] + 1) <= _BATCH_PLACES:
                end += 1
            rows = order[begin:end]
            vectors[rows] = self._run(self._pad(histories.take(rows)), lengths[rows])
            begin = end
        return vectors

    def _run(self, steps: StepArrays, lengths: NDArray[np.int64]) -> FloatArray:
        vectors = np.ones((*lengths.shape, self._width + 1), np.float32)
        vectors[..., :-1] = self._states(steps, lengths)
        return vectors

    def _known_event_types(self, event_types: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """Take event types that are newer than the model for unknown ones."""
        return np.where(event_types < self._n_event_types, event_types, np.uint8(0))

    def _pad(self, histories: Histories) -> StepArrays:
        lengths = histories.lengths()
        shape = (len(histories), int(lengths.max(initial=0)))
        filled = np.arange(shape[1]) < lengths[:, None]
        items, event_types, times = np.zeros(shape, np.int32), np.zeros(shape, np.uint8), np.zeros(shape, np.int64)
        items[filled], event_types[filled], times[filled] = histories.items, histories.event_types, histories.times
        return StepArrays(items, self._known_event_types(event_types), gap_buckets(times) * filled)


def open_model(folder: Path, names: Sequence[str], *, number: str) -> SavedModel:
    """Map what a `SequenceScorer` saved.

    Args:
        folder: Of the files.
        names: Parameters of the network; `start`, of the network's width, is among them.
        number: Name of the one array that is a number.

    Raises:
        CorruptArtifact: Files are missing, cannot be read or do not fit together.
    """
    arrays = map_arrays(folder, ("item_vectors", number, *names, *ScoreFusion.names()))
    vectors, width = arrays["item_vectors"], arrays["start"].shape[-1]
    if vectors.ndim != 2 or vectors.shape[1] != width + 1:
        raise CorruptArtifact(
            f"`item_vectors.npy`: got shape {vectors.shape}, want {width + 1} columns, as `start.npy` has"
        )
    if arrays[number].shape != ():
        raise CorruptArtifact(f"`{number}.npy`: got shape {arrays[number].shape}, want one number")
    return SavedModel(
        item_vectors=vectors,
        parameters={name: arrays[name] for name in names},
        number=int(arrays[number]),
        score_fusion=ScoreFusion.from_arrays(arrays),
        sequential_rules=SequentialRules.load(folder, n_items=len(vectors)),
        regression=ItemRegression.load(folder, n_items=len(vectors)),
        context=ContextTable.load(folder, width=width),
        user_features=UserFeatureTable.load(folder, width=width),
    )


def normalise(values: FloatArray) -> FloatArray:
    """Bring the last axis to mean 0 and variance 1; scale and shift are folded into the weights that follow."""
    width = values.shape[-1]
    centred: FloatArray = values - values.mean(axis=-1, keepdims=True)
    variance = np.einsum("...d,...d->...", centred, centred)[..., None] / np.float32(width)
    centred /= np.sqrt(variance + np.float32(1e-5))
    return centred
