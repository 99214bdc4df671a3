"""What is known of items beside their use, as part of a network's embeddings.

The embedding of an item is its own plus a projection of its features, which all items learn together; both are learnt
from the same steps. Of a cold item nothing of its own is known: it has the projection alone. It is neither learnt as a
target nor held against other targets, or the network would learn that it is not used; so its bias stays as it began.
Volkovs et al., "DropoutNet: Addressing Cold Start in Recommender Systems" (NIPS 2017), drop items' own vectors at
random for that end; here they are absent exactly where they mean nothing.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from recipes.data.histories import FloatArray

__all__ = ["ItemSide", "begin_projection", "embed"]

#: Holds the projection that a fit begins from small: as much as this many items of length 1 would.
_RIDGE = 10.0


class ItemSide(NamedTuple):
    """Of all items; arrays of NumPy or of JAX.

    Attributes:
        features: float32 [V, f]; f may be 0.
        cold: float32 [V], 1 for cold items, else 0.
    """

    features: Any
    cold: Any


def begin_projection(parameters: Mapping[str, FloatArray], features: FloatArray) -> dict[str, FloatArray]:
    """Divide the embeddings that a fit begins from into a projection of the features and what they do not tell.

    Args:
        parameters: With `item_embeddings`, float32 [V, d].
        features: float32 [V, f].

    Returns:
        The parameters with `item_projection`, float32 [f, d], added: that of a ridge regression, so that an item whose
        features alone are known begins near items like it.
    """
    embeddings = parameters["item_embeddings"]
    gram = features.T @ features + _RIDGE * np.eye(features.shape[1], dtype=np.float32)
    projection = np.linalg.solve(gram, features.T @ embeddings).astype(np.float32)
    return {**parameters, "item_embeddings": embeddings - features @ projection, "item_projection": projection}


def embed(parameters: Mapping[str, Any], side: ItemSide | None) -> dict[str, Any]:
    """Return the parameters that a network reads: with the embeddings of all items, without `item_projection`.

    Args:
        parameters: As they are learnt; with `item_projection` where there is a side.
        side: None where nothing is known but the items' use.
    """
    if side is None:
        return dict(parameters)
    read = {name: value for name, value in parameters.items() if name != "item_projection"}
    own = parameters["item_embeddings"] * (1.0 - side.cold)[:, None]
    read["item_embeddings"] = own + side.features @ parameters["item_projection"]
    return read
