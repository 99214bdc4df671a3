"""Failure reasons of jobs."""

from __future__ import annotations

from control_plane.domain.jobs import FailedAttempt, failure_reason


def test_reason_of_bad_data_is_shown_as_it_is():
    reason = failure_reason("import", [FailedAttempt(1, "w", "line 7 has no USER_ID")], retryable=False, request_id="r")

    assert reason == "line 7 has no USER_ID"


def test_reason_after_several_attempts_lists_each_and_says_what_to_do():
    attempts = [
        FailedAttempt(1, "w-1", "out of memory."),
        FailedAttempt(2, "w-2", "silent"),
        FailedAttempt(3, "w-1", "disk full"),
    ]

    reason = failure_reason("training", attempts, retryable=True, request_id="req-9")

    assert reason == (
        "The training was given up after 3 attempts. Attempt 1 (w-1): out of memory. Attempt 2 (w-2): silent. "
        "Attempt 3 (w-1): disk full. The trainer's log has the details under request id req-9; mend what it names and "
        "ask for the work again."
    )


def test_reason_after_an_error_that_is_not_retryable_says_so():
    attempts = [FailedAttempt(1, "w", "silent"), FailedAttempt(2, "w", "no rows")]

    reason = failure_reason("import", attempts, retryable=False, request_id="")

    assert reason.startswith(
        "The import failed in attempt 2 and cannot succeed by trying again. Attempt 1 (w): silent."
    )
