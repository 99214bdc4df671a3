"""Features of items within a network: embeddings from columns, and cold items that are known by their columns alone.

The embedding of an item is a vector of its own plus a projection of its features, which all items learn together; both
are learnt from the same steps. A cold item has the projection alone. It is neither learnt as a target nor held against
other targets, or the network would learn that it is not used; so its bias stays as it began. Volkovs et al.,
"DropoutNet: Addressing Cold Start in Recommender Systems" (NIPS 2017), drop items' own vectors at random for that end;
here they are absent exactly where they mean nothing.

This is the cold start of the GRU recipes, a part of the fit. That of SASRec and EASE, `recipes.components.cold_start`,
completes a fitted model.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from recipes.data.histories import FloatArray

__all__ = ["ItemFeatures", "network_parameters", "with_projection"]

#: Holds the projection that a fit begins from small: as much as this many items of length 1 would.
_RIDGE = 10.0

#: Taken from the scores of cold items in the loss, so that they have no share in a softmax.
_UNREACHABLE = 1e6


class ItemFeatures(NamedTuple):
    """Features of all items; arrays of NumPy or of JAX.

    Attributes:
        features: float32 [V, f]; f may be 0.
        cold: float32 [V], 1 for cold items, else 0.
    """

    features: Any
    cold: Any

    def take(self, rows: Any) -> ItemFeatures:
        """Return the features of some items, int32 [K]; those beyond the last item are warm and have none."""
        taken = (values.at[rows].get(mode="fill", fill_value=0) for values in self)
        return ItemFeatures(*taken)

    def target_weights(self, weights: Any, targets: Any) -> Any:
        """Return weights of targets, float32 of any shape, with those of cold items 0; targets: int32, of the same."""
        return weights * (1.0 - self.cold[targets])

    def loss_biases(self, biases: Any) -> Any:
        """Return biases of items, float32 [V], with those of cold items far below all others."""
        return biases - _UNREACHABLE * self.cold


def with_projection(parameters: Mapping[str, FloatArray], features: FloatArray) -> dict[str, FloatArray]:
    """Divide the embeddings that a fit begins from into a projection of the features and what they do not explain.

    The projection is that of a ridge regression, P = (F'F + 10 I)^-1 F'E, so that an item of which only the features
    are known begins near items like it.

    Args:
        parameters: With `item_embeddings`, E: float32 [V, d].
        features: F, float32 [V, f].

    Returns:
        The parameters with `item_embeddings` E - F P, and `item_projection` P, float32 [f, d].
    """
    embeddings = parameters["item_embeddings"]
    gram = features.T @ features + _RIDGE * np.eye(features.shape[1], dtype=np.float32)
    projection = np.linalg.solve(gram, features.T @ embeddings).astype(np.float32)
    return {**parameters, "item_embeddings": embeddings - features @ projection, "item_projection": projection}


def network_parameters(parameters: Mapping[str, Any], items: ItemFeatures | None) -> dict[str, Any]:
    """Return the parameters that a network reads: with the embeddings of all items, without `item_projection`.

    Args:
        parameters: As they are learnt; with `item_projection` where there are features.
        items: None where items are known by their use alone.
    """
    if items is None:
        return dict(parameters)
    read = {name: value for name, value in parameters.items() if name != "item_projection"}
    of_items = parameters["item_embeddings"] * (1.0 - items.cold)[:, None]
    read["item_embeddings"] = of_items + items.features @ parameters["item_projection"]
    return read
