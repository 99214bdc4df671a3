"""What is compiled says what the formula says, worked out here step by step in plain Python."""

from math import ceil, log1p

import numpy as np
import pytest

from recipes.components.history_deltas import COUNT_ENDS, RECENCY_ENDS, fused_deltas
from recipes.components.user_deltas import fused_deltas_of_users

N_TYPES = 3


def bucket(ends, number):
    return sum(number > end for end in ends)


def expected(items, event_types, rules, weights, *, n_items, places, spoken, recency, count, weight, scale, regression):
    """Work the formula out for each item that the history has or that a rule leads to."""
    steps = [(item, kind) for item, kind in zip(items, event_types, strict=True) if 0 <= item < n_items][::-1]
    strengths = {}
    for place, (leader, _) in enumerate(steps[: len(places)] if weight else []):
        for follower, strength in rules.get(leader, {}).items():
            strengths[follower] = strengths.get(follower, 0.0) + strength * places[place]
    deltas = {item: weight * log1p(strength / scale) for item, strength in strengths.items()}
    sums = {}
    for place, (item, _) in enumerate(steps[: len(spoken)]):
        if item not in [newer for newer, _ in steps[:place]]:
            row = weights.get(item, {})
            looked_at = ceil(len(row) * float(spoken[place] / spoken[0]))
            for spoken_for, value in list(row.items())[:looked_at]:
                sums[spoken_for] = sums.get(spoken_for, 0.0) + value * spoken[place]
    for spoken_for, value in sums.items():
        deltas[spoken_for] = deltas.get(spoken_for, 0.0) + regression * log1p(value)
    for item in {item for item, _ in steps}:
        uses = [(ago, kind) for ago, (used, kind) in enumerate(steps, start=1) if used == item]
        ago, kind = uses[0]
        repeat = (
            recency[bucket(RECENCY_ENDS, ago), kind if kind < N_TYPES else 0] + count[bucket(COUNT_ENDS, len(uses))]
        )
        deltas[item] = deltas.get(item, 0.0) + repeat
    return deltas


def draw(seed, *, n_items, length):
    """Draw rules and weights of all items below 300, and a history among these with some that are unknown."""
    random = np.random.default_rng(seed)
    rules, weights = (
        {
            item: dict(zip(random.choice(n_items, 20, replace=False).tolist(), random.exponential(1, 20), strict=True))
            for item in range(min(n_items, 300))
        }
        for _ in range(2)
    )
    items = random.integers(0, min(n_items, 300), length)
    items[random.random(length) < 0.1] = random.choice([-1, n_items, n_items + 7])
    return rules, weights, items.astype(np.int32), random.integers(0, N_TYPES + 2, length).astype(np.uint8)


def arrays(rules, *, n_items):
    rows = [rules.get(item, {}) for item in range(n_items)]
    columns = [follower for row in rows for follower in row]
    values = [strength for row in rows for strength in row.values()]
    offsets = np.cumsum([0, *(len(row) for row in rows)])
    return offsets, np.array(columns, np.int32), np.array(values, np.float32)


