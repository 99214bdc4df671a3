"""The log lines of calls are bounded in number."""

from common.rpc.call_policy import LineBudget


def test_lines_of_a_kind_are_bounded_and_those_left_out_are_counted():
    now = [0.0]
    budget = LineBudget(2, clock=lambda: now[0])

    taken = [budget.take("a") for _ in range(5)]
    other = budget.take("b")
    now[0] = 1.0

    assert (taken, other) == ([{}, {}, None, None, None], {})
    assert [budget.take("a"), budget.take("a")] == [{"left_out": 3}, {}]
