"""Pauses after failures in a row."""

import math

from common.process.backoff import Backoff, BackoffPolicy


def pauses(policy, count):
    backoff = Backoff(policy)
    return [backoff.failed() for _ in range(count)]


def test_pauses_double_up_to_the_longest():
    assert pauses(BackoffPolicy(first_seconds=0.5, longest_seconds=3.0), 5) == [0.5, 1.0, 2.0, 3.0, 3.0]


def test_a_success_begins_anew():
    backoff = Backoff(BackoffPolicy(first_seconds=1.0, longest_seconds=60.0))
    first, second = backoff.failed(), backoff.failed()
    backoff.succeeded()
    assert (first, second, backoff.failures, backoff.failed()) == (1.0, 2.0, 0, 1.0)


def test_no_number_of_failures_is_too_many():
    assert pauses(BackoffPolicy(first_seconds=0.1, longest_seconds=10.0), 2000)[-1] == 10.0
    assert math.isfinite(BackoffPolicy(first_seconds=1.0, longest_seconds=math.inf).pause_seconds(10**6))


def test_jitter_shortens_a_pause_by_its_share_at_most_and_differs_between_callers():
    drawn = [BackoffPolicy(first_seconds=1.0, longest_seconds=9.0, jitter=0.5).pause_seconds(3) for _ in range(200)]
    assert min(drawn) >= 2.0
    assert max(drawn) <= 4.0
    assert len(set(drawn)) > 100