@pytest.mark.parametrize("n_items", [300, 40_000], ids=["in one array", "in a table"])
@pytest.mark.parametrize("length", [0, 1, 7, 120])
@pytest.mark.parametrize("weight", [0.0, 0.7])
@pytest.mark.parametrize("n_places", [0, 30])
def test_deltas_are_those_of_the_formula(n_items, length, weight, n_places):
    random = np.random.default_rng(length)
    rules, weights, items, event_types = draw(length, n_items=n_items, length=length)
    places = (1.0 / np.arange(1, 11)).astype(np.float32)
    spoken = (0.9 ** np.arange(n_places)).astype(np.float32)
    learnt = {
        "recency": random.standard_normal((len(RECENCY_ENDS) + 1, N_TYPES)).astype(np.float32),
        "count": random.standard_normal(len(COUNT_ENDS) + 1).astype(np.float32),
    }

    delta_items, values = fused_deltas(
        items, event_types, *arrays(rules, n_items=n_items), places, *arrays(weights, n_items=n_items), spoken,
        *learnt.values(), weight, 0.05, 0.4,
    )  # fmt: skip

    assert (delta_items.dtype, values.dtype) == (np.int32, np.float32)
    assert len(set(delta_items.tolist())) == len(delta_items)
    want = expected(
        items, event_types, rules, weights, n_items=n_items, places=places, spoken=spoken, weight=weight, scale=0.05,
        regression=0.4, **learnt,
    )  # fmt: skip
    assert dict(zip(delta_items.tolist(), values.tolist(), strict=True)) == pytest.approx(want, rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("n_items", [300, 40_000], ids=["in one array", "in a table"])
@pytest.mark.parametrize("n_places", [0, 30])
def test_many_users_get_what_each_of_them_gets(n_items, n_places):
    random = np.random.default_rng(3)
    users = [draw(seed, n_items=n_items, length=length) for seed, length in enumerate([40, 0, 7, 120, 1])]
    rules, weights = (arrays(users[0][which], n_items=n_items) for which in (0, 1))
    learnt = (
        random.standard_normal((len(RECENCY_ENDS) + 1, N_TYPES)).astype(np.float32),
        random.standard_normal(len(COUNT_ENDS) + 1).astype(np.float32),
    )
    rest = (
        *rules, (1.0 / np.arange(1, 11)).astype(np.float32), *weights,
        (0.9 ** np.arange(n_places)).astype(np.float32), *learnt, 0.7, 0.05, 0.4,
    )  # fmt: skip
    offsets = np.cumsum([0, *(len(user[2]) for user in users)])
    chosen = np.array([3, 0, 1, 4, 2, 3])

    begins, items, values = fused_deltas_of_users(
        chosen, offsets, np.concatenate([user[2] for user in users]),
        np.concatenate([user[3] for user in users]), *rest,
    )  # fmt: skip

    for row, user in enumerate(chosen):
        of_user = slice(begins[row], begins[row + 1])
        alone = fused_deltas(users[user][2], users[user][3], *rest)
        order, same = alone[0].argsort(), items[of_user].argsort()
        assert items[of_user][same].tobytes() == alone[0][order].tobytes()
        assert values[of_user][same].tobytes() == alone[1][order].tobytes()


@pytest.mark.parametrize("n_items", [4, 40_000], ids=["in one array", "in a table"])
def test_followers_that_no_catalogue_has_are_passed_over(n_items):
    offsets = np.ones(n_items + 1, np.int64) * 3
    offsets[0] = 0
    rule_items, strengths = np.array([-5, n_items, 2], np.int32), np.ones(3, np.float32)
    recency, count = np.zeros((9, 1), np.float32), np.zeros(4, np.float32)

    delta_items, values = fused_deltas(
        np.zeros(1, np.int32), np.zeros(1, np.uint8), offsets, rule_items, strengths, np.ones(1, np.float32),
        offsets, rule_items, strengths, np.full(1, 0.5, np.float32), recency, count, 1.0, 1.0, 3.0,
    )  # fmt: skip

    assert dict(zip(delta_items.tolist(), values.tolist(), strict=True)) == pytest.approx({
        0: 0.0, 2: log1p(1.0) + 3 * log1p(0.5)
    })  # fmt: skip


def test_strong_and_weak_rules_keep_their_digits():
    strengths = np.array([1e-7, 1e-3, 0.4142, 0.4143, 1.0, 1e3, 1e7, 1e30], np.float32)
    offsets = np.full(len(strengths) + 1, len(strengths), np.int64)
    offsets[0] = 0
    rule_items = np.arange(len(strengths), dtype=np.int32)
    recency, count = np.zeros((9, 1), np.float32), np.zeros(4, np.float32)

    delta_items, values = fused_deltas(
        np.zeros(1, np.int32), np.zeros(1, np.uint8), offsets, rule_items, strengths, np.ones(1, np.float32),
        offsets, rule_items, strengths, np.empty(0, np.float32), recency, count, 1.0, 1.0, 0.0,
    )  # fmt: skip

    assert values[delta_items.argsort()] == pytest.approx(np.log1p(strengths.astype(np.float64)), rel=2e-7)
