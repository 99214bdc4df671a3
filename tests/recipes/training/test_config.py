"""The share of dropped activations follows from the data, unless it is set."""

import pytest

from recipes.training.config import SequenceConfig


@pytest.mark.parametrize(
    ("interactions", "share"), [(1, 0.4), (20_000, 0.4), (54_772, 0.3), (150_000, 0.2), (10_000_000, 0.2)]
)
def test_more_is_dropped_where_users_have_few_interactions(interactions, share):
    assert SequenceConfig().dropout_for(interactions=interactions, users=1000) == pytest.approx(share, abs=1e-4)


def test_a_share_that_was_asked_for_is_dropped_everywhere():
    assert SequenceConfig(dropout=0.1).dropout_for(interactions=10, users=1000) == 0.1
