"""Ages of items follow Personalize's rule, and bonuses fall with what was seen, as worked out by hand."""

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.components.cluster_lists import ClusterLists
from recipes.components.exploration import RandomExploration, UcbExploration, bonuses, score_gap
from recipes.components.item_age import ItemAges
from recipes.data.columns import NO_TIME, Columns
from recipes.data.training_data import Interactions, TrainingData

DAY = 86_400


def data(created=None):
    """Let item 0 be used on days 0 and 10, item 1 on day 8, item 2 on day 40; item 3 never."""
    interactions = Interactions.sort(
        np.array([0, 0, 1, 1]), item=np.array([0, 0, 1, 2]), timestamp=np.array([0, 10, 8, 40]) * DAY
    )
    columns = Columns() if created is None else Columns(created=np.array(created, np.int64))
    return TrainingData(interactions, 2, 4, items=columns)


def test_items_are_as_old_as_their_oldest_interaction_and_without_any_as_the_latest_of_all():
    ages = ItemAges.of(data(), np.array([0, 5, 0, 2]))
    assert ages.latest == 40 * DAY
    assert (ages.created // DAY).tolist() == [0, 8, 40, 40]
    assert ages.seen.tolist() == [2, 6, 1, 2]


def test_a_creation_timestamp_is_believed_and_a_missing_one_is_not():
    ages = ItemAges.of(data(created=[39 * DAY, NO_TIME, 0, 12 * DAY]), np.zeros(4, np.int64))
    assert (ages.created // DAY).tolist() == [39, 8, 0, 12]


@pytest.mark.parametrize(("days", "new"), [(0.5, [2, 3]), (31.9, [2, 3]), (32.0, [1, 2, 3]), (39.9, [1, 2, 3])])
def test_items_are_new_for_so_many_days_before_the_latest_interaction(days, new):
    items = ItemAges.of(data(), np.zeros(4, np.int64)).new_items(days)
    assert (items.tolist(), items.dtype.name) == (new, "int32")


def test_where_everything_is_new_nothing_is():
    assert ItemAges.of(data(), np.zeros(4, np.int64)).new_items(40.0).tolist() == []


def test_saved_and_loaded_ages_are_the_same_and_others_are_corrupt(tmp_path):
    ages = ItemAges.of(data(), np.array([0, 5, 0, 2]))
    ages.save(tmp_path)
    loaded = ItemAges.load(tmp_path, n_items=4)
    assert (loaded.created.tolist(), loaded.seen.tolist()) == (ages.created.tolist(), ages.seen.tolist())
    assert loaded.latest == ages.latest
    with pytest.raises(CorruptArtifact, match="want 5 items"):
        ItemAges.load(tmp_path, n_items=5)


def test_the_score_gap_is_the_distance_of_typical_new_items_from_the_best():
    scores = np.array([10.0, 4.0, 1.0, 2.0], np.float32)
    # The new items' median is 2: distances of 8 and 24.
    assert score_gap([scores, 3 * scores], np.array([1, 2, 3], np.int32)) == pytest.approx(16.0)


def test_bonuses_fall_with_what_was_seen_and_scale_with_the_weight():
    bonus = bonuses(np.array([0, 3, 99]), weight=0.5, score_gap=8.0)
    assert (bonus.tolist(), bonus.dtype.name) == (pytest.approx([4.0, 2.0, 0.4]), "float32")
    assert not bonuses(np.array([0, 3]), weight=0.0, score_gap=8.0).any()


class Those:
    """Items of which something is true; counts how many were looked at."""

    def __init__(self, is_allowed):
        self.is_allowed, self.n_looked_at = is_allowed, 0

    def contains(self, items):
        self.n_looked_at += len(items)
        return self.is_allowed(items)

    def among(self, items):
        return items[self.is_allowed(items)]


def old_mix(items, explored, counts, random, *, share, allowed):
    """Return the new items that a draw over all of them puts in, as it was made for every request before."""
    count = int(random.binomial(len(items), share))
    absent = ~np.isin(explored, items) & allowed(explored)
    count = min(count, int(absent.sum()))
    if not count:
        return []
    chances = absent / np.sqrt(1.0 + counts)
    return random.choice(explored, count, replace=False, p=chances / chances.sum()).tolist()


@pytest.mark.parametrize("passing", [60, 4], ids=["most may be put in", "few may be put in"])
def test_what_is_put_in_is_distributed_as_a_draw_over_all_new_items(passing):
    random, n_new = np.random.default_rng(1), 60
    new, counts = np.arange(100, 100 + n_new, dtype=np.int32), random.integers(0, 40, n_new)
    explorer = RandomExploration(new, counts, 30.0, 0, 1000, np.random.default_rng(2), share=0.3)
    items = np.array([*range(8), 101, 103], np.int32)
    rounds, drawn, expected = 1000, np.zeros(n_new), np.zeros(n_new)

    def allowed(some):
        return some < 100 + passing

    for _ in range(rounds):
        mixed = explorer.mix(items, allowed=Those(allowed))
        if mixed is not None:
            put_in = mixed[0][mixed[1]]
            assert len(set(mixed[0].tolist())) == len(items)
            drawn[put_in - 100] += 1
        for item in old_mix(items, new, counts, random, share=0.3, allowed=allowed):
            expected[item - 100] += 1

    assert drawn[[1, 3]].tolist() == [0, 0]
    assert not drawn[passing:].any()
    assert drawn.sum() == pytest.approx(expected.sum(), rel=0.05)
    # Of each item the difference is one that chance makes: five standard deviations of the difference of two counts.
    assert (np.abs(drawn - expected) <= 5.0 * np.sqrt(drawn + expected + 1.0)).all()


def ucb(n_new, *, clusters=None, vectors=None, counts=None):
    counts = np.zeros(n_new, np.int64) if counts is None else counts
    new = np.arange(n_new, dtype=np.int32)
    return UcbExploration(
        new, counts, 30.0, 0, n_new, np.random.default_rng(5), weight=0.5, score_gap=8.0,
        clusters=clusters, vectors=vectors,
    )  # fmt: skip


def test_bonuses_of_many_new_items_have_the_noise_of_few_once_they_are_drawn_again():
    n_new, nobody = 3000, np.zeros(4, np.float32)
    counts = np.tile([0, 3, 99], n_new // 3)
    explorer, drawn = ucb(n_new, counts=counts), []
    for _ in range(60):
        explorer.redraw()
        bonus = explorer.bonus(nobody)
        assert explorer.bonus(nobody).values is bonus.values  # requests of one moment share it
        drawn.append(bonus.values)
    values = np.array(drawn).reshape(60, -1, 3)
    assert values.mean(axis=(0, 1)) == pytest.approx([4.0, 2.0, 0.4], rel=0.01)
    assert values.std(axis=(0, 1)) == pytest.approx([0.4, 0.2, 0.04], rel=0.02)


def test_no_request_draws_noise_for_many_new_items_however_often_they_change():
    n_new, nobody = 3000, np.zeros(4, np.float32)
    explorer = ucb(n_new)

    def random_numbers_of(requests):
        before = explorer.random.bit_generator.state
        for _ in range(requests):
            assert len(explorer.bonus(nobody).values) == len(explorer.items)
        return before != explorer.random.bit_generator.state

    assert not random_numbers_of(5000)
    explorer.note(np.ones(n_new, np.int64))
    assert not random_numbers_of(1)
    later = np.arange(n_new, n_new + 2, dtype=np.int32)
    explorer.admit(later, created=np.full(2, NO_TIME), vectors=np.ones((2, 4), np.float32))
    assert not random_numbers_of(1)


def test_of_many_new_items_a_request_takes_those_that_would_be_its_best():
    random, n_new = np.random.default_rng(6), 4000
    users, vectors = random.standard_normal((800, 6)), random.standard_normal((n_new, 6)).astype(np.float32)
    explorer = ucb(n_new, clusters=ClusterLists.of_users(users.astype(np.float32)), vectors=vectors)
    shares = []
    for _ in range(20):
        explorer.redraw()
        user = random.standard_normal(6).astype(np.float32)
        bonus = explorer.bonus(user)
        assert len(bonus.worthwhile) == 512
        best = np.argsort(-(vectors @ user + bonus.of(np.arange(n_new, dtype=np.int32))))[:25]
        shares.append(np.isin(best, bonus.worthwhile).mean())
        only = explorer.bonus(user, allowed=Those(lambda items: items % 100 == 0))
        assert only.worthwhile.tolist() == list(range(0, n_new, 100))
    assert np.mean(shares) > 0.9  # users who have nothing in common at all


def test_however_many_new_items_pass_a_filter_a_request_takes_a_bounded_number():
    n_new = 20_000
    vectors = np.zeros((n_new, 2), np.float32)
    vectors[:600] = 1.0  # suit everybody, and do not pass
    explorer = ucb(n_new, clusters=ClusterLists.of_users(np.ones((50, 2), np.float32)), vectors=vectors)
    allowed = Those(lambda items: items >= 9_000)

    taken = [explorer.bonus(np.ones(2, np.float32), allowed=allowed).worthwhile for _ in range(40)]

    assert {len(items) for items in taken} == {4_096}
    assert min(int(items[0]) for items in taken) >= 9_000
    chances = np.bincount(np.concatenate(taken), minlength=n_new)[9_000:]
    assert chances[-1] > 0  # each gets its chance, the first and the last too
    assert chances[:1000].mean() > chances.mean() / 2 < chances[-1000:].mean()
    assert allowed.n_looked_at == 40 * 512


def test_new_items_may_all_leave_again():
    users, vectors = np.ones((50, 2), np.float32), np.ones((3, 2), np.float32)
    explorer = ucb(3, clusters=ClusterLists.of_users(users), vectors=vectors)
    explorer.admit(np.array([3, 4], np.int32), created=np.full(2, NO_TIME), vectors=vectors[:2])
    assert explorer.items.tolist() == [0, 1, 2, 3, 4]

    # Nothing is known of the space of no vectors.
    explorer.admit(np.empty(0, np.int32), created=np.empty(0, np.int64), vectors=np.empty((0, 0), np.float32))

    assert explorer.items.tolist() == [0, 1, 2]
    assert explorer.bonus(users[0]).worthwhile.tolist() == [0, 1, 2]


def test_items_that_came_after_the_model_are_explored_with_its_own():
    explorer = RandomExploration(
        np.array([3, 7], np.int32), np.array([4, 9]), 2.0, 10 * DAY, 10, np.random.default_rng(0), share=1.0
    )
    explorer.note([1, 0])
    items = np.array([10, 11, 13], np.int32)
    vectors = np.ones((3, 2), np.float32)

    explorer.admit(items, created=np.array([9 * DAY, 5 * DAY, NO_TIME]), vectors=vectors)

    assert explorer.items.tolist() == [3, 7, 10, 13]  # 11 is too old
    assert explorer.counts.tolist() == [5, 9, 0, 0]
    mixed, explored = explorer.mix(np.arange(20, 24, dtype=np.int32))
    assert (sorted(mixed.tolist()), explored.all()) == ([3, 7, 10, 13], True)

    # What was shown of them stays counted when more come.
    explorer.note([1, 0, 6, 0])
    explorer.admit(np.append(items, 14).astype(np.int32), created=np.full(4, NO_TIME), vectors=np.ones((4, 2)))
    assert explorer.items.tolist() == [3, 7, 10, 11, 13, 14]
    assert explorer.counts.tolist() == [5, 9, 6, 0, 0, 0]
    assert explorer.new_among(np.array([2, 11, 3], np.int32)).tolist() == [11, 3]
