"""What networks read of steps: times between them fall into buckets of powers of two."""

import numpy as np
import pytest

from recipes.components.sequence_scorer import GAP_BUCKETS, gap_buckets


@pytest.mark.parametrize(
    ("seconds", "bucket"),
    [(0, 0), (1, 1), (2, 2), (3, 2), (4, 3), (7, 3), (8, 4), (3600, 12), (2**22 - 1, 22), (2**22, 23), (2**60, 23)],
)
def test_each_power_of_two_has_a_bucket_up_to_the_last(seconds, bucket):
    assert gap_buckets(np.array([100, 100 + seconds])).tolist() == [0, bucket]
    assert bucket < GAP_BUCKETS


def test_the_first_step_of_each_row_has_no_gap():
    assert gap_buckets(np.array([[50, 51, 55], [7, 7, 9]])).tolist() == [[0, 1, 3], [0, 0, 2]]


def test_a_step_that_arrives_late_has_no_gap():
    assert gap_buckets(np.array([100, 40, 41])).tolist() == [0, 0, 1]


def test_unknown_times_have_no_gaps():
    assert gap_buckets(np.zeros(4, np.int64)).tolist() == [0, 0, 0, 0]


def test_no_steps_have_no_gaps():
    buckets = gap_buckets(np.empty((2, 0), np.int64))
    assert (buckets.shape, buckets.dtype) == ((2, 0), np.int32)
