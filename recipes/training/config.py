"""Hyperparameters that every sequence recipe has, for experiments: how to learn, not what."""

from __future__ import annotations

import math

from recipes.components.item_regression.limits import fit_bytes as regression_bytes
from recipes.config import RecipeConfig, hyperparameter
from recipes.data.size import DataSize
from recipes.hyper_parameters import SEQUENCE

__all__ = ["SequenceConfig"]

#: Interactions per user from which and up to which dropout falls, and its values there. Chosen on validation steps of
#: Amazon Beauty (9 interactions per user), MovieLens 1M and MovieLens's small set (165): docs/adr/0059.
_LENGTHS = (20.0, 150.0)
_DROPOUTS = (0.4, 0.2)


_MIB = 1024**2
#: JAX, and the steps that it compiles: measured on data that are next to nothing.
_COMPILED = 600 * _MIB
#: Arrays as large as the parameters of all items, at the peak: parameters, average, two moments, the best, those that
#: are evaluated, scored and indexed; with the full softmax, gradients and their updates too.
_COPIES, _DENSE_COPIES = 12, 14
#: What of an interaction is counted, cut into windows and packed.
_PER_INTERACTION = 80


class SequenceConfig(RecipeConfig):
    """How to learn, whatever the network: none is Personalize's, and every default is meant to be left alone."""

    max_length: int = hyperparameter(SEQUENCE["max_length"])
    dropout: float | None = hyperparameter(SEQUENCE["dropout"])
    learning_rate: float = hyperparameter(SEQUENCE["learning_rate"])
    batch_size: int | None = hyperparameter(SEQUENCE["batch_size"])
    epochs: int = hyperparameter(SEQUENCE["epochs"])
    patience: int = hyperparameter(SEQUENCE["patience"])
    full_softmax_items: int = hyperparameter(SEQUENCE["full_softmax_items"])
    sampled_items: int = hyperparameter(SEQUENCE["sampled_items"])
    validation_targets: int = hyperparameter(SEQUENCE["validation_targets"])
    time_limit_seconds: float | None = hyperparameter(SEQUENCE["time_limit_seconds"])

    @property
    def width(self) -> int:
        """Width d of embeddings and states."""
        raise NotImplementedError

    def fit_bytes(self, size: DataSize) -> int:
        """Return about how much memory a fit takes at its peak, beside the data.

        bytes = 600 MiB + 4 (d + 2) items copies + 80 interactions, copies 14 with the full softmax, else 12; and, for
        the regression of up to 50,000 items, 7,168 items and 8 items^2 up to 5,000 items, else 150 MiB + 28,800 items,
        or 28 users^2 if that is more and there are no more than 5,000 users.
        """
        copies = _DENSE_COPIES if size.items <= self.full_softmax_items else _COPIES
        network = 4 * (self.width + 2) * size.items * copies
        return (
            _COMPILED
            + network
            + _PER_INTERACTION * size.interactions
            + regression_bytes(n_users=size.users, n_items=size.items)
        )

    def dropout_for(self, *, interactions: int, users: int) -> float:
        """Return the share of activations to drop.

        By default it falls with the logarithm of the interactions per user: short histories are learnt by heart.
        """
        if self.dropout is not None:
            return self.dropout
        short, long = _LENGTHS
        place = math.log(max(1, interactions) / max(1, users) / short) / math.log(long / short)
        return _DROPOUTS[0] + (_DROPOUTS[1] - _DROPOUTS[0]) * min(1.0, max(0.0, place))
