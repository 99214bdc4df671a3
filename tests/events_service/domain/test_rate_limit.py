"""How often a table may be committed to."""

from __future__ import annotations

from events_service.domain.rate_limit import Pace, TokenBucket

PACE = Pace(burst=3, steady_seconds=10, large_events=100)


def commits(allowance: TokenBucket, *, seconds: int, waiting: int = 1) -> list[int]:
    """Return when commits were made, if there were something to commit every second."""
    made = []
    for now in range(seconds):
        if allowance.permits(waiting, now):
            allowance.spend(now)
            made.append(now)
    return made


def test_quiet_table_gets_a_burst_and_then_a_steady_pace():
    assert commits(TokenBucket(PACE, 0), seconds=31) == [0, 1, 2, 10, 20, 30]


def test_burst_comes_back_in_quiet_times_but_grows_no_further():
    allowance = TokenBucket(PACE, 0)
    commits(allowance, seconds=3)

    made = [now for now in (1000, 1000, 1000, 1000) if allowance.permits(1, now) and allowance.spend(now) is None]

    assert len(made) == 3


def test_many_events_are_committed_at_any_time():
    assert commits(TokenBucket(PACE, 0), seconds=6, waiting=100) == [0, 1, 2, 3, 4, 5]


def test_commits_of_many_events_leave_no_debt():
    allowance = TokenBucket(PACE, 0)
    commits(allowance, seconds=9, waiting=100)

    assert not allowance.permits(1, 9)
    assert allowance.permits(1, 19)
