"""What a fit keeps between its epochs, so that one that was killed goes on from the last epoch as if nothing had been.

Every random number of an epoch comes from the seed and the epoch's number (`loop.Trainer.epoch`), and a stopping rule
is decided by the values that it was shown. So what is kept is all there is: the optimiser's state, the best parameters,
and the values of all epochs, which are shown to the rule of the new attempt once more. Where checkpoints are kept is no
matter of this package: see `recipes.ports.Checkpoints`.
"""

from __future__ import annotations

import functools
import hashlib
import json
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import recipes
from common.logs import get_logger
from recipes.data.histories import FloatArray
from recipes.ports import Checkpoint, Checkpoints
from recipes.training.optimizer import OptimizerState

__all__ = ["NO_CHECKPOINTS", "EpochCheckpoints", "EpochRecord", "FitState", "NoCheckpoints", "fingerprint"]

_STATE, _BEST = "state.", "best."
_LIBRARIES: Final = ("jax", "jaxlib", "numba", "numpy", "optax", "scipy")
_log = get_logger(__name__)


class NoCheckpoints:
    """Keeps nothing: the default."""

    def is_due(self) -> bool:
        """Return False: nothing is kept."""
        return False

    def save(self, key: str, checkpoint: Checkpoint) -> None:
        """Drop it."""

    def load(self, key: str) -> Checkpoint | None:  # noqa: ARG002 - the port's signature
        """Return None: nothing is kept."""
        return None


#: Of fits that begin anew when they are killed.
NO_CHECKPOINTS: Final[Checkpoints] = NoCheckpoints()


class EpochRecord(NamedTuple):
    """What is known of an epoch that has ended.

    Attributes:
        training_loss: Mean loss of a target.
        value: What the fit maximises; 0 where nothing is held out.
        details: What else its evaluation found.
    """

    training_loss: float
    value: float = 0.0
    details: Mapping[str, float] = {}


class FitState(NamedTuple):
    """A fit after some epochs.

    Attributes:
        optimizer: The optimiser's state; None when no further epoch begins.
        best: The average of the parameters after the best epoch; None where none is kept.
        best_epoch: Its number, from 1; 0 for none.
        epochs: Of all epochs so far, in their order.
    """

    optimizer: OptimizerState | None
    best: dict[str, FloatArray] | None
    best_epoch: int
    epochs: tuple[EpochRecord, ...]


class EpochCheckpoints:
    """Writes and reads the states of one fit.

    Args:
        checkpoints: Where they are kept.
        key: Names the fit: another one must have another name, see `fingerprint`.
    """

    def __init__(self, checkpoints: Checkpoints, key: str) -> None:
        self._checkpoints = checkpoints
        self._key = key

    def save_if_due(self, state: FitState) -> None:
        """Keep the state after an epoch, unless the last one was kept a moment ago."""
        if not self._checkpoints.is_due():
            return
        arrays: dict[str, NDArray[Any]] = {}
        if state.optimizer is not None:
            named, _ = jax.tree.flatten_with_path(state.optimizer)
            arrays |= {_state_name(path): np.asarray(leaf) for path, leaf in named}
        average_is_best = state.optimizer is not None and state.best_epoch == len(state.epochs)
        if state.best is not None and not average_is_best:
            arrays |= {f"{_BEST}{name}": value for name, value in state.best.items()}
        facts = {
            "best_epoch": state.best_epoch,
            "is_over": state.optimizer is None,
            "epochs": [[item.training_loss, item.value, dict(item.details)] for item in state.epochs],
        }
        self._checkpoints.save(self._key, Checkpoint(arrays, facts))

    def load(self, template: OptimizerState) -> FitState | None:
        """Return the last state that was kept; None where none was, or where it does not fit.

        Args:
            template: A state of the fit, or its shapes.
        """
        checkpoint = self._checkpoints.load(self._key)
        if checkpoint is None:
            return None
        try:
            return _restored(checkpoint, template)
        except (KeyError, ValueError, TypeError) as error:
            _log.warning("checkpoint_ignored", key=self._key, cause=f"{type(error).__name__}: {error}")
            return None


def fingerprint(facts: Mapping[str, object], arrays: Sequence[NDArray[Any] | None]) -> str:
    """Return 32 hexadecimal digits that are others for every other fit.

    They are of its configuration, of all it learns from, and of the code that fits: an epoch of another version does
    not come to the same bytes.

    Args:
        facts: What JSON can hold.
        arrays: What is learnt from; None where there is nothing of a kind.
    """
    digest = hashlib.sha256(json.dumps(facts, sort_keys=True, default=str).encode())
    digest.update(_code_digest())
    for array in arrays:
        if array is None:
            digest.update(b"none")
        else:
            digest.update(f"{array.dtype}{array.shape}".encode())
            digest.update(np.ascontiguousarray(array).data.cast("B") if array.size else b"")
    return digest.hexdigest()[:32]


@functools.cache
def _code_digest() -> bytes:
    """Return a digest of the source of all recipes, and of the versions of the libraries that they compute with."""
    digest = hashlib.sha256()
    root = Path(recipes.__file__).parent
    for file in sorted(root.rglob("*.py")):
        digest.update(file.relative_to(root).as_posix().encode() + b"\0" + file.read_bytes())
    for name in _LIBRARIES:
        digest.update(f"{name} {version(name)}\n".encode())
    return digest.digest()


def _restored(checkpoint: Checkpoint, template: OptimizerState) -> FitState:
    """Return the state that a checkpoint holds; raises KeyError, TypeError or ValueError where it is not one."""
    arrays, facts = checkpoint
    epochs = tuple(EpochRecord(float(loss), float(value), dict(details)) for loss, value, details in facts["epochs"])
    best_epoch = int(facts["best_epoch"])
    if not 0 <= best_epoch <= len(epochs) or not epochs:
        raise ValueError(f"`best_epoch`: got {best_epoch}, want one of {len(epochs)} epochs")
    optimizer = None if facts["is_over"] else _optimizer_state(arrays, template)
    best = {name: arrays[f"{_BEST}{name}"] for name in template.average if f"{_BEST}{name}" in arrays}
    if best_epoch and not best and optimizer is not None:
        best = {name: np.array(value) for name, value in optimizer.average.items()}
    for name, value in template.average.items():
        if best_epoch and (best[name].shape, best[name].dtype) != (value.shape, value.dtype):
            raise ValueError(f"`{name}`: got {best[name].dtype} {best[name].shape}, want {value.dtype} {value.shape}")
    return FitState(optimizer, best or None, best_epoch, epochs)


def _optimizer_state(arrays: Mapping[str, NDArray[Any]], template: OptimizerState) -> OptimizerState:
    named, structure = jax.tree.flatten_with_path(template)
    restored = []
    for path, leaf in named:
        name = _state_name(path)
        value = arrays[name]
        if (value.shape, value.dtype) != (leaf.shape, leaf.dtype):
            raise ValueError(f"`{name}`: got {value.dtype} {value.shape}, want {leaf.dtype} {leaf.shape}")
        restored.append(jnp.array(value))
    state: OptimizerState = jax.tree.unflatten(structure, restored)
    return state


def _state_name(path: tuple[Any, ...]) -> str:
    """Return the name of a part of the optimiser's state, e.g. `state.moments.mu.item_embeddings`."""
    return _STATE + jax.tree_util.keystr(path, simple=True, separator=".")
