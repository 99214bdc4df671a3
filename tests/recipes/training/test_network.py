"""Item embeddings begin where counting leads, however little an item is used."""

import numpy as np
import pytest

from recipes.training.network import initial_step_parameters

WIDTH = 16


def test_items_begin_in_their_directions_with_one_length():
    random = np.random.default_rng(0)
    directions = random.standard_normal((50, 8)).astype(np.float32)
    directions[25:] = directions[:25] * 1e-4  # the same items, used less
    directions[49] = 0.0  # one of which nothing is known

    embeddings = initial_step_parameters(
        directions, np.zeros(50, np.float32), width=WIDTH, n_event_types=1, random=random
    )["item_embeddings"]

    lengths = np.linalg.norm(embeddings, axis=1)
    assert lengths[:49] == pytest.approx(np.full(49, 0.5), abs=0.15)
    assert lengths[49] < 0.15
    unit = embeddings / lengths[:, None]
    assert (unit[:24] * unit[25:49]).sum(axis=1).min() > 0.9
