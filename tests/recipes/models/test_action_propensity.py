"""Next-Best-Action learns who takes what from items and actions, keeps Personalize's rules, and is measured as told."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from common.errors import CorruptArtifact, InvalidInput
from recipes.data.columns import NO_TIME, CategoricalColumn, Columns
from recipes.data.histories import History
from recipes.data.training_data import Interactions, TrainingData
from recipes.evaluation.bootstrap import interval
from recipes.models.action_propensity.config import ActionPropensityConfig
from recipes.models.action_propensity.data import DAY, ActionData, ActionEvents, Actions, trainable_actions
from recipes.models.action_propensity.evaluation import evaluate
from recipes.models.action_propensity.features import past_of, past_of_all
from recipes.models.action_propensity.fit import ActionPropensityFitter
from recipes.models.action_propensity.logistic_regression import fit_logistic, sigmoid
from recipes.models.action_propensity.samples import Samples, make_samples
from recipes.models.action_propensity.score import load

START = 1_700_000_000
USERS, N_ITEMS, N_ACTIONS = 300, 20, 4
NOW = START + 31 * DAY


def plain_actions(count=N_ACTIONS, **rules):
    made = Actions(np.zeros(count, np.float32), np.full(count, -1), np.zeros(count, np.int64))
    return replace(made, **{name: np.array(values) for name, values in rules.items()})


def planted(seed=0):
    """Let fans of the lower items take action 0, of the upper ones action 1, a third of all action 2; 3 is rare."""
    random = np.random.default_rng(seed)
    users = np.repeat(np.arange(USERS), 8)
    items = random.integers(0, N_ITEMS // 2, len(users)) + N_ITEMS // 2 * (users % 2)
    times = START + random.integers(0, 10 * DAY, len(users))
    data = TrainingData(Interactions.sort(users, item=items, timestamp=times), USERS, N_ITEMS)
    rows = []
    for user in range(USERS):
        for action, chance in enumerate((0.9 - 0.8 * (user % 2), 0.1 + 0.8 * (user % 2), 0.33)):
            rows.append((user, action, random.random() < chance, START + (11 + action) * DAY + user))
        if user < 40:
            rows.append((user, 3, user % 2 == 0, START + 20 * DAY))
    user, action, taken, when = (np.array(column) for column in zip(*rows, strict=True))
    return ActionData(data, plain_actions(), ActionEvents.sort(user, action=action, taken=taken, timestamp=when))


def fitted(data, **config):
    made = ActionPropensityFitter(ActionPropensityConfig(**config), seed=1)
    return made, made.fit(data)


@pytest.fixture(scope="module")
def model():
    return fitted(planted())


def fan(of_upper, count=8):
    items = np.arange(count) + (N_ITEMS // 2 if of_upper else 0)
    return History(items.astype(np.int32), np.zeros(count, np.uint8), np.full(count, START + 9 * DAY))


def test_fans_of_some_items_take_the_action_that_fits(model):
    _, scorer = model
    lower, upper = (
        scorer.propensities(scorer.embed_history(fan(of_upper)), user=None, now=NOW) for of_upper in (False, True)
    )
    assert lower[0] > 0.7 > 0.3 > lower[1]
    assert upper[1] > 0.7 > 0.3 > upper[0]
    assert 0.15 < lower[2] < 0.55


def test_times_before_1970_are_times_like_all_others(model):
    earlier, data = 30_000 * DAY, planted()
    rows, events = data.items.interactions, data.events
    before = replace(
        data,
        items=replace(data.items, interactions=replace(rows, timestamp=rows.timestamp - earlier)),
        events=replace(events, timestamp=events.timestamp - earlier),
    )
    _, scorer = fitted(before)
    history = fan(of_upper=False)
    shifted = replace(history, times=history.times - earlier)
    np.testing.assert_allclose(
        scorer.propensities(scorer.embed_history(shifted), user=3, now=NOW - earlier),
        model[1].propensities(model[1].embed_history(history), user=3, now=NOW),
        rtol=1e-3,
    )


def test_what_users_are_tells_who_takes_what(tmp_path):
    """Members of the two clubs take different actions, and use the same items."""
    data = planted()
    rows = data.items.interactions
    items = replace(
        data.items,
        interactions=replace(rows, item=rows.item % (N_ITEMS // 2)),
        users=Columns({"CLUB": CategoricalColumn.of_values([[f"club-{user % 2}"] for user in range(USERS)])}),
    )
    _, knowing = fitted(replace(data, items=items))
    _, ignorant = fitted(replace(data, items=replace(items, users=Columns())))
    nothing = History.of_items([])

    def gap(scorer):
        first, second = (
            scorer.propensities(scorer.embed_history(nothing), user=user, now=NOW) for user in (USERS - 2, USERS - 1)
        )
        return min(first[0] - second[0], second[1] - first[1])

    assert gap(knowing) > gap(ignorant) + 0.2
    stranger = knowing.propensities(knowing.embed_history(nothing), user=None, now=NOW)
    assert (stranger[:3] > 0.05).all()
    assert (stranger[:3] < 0.95).all()
    knowing.save(tmp_path)
    assert gap(load(tmp_path)) == gap(knowing)


def test_users_who_were_not_learnt_from_are_predicted(model):
    made, scorer = model
    other = planted(seed=7)
    samples = made.samples(other)
    shares = scorer.shares(samples.rows, samples.action)
    metrics = evaluate(shares, samples, trained=scorer.trained).named()
    assert metrics["coverage"] == 0.75
    assert metrics["auc"] > 0.75  # two actions of three can be known, with nine in ten right
    assert 0.5 < metrics["precision"] <= 1.0
    assert 0.5 < metrics["recall"] <= 1.0


def test_noise_is_not_predicted():
    data = planted()
    random = np.random.default_rng(5)
    shuffled = replace(data.events, taken=random.permutation(data.events.taken))
    made, scorer = fitted(replace(data, events=shuffled))
    fresh = replace(data.events, taken=np.random.default_rng(6).permutation(data.events.taken))
    samples = made.samples(replace(data, events=fresh))
    shares = scorer.shares(samples.rows, samples.action)
    assert abs(evaluate(shares, samples, trained=scorer.trained).named()["auc"] - 0.5) < 0.12


def test_actions_with_too_few_events_have_propensity_0_and_come_last(model):
    _, scorer = model
    assert scorer.trained.tolist() == [True, True, True, False]
    chosen, scores = scorer.recommend(scorer.embed_history(fan(of_upper=False)), user=None, now=NOW, limit=9)
    assert chosen.tolist()[0] == 0
    assert chosen.tolist()[-1] == 3
    assert scores[-1] == 0.0
    assert scores.tolist() == sorted(scores.tolist(), reverse=True)


def test_fifty_events_of_each_kind_within_six_weeks_are_needed():
    def events(taken, others, *, age=0):
        labels = np.repeat([True, False], [taken, others])
        times = np.full(len(labels), START - age)
        times[0] = START
        return ActionEvents.sort(np.arange(len(labels)), action=labels * 0, taken=labels, timestamp=times)

    assert trainable_actions(events(50, 50), n_actions=2).tolist() == [True, False]
    assert not trainable_actions(events(49, 51), n_actions=1).any()
    assert not trainable_actions(events(51, 49), n_actions=1).any()
    assert trainable_actions(events(50, 50, age=42 * DAY), n_actions=1).all()
    assert not trainable_actions(events(60, 60, age=43 * DAY), n_actions=1).any()


def test_equal_propensities_are_ordered_by_value():
    data = planted()
    few = replace(data, events=data.events.where(np.arange(len(data.events)) < 30))
    _, scorer = fitted(replace(few, actions=plain_actions(value=np.array([1, 10, 0, 5], np.float32))))
    chosen, scores = scorer.recommend(scorer.embed_history(History.of_items([])), user=None, now=NOW, limit=3)
    assert chosen.tolist() == [1, 3, 0]
    assert scores.tolist() == [0.0, 0.0, 0.0]


def test_expired_actions_vanish(model):
    _, scorer = model
    rules = plain_actions(expiration=[NOW - 1, NOW + 1, -1, NOW])
    chosen, _ = replace(scorer, actions=rules).recommend(scorer.embed_history(fan(False)), user=None, now=NOW, limit=9)
    assert sorted(chosen.tolist()) == [1, 2]


def test_actions_are_not_repeated_too_soon(model):
    _, scorer = model
    again = replace(scorer, actions=plain_actions(repeat_days=[30, 30, 0, 0]))
    seen = START + 11 * DAY + 6  # user 6 had to do with action 0 then, and with action 1 a day later
    later = {
        days: sorted(
            again.recommend(scorer.embed_history(fan(False)), user=6, now=seen + days * DAY, limit=9)[0].tolist()
        )
        for days in (29, 30, 31)
    }
    assert later == {29: [2, 3], 30: [0, 2, 3], 31: [0, 1, 2, 3]}


def test_what_was_done_since_the_training_is_not_repeated_too_soon_either(model):
    _, scorer = model
    again = replace(scorer, actions=plain_actions(repeat_days=[30, 30, 0, 0]))

    def chosen(since):
        state = scorer.embed_history(fan(False))
        return sorted(again.recommend(state, user=None, now=NOW, limit=9, since=since)[0].tolist())

    assert chosen({0: NOW - 29 * DAY, 3: NOW}) == [1, 2, 3]
    assert chosen({0: NOW - 30 * DAY}) == [0, 1, 2, 3]


def test_a_longer_pause_than_any_seen_counts_as_the_longest(model):
    _, scorer = model
    month, year = (
        scorer.propensities(scorer.embed_history(fan(False)), user=6, now=NOW + days * DAY) for days in (60, 365)
    )
    np.testing.assert_array_equal(month, year)


def test_new_users_and_unknown_items_are_no_error(model):
    _, scorer = model
    nobody = scorer.propensities(scorer.embed_history(History.of_items([])), user=None, now=NOW)
    assert np.isfinite(nobody).all()
    np.testing.assert_array_equal(
        scorer.embed_history(History.of_items([-1, N_ITEMS, 3])), scorer.embed_history(History.of_items([3])) + 0.0
    )


def test_same_seed_same_bytes_and_saved_is_opened(model, tmp_path):
    _, scorer = model
    _, again = fitted(planted())
    assert scorer.coefficients.tobytes() == again.coefficients.tobytes()
    assert scorer.item_vectors.tobytes() == again.item_vectors.tobytes()
    scorer.save(tmp_path)
    opened = load(tmp_path)
    state = scorer.embed_history(fan(True))
    np.testing.assert_array_equal(
        opened.propensities(state, user=4, now=NOW), scorer.propensities(state, user=4, now=NOW)
    )
    np.save(tmp_path / "own_last.npy", np.zeros(1, np.int64))
    with pytest.raises(CorruptArtifact, match="own_last"):
        load(tmp_path)


def test_extending_learns_from_everybody():
    data = planted()
    half = data.of_users(np.arange(USERS) < USERS // 2)
    made, scorer = fitted(half)
    extended = made.extend(data)
    assert extended.item_vectors.tobytes() == scorer.item_vectors.tobytes()
    assert len(extended.own_actions) > len(scorer.own_actions)
    assert not np.array_equal(extended.coefficients, scorer.coefficients)


def test_no_events_are_refused():
    data = planted()
    with pytest.raises(InvalidInput, match="`Action_Interactions`: got none"):
        fitted(replace(data, events=data.events.where(np.zeros(len(data.events), bool))))


def events(*rows):
    user, action, taken, days = (np.array(column) for column in zip(*rows, strict=True))
    return ActionEvents.sort(user, action=action, taken=taken.astype(bool), timestamp=days * DAY)


def nobody(data):
    """Return the content of users' columns where there are none."""
    return np.zeros((data.items.n_users, 0), np.float32)


