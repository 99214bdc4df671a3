"""Generated data: of the size that is wanted, in the shape of real data, with tastes; and what is held out of it."""

from collections import Counter

from benchmarks.generated_data import catalogue, hold_out_last, planted_tastes
from cli.demo.items import DemoData, Interaction


def test_items_differ_in_popularity_and_users_have_different_items():
    data = catalogue(2000, users=300, events=40)

    counts = Counter(one.item for one in data.interactions)
    by_user = Counter(one.user for one in data.interactions)
    assert (len(data.items), len(data.users), len(by_user)) == (2000, 300, 300)
    assert set(counts) <= set(data.items)
    assert len({(one.user, one.item) for one in data.interactions}) == len(data.interactions)
    assert sum(count for _, count in counts.most_common(20)) > 10 * len(data.interactions) * 20 / 2000
    assert catalogue(2000, users=300, events=40) == data


def test_planted_data_has_its_size_and_users_prefer_few_clusters():
    data = planted_tastes(items=1020, users=200, events=20)
    assert (len(data.items), len(data.users)) == (1020, 200)
    assert {entry.item for entry in data.interactions} <= set(data.items)
    places = {item: place for place, item in enumerate(data.items)}
    by_user = {}
    for entry in data.interactions:
        by_user.setdefault(entry.user, []).append(entry.item)
    for items in by_user.values():
        assert len(items) == len(set(items)) <= 20
    # The three favourite clusters of fifty have most of what somebody chose.
    shares = [
        sum(count for _, count in Counter(places[item] // 50 for item in items).most_common(3)) / len(items)
        for items in by_user.values()
    ]
    assert sum(shares) / len(shares) > 0.75
    assert planted_tastes(items=1020, users=200, events=20).interactions == data.interactions


def test_the_last_interaction_of_a_user_is_held_out_where_others_know_its_item():
    rows = [
        ("a", "x", 1),
        ("a", "y", 2),
        ("b", "y", 1),
        ("b", "only-b", 2),
        ("c", "y", 5),
        ("d", "x", 3),
        ("d", "y", 1),
    ]
    interactions = [Interaction(user, item, timestamp=when, value=5.0) for user, item, when in rows]
    rest, held = hold_out_last(DemoData("d", "", {}, {}, interactions))
    # Nobody else has `only-b`, and `c` did one thing.
    assert held == {"a": "y", "d": "x"}
    assert [(entry.user, entry.item) for entry in rest.interactions] == [
        ("a", "x"), ("b", "y"), ("b", "only-b"), ("c", "y"), ("d", "y"),
    ]  # fmt: skip
