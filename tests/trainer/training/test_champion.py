"""Versions of segments and of actions beside the version before; those of items are in `test_evaluation`."""

from __future__ import annotations

import pytest

from common.artifacts import read_manifest
from protos.tailorbird.storage.v1 import evaluation_pb2
from tests.trainer import place as places
from tests.trainer.place import walks
from tests.trainer.training.programs.test_actions import ACTIONS, EVENTS, START
from tests.trainer.training.running import train
from tests.trainer.training.test_offline_evaluation import SMALL_SEGMENTS, after, named

LISTED = "recall_at_1_percent"
FILMS = [f"i{number:03},,{'Drama' if number % 2 else 'War'},," for number in range(40)]


def bring(place, *lines):
    place.write("a.csv", *lines)
    place.bring("s3://films/a.csv")


def segments(place, number, recipe="aws-item-affinity", **more):
    return train(place, recipe, location=f"artifacts/v{number}", solution_config=SMALL_SEGMENTS, **more).evaluation


@pytest.mark.parametrize("recipe", ["aws-item-affinity", "aws-item-attribute-affinity"])
def test_segments_like_those_before_are_undecided(place, recipe):
    bring(place, *walks(users=400))
    place.write("items.csv", *FILMS, header=places.HEADERS["ITEMS"])
    place.bring("s3://films/items.csv", kind="ITEMS")
    segments(place, 1, recipe)

    evaluation = segments(place, 2, recipe, predecessor=after(1))

    comparison = evaluation.comparison
    assert (comparison.solution_version_arn, comparison.judged_by) == ("arn:v1", LISTED)
    assert comparison.verdict == evaluation_pb2.VERDICT_UNDECIDED
    assert [item.name for item in comparison.differences] == ["hits_at_1_percent", LISTED]
    assert {(item.low, item.high, item.value - item.predecessor) for item in comparison.differences} == {
        (0.0, 0.0, 0.0)
    }
    metrics = named(evaluation.model.metrics)
    assert {item.name: item.value for item in comparison.differences} == {
        name: metrics[name].value for name in ("hits_at_1_percent", LISTED)
    }
    assert comparison.users == metrics[LISTED].users


def test_segments_that_know_newer_steps_are_better(place):
    lines = walks(users=400)
    bring(place, *(line for number, line in enumerate(lines) if number % 20 < 10))
    segments(place, 1)
    # New users and items come before the old ones in the alphabet.
    bring(place, *lines, *(line.replace("u", "a", 1).replace(",i", ",a") for line in walks(users=100)))

    comparison = segments(place, 2, predecessor=after(1)).comparison

    assert comparison.verdict == evaluation_pb2.VERDICT_BETTER
    assert comparison.reason.startswith(f"significantly better than arn:v1: {LISTED} ")
    by_name = {item.name: item for item in comparison.differences}
    assert by_name[LISTED].value > by_name[LISTED].predecessor


def test_users_whose_newest_steps_the_predecessor_knew_are_left_out(place):
    lines = walks(users=400)
    bring(place, *(line for number, line in enumerate(lines) if number % 20 >= 15))
    segments(place, 1)
    bring(place, *lines)  # with older steps, so that four of them are hidden now, of which only one was hidden then

    comparison = segments(place, 2, predecessor=after(1)).comparison

    assert (comparison.verdict, comparison.users) == (evaluation_pb2.VERDICT_NOT_COMPARED, 0)
    assert comparison.reason == "arn:v1 was trained on all of the test users"


@pytest.fixture
def active(place, monkeypatch):
    monkeypatch.setitem(places.SCHEMAS, "ACTIONS", ACTIONS)
    monkeypatch.setitem(places.SCHEMAS, "ACTION_INTERACTIONS", EVENTS)
    bring(place, *walks(users=400))
    return place