SOME = events((0, 0, 0, 1), (0, 0, 1, 9), (0, 1, 0, 10), (1, 0, 1, 2), (0, 0, 0, 40))


def test_only_what_came_before_an_event_is_known_at_it():
    past = past_of(SOME, n_actions=2, user_features=np.arange(10, dtype=np.float32)[:, None])
    # In the order of time: user 0 sees 0, user 1 takes 0, user 0 takes 0, user 0 leaves 1, user 0 leaves 0.
    assert past.own_others.tolist() == [0, 0, 1, 0, 1]
    assert past.own_taken.tolist() == [0, 0, 0, 0, 1]
    assert past.others.tolist() == [0, 0, 1, 1, 2]
    assert past.taken.tolist() == [0, 0, 0, 1, 1]
    assert past.own_last.tolist() == [NO_TIME, NO_TIME, DAY, NO_TIME, 9 * DAY]
    assert past.content[:, 0].tolist() == [0, 1, 0, 0, 0]


def test_what_users_did_is_summed_up_for_serving():
    totals, last, counts = past_of_all(SOME, n_users=3, n_actions=2)
    assert totals.tolist() == [[1, 3], [1, 0], [0, 0]]
    assert list(zip(last.user.tolist(), last.action.tolist(), (last.timestamp // DAY).tolist(), strict=True)) == [
        (0, 0, 40), (0, 1, 10), (1, 0, 2),
    ]  # fmt: skip
    assert counts.tolist() == [[1, 2], [0, 1], [1, 0]]


@pytest.mark.parametrize(("period", "labels"), [(7, [0, 1, 1, 0, 0]), (14, [1, 1, 0, 0])])
def test_a_showing_that_is_taken_within_the_period_counts_as_the_taking_alone(period, labels):
    data = ActionData(
        TrainingData(Interactions.sort(np.array([0]), item=np.array([0]), timestamp=np.array([0])), 2, 1),
        plain_actions(2),
        SOME,
    )
    samples = make_samples(data, np.ones((1, 2), np.float32), nobody(data), period_days=period)
    assert samples.taken.astype(int).tolist() == labels


def test_items_used_later_are_not_part_of_the_state():
    rows = Interactions.sort(np.array([0, 0, 1]), item=np.array([0, 1, 1]), timestamp=np.array([0, 5 * DAY, 20 * DAY]))
    data = ActionData(TrainingData(rows, 2, 2), plain_actions(2), SOME)
    samples = make_samples(data, np.eye(2, dtype=np.float32), nobody(data), period_days=7)
    np.testing.assert_allclose(
        samples.rows[:, :3][:3], [[1, 0, np.log(2)], [0, 0, 0], [0.5, 0.5, np.log(3)]], rtol=1e-6
    )


def test_the_regression_finds_the_weights_and_keeps_to_its_prior():
    random = np.random.default_rng(2)
    rows = np.column_stack([random.standard_normal((4000, 2)), np.ones(4000)])
    truth = np.array([1.5, -0.5, -1.0])
    labels = random.random(4000) < sigmoid(rows @ truth)
    weights = fit_logistic(rows, labels, prior=np.zeros(3), strength=np.full(3, 1e-6))
    np.testing.assert_allclose(weights, truth, atol=0.15)
    held = fit_logistic(rows, labels, prior=np.array([5.0, 5.0, 5.0]), strength=np.full(3, 1e9))
    np.testing.assert_allclose(held, 5.0, atol=1e-3)


def measured_events(scores, taken, action, user=None):
    """Return propensities, and the events that they are of; each of another user unless said."""
    user = np.arange(len(scores)) if user is None else np.array(user)
    labels = np.array(taken, bool)
    return np.array(scores), Samples(
        np.zeros((len(scores), 0)), labels, np.array(action, np.int32), user.astype(np.int32)
    )


def test_metrics_are_means_over_actions():
    events = measured_events([0.9, 0.8, 0.2, 0.6, 0.1, 0.4], [1, 0, 1, 0, 1, 0], [0, 0, 0, 1, 1, 2])
    metrics = evaluate(*events, trained=np.array([True, True, True, False])).named()
    # Action 0: one of two recommended is right, one of two takers is found; action 1: nothing is right; 2 has no taker.
    assert metrics == {"coverage": 0.75, "precision": 0.25, "recall": 0.25, "auc": 0.25}


def test_the_area_counts_ties_half():
    events = measured_events([0.5, 0.5, 0.7, 0.1], [1, 0, 1, 0], [0, 0, 0, 0])
    assert evaluate(*events, trained=np.array([True])).named()["auc"] == 0.875


def test_actions_without_takers_or_without_others_earn_nothing():
    events = measured_events([0.9, 0.8], [1, 0], [0, 1])
    metrics = evaluate(*events, trained=np.array([True, True]))
    assert metrics.named() == {"coverage": 1.0, "precision": 0.0, "recall": 0.0, "auc": 0.0}
    assert (len(metrics.users), metrics.users.counted().tolist()) == (0, [0, 0, 0])


THREE_USERS = ([0.9, 0.8, 0.2, 0.6, 0.1], [1, 0, 1, 0, 1], [0, 0, 0, 1, 1], [7, 8, 9, 8, 9])


@pytest.mark.parametrize(
    ("counts", "places"),
    [([1, 1, 1], [0, 1, 2, 3, 4]), ([0, 3, 2], [1, 1, 1, 2, 2, 3, 3, 3, 4, 4]), ([2, 1, 0], [0, 0, 1, 3])],
)
def test_users_are_drawn_with_all_of_their_events(counts, places):
    scores, events = measured_events(*THREE_USERS)
    users = evaluate(scores, events, trained=np.array([True, True])).users
    # The same as with every event of a drawn user written down as often.
    written = Samples(*(part[places] for part in events))
    expected = evaluate(scores[places], written, trained=np.array([True, True])).named()
    assert (len(users), users.counted().tolist()) == (3, [3, 3, 3])
    (metrics,) = users.values(np.array([counts], float))
    assert metrics.tolist() == pytest.approx([expected[name] for name in users.names])


def test_draws_without_others_than_takers_tell_nothing():
    users = evaluate(*measured_events(*THREE_USERS), trained=np.array([True, True])).users
    assert np.isnan(users.values(np.array([[2.0, 0.0, 1.0]]))).all()


def test_intervals_of_actions_hold_what_other_users_give():
    """Users take two actions by a chance of their own that the propensities know in part."""

    def measured(seed):
        random = np.random.default_rng(seed)
        chance = random.random(200)
        user, action = np.repeat(np.arange(200), 4), np.tile([0, 0, 1, 1], 200)
        scores = np.clip(chance[user] + random.normal(0.0, 0.3, 800), 0.0, 1.0)
        return evaluate(
            *measured_events(scores, random.random(800) < chance[user], action, user), trained=np.ones(2, bool)
        ).users

    made = [measured(seed) for seed in range(80)]
    true = np.mean([users.values() for users in made], axis=0)
    ends = np.array([interval(users, seed=seed, samples=200) for seed, users in enumerate(made)])
    held = ((ends[:, 0] <= true) & (true <= ends[:, 1])).mean(axis=0)
    assert ((held > 0.87) & (held <= 1.0)).all(), held
