"""The generated catalogue of the measurements of serving has the shape of a real one."""

from collections import Counter

from benchmarks.catalogue import catalogue


def test_items_differ_in_popularity_and_users_have_different_items():
    data = catalogue(2000, users=300, events=40)

    counts = Counter(one.item for one in data.interactions)
    by_user = Counter(one.user for one in data.interactions)
    assert (len(data.items), len(data.users), len(by_user)) == (2000, 300, 300)
    assert set(counts) <= set(data.items)
    assert len({(one.user, one.item) for one in data.interactions}) == len(data.interactions)
    assert sum(count for _, count in counts.most_common(20)) > 10 * len(data.interactions) * 20 / 2000
    assert catalogue(2000, users=300, events=40) == data