def bring_actions(place, *, likes, actions=("join", "phone"), users=400):
    """Show each action twice to everybody; a user takes those for which `likes` is true, given both numbers."""
    header = "ACTION_ID,KIND,VALUE,EXPIRATION_TIMESTAMP,REPEAT_FREQUENCY"
    place.write("actions.csv", *(f"{action},club,,," for action in actions), header=header)
    place.bring("s3://films/actions.csv", kind="ACTIONS")
    lines = []
    for user in range(users):
        for place_of, action in enumerate(actions):
            for step in range(2):
                word = "TAKEN" if likes(user, place_of, step) else "NOT_TAKEN"
                lines.append(f"u{user:03},{action},{word},{START + 900_000 + user * 100 + place_of * 10 + step}")
    place.write("events.csv", *lines, header="USER_ID,ACTION_ID,EVENT_TYPE,TIMESTAMP")
    place.bring("s3://films/events.csv", kind="ACTION_INTERACTIONS")


def acts(place, number, **more):
    return train(
        place, "aws-next-best-action", location=f"artifacts/v{number}",
        tables=place.tables("INTERACTIONS", "ACTIONS", "ACTION_INTERACTIONS"), **more,
    ).evaluation  # fmt: skip


def faithful(user, action, step):
    return bool((user + action) % 2)


def fickle(user, action, step):
    """Whoever takes an action does not take it again, and the other way round."""
    return bool((user + action + step) % 2)


def test_actions_like_those_before_are_undecided(active):
    bring_actions(active, likes=faithful)
    acts(active, 1)

    evaluation = acts(active, 2, predecessor=after(1))

    comparison = evaluation.comparison
    assert (comparison.solution_version_arn, comparison.judged_by, comparison.users) == ("arn:v1", "auc", 40)
    assert comparison.verdict == evaluation_pb2.VERDICT_UNDECIDED
    assert {(item.low, item.high, item.value - item.predecessor) for item in comparison.differences} == {
        (0.0, 0.0, 0.0)
    }
    assert {item.name: item.value for item in comparison.differences} == {
        name: item.value for name, item in named(evaluation.model.metrics).items() if name != "coverage"
    }
    kept = read_manifest(active.store, f"artifacts/v1/{read_manifest(active.store, 'artifacts/v1').measured_model}")
    assert kept.highest_test_key > 0


def test_actions_that_follow_what_users_do_now_are_better(active):
    bring_actions(active, likes=fickle)
    acts(active, 1)
    bring_actions(active, likes=faithful)

    comparison = acts(active, 2, predecessor=after(1)).comparison

    assert (comparison.verdict, comparison.users) == (evaluation_pb2.VERDICT_BETTER, 40)
    area = next(item for item in comparison.differences if item.name == "auc")
    assert area.predecessor < 0.5 < area.value


def test_actions_users_and_items_are_matched_by_name(active):
    bring_actions(active, likes=faithful)
    old = acts(active, 1)
    # New users, items and actions come before the old ones in the alphabet.
    bring(active, *walks(users=400), *(line.replace("u", "a", 1).replace(",i", ",a") for line in walks(users=100)))
    bring_actions(active, likes=faithful, actions=("join", "phone", "call"))

    comparison = acts(active, 2, predecessor=after(1)).comparison

    area = next(item for item in comparison.differences if item.name == "auc")
    # `call` is new, and a guess for the champion.
    assert area.predecessor == pytest.approx((2 * named(old.model.metrics)["auc"].value + 0.5) / 3)
    assert comparison.users == 40


def test_a_damaged_predecessor_keeps_nobody_from_training_actions(active):
    bring_actions(active, likes=faithful)
    acts(active, 1)
    manifest = read_manifest(active.store, "artifacts/v1")
    kept = read_manifest(active.store, f"artifacts/v1/{manifest.measured_model}")
    name = next(file.path for file in kept.files if file.path.startswith("actions."))
    (active.root / "store" / "artifacts/v1" / manifest.measured_model / kept.files_folder / name).unlink()

    comparison = acts(active, 2, predecessor=after(1)).comparison

    assert comparison.verdict == evaluation_pb2.VERDICT_NOT_COMPARED
    assert "arn:v1 cannot be measured: " in comparison.reason
