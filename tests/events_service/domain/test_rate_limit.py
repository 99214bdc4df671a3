"""How often a table may be committed to."""

from __future__ import annotations

from events_service.domain.rate_limit import CommitRateLimit, TokenBucket

LIMIT = CommitRateLimit(burst=3, steady_seconds=10, large_events=100)


def commits(bucket: TokenBucket, *, seconds: int, pending_events: int = 1) -> list[int]:
    """Return the times of commits when there is something to commit every second."""
    times = []
    for now in range(seconds):
        if bucket.permits(pending_events, now):
            bucket.spend(now)
            times.append(now)
    return times


def test_quiet_table_gets_a_burst_and_then_a_steady_rate():
    assert commits(TokenBucket(LIMIT, 0), seconds=31) == [0, 1, 2, 10, 20, 30]


def test_burst_comes_back_in_quiet_times_but_grows_no_further():
    bucket = TokenBucket(LIMIT, 0)
    commits(bucket, seconds=3)

    times = [now for now in (1000, 1000, 1000, 1000) if bucket.permits(1, now) and bucket.spend(now) is None]

    assert len(times) == 3


def test_many_events_are_committed_at_any_time():
    assert commits(TokenBucket(LIMIT, 0), seconds=6, pending_events=100) == [0, 1, 2, 3, 4, 5]


def test_commits_of_many_events_leave_no_debt():
    bucket = TokenBucket(LIMIT, 0)
    commits(bucket, seconds=9, pending_events=100)

    assert not bucket.permits(1, 9)
    assert bucket.permits(1, 19)
