"""Which events a solution is trained on."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from control_plane.domain.events import EventRule, check_event_columns, check_event_type, event_rules
from control_plane.domain.solutions import check_solution
from recipes.catalog import RECIPES
from tests.control_plane.messages import solution_config
from tests.control_plane.world import INTERACTIONS, avro, column

V2 = RECIPES["aws-user-personalization-v2"]
POPULARITY = RECIPES["aws-popularity-count"]
TRENDING = RECIPES["aws-trending-now"]
VALUED = avro("Interactions", column("EVENT_TYPE"), column("EVENT_VALUE", ["null", "float"]))


def events_config(*entries: dict[str, object]) -> dict[str, object]:
    return {"eventsConfig": {"eventParametersList": list(entries)}}


BUY = {"eventType": "buy", "weight": 0.9, "eventValueThreshold": 3.0}
CLICK = {"eventType": "click", "weight": 0.1}


@pytest.mark.parametrize("event_type", ["", "x" * 257])
def test_event_type_out_of_range_is_refused(event_type):
    with pytest.raises(InvalidInput, match="`eventType`"):
        check_event_type(event_type)


@pytest.mark.parametrize("recipe", [V2, POPULARITY], ids=lambda recipe: recipe.name)
def test_recipes_that_learn_take_a_threshold(recipe):
    config = {"eventValueThreshold": "2.5"}

    check_solution(recipe, solution_config(config), perform_hpo=False, event_type="buy")

    assert event_rules(solution_config(config)) == (EventRule(None, 2.5),)


def test_recipes_that_count_events_take_no_threshold():
    check_solution(TRENDING, solution_config({}), perform_hpo=False, event_type="buy")
    with pytest.raises(InvalidInput, match=r"eventValueThreshold`: got '2.5', want none: aws-trending-now counts"):
        check_solution(TRENDING, solution_config({"eventValueThreshold": "2.5"}), perform_hpo=False)
    with pytest.raises(InvalidInput, match=r"eventsConfig`.*want none"):
        check_solution(TRENDING, solution_config(events_config(BUY)), perform_hpo=False)


@pytest.mark.parametrize("value", ["much", "", "nan", "inf", "1" * 257])
def test_thresholds_are_numbers(value):
    with pytest.raises(InvalidInput, match=r"solutionConfig\.eventValueThreshold`.*want a number as text"):
        check_solution(V2, solution_config({"eventValueThreshold": value}), perform_hpo=False)


def test_recipes_of_version_2_take_settings_of_single_types():
    check_solution(V2, solution_config(events_config(BUY, CLICK, {"eventType": "watch"})), perform_hpo=False)
    with pytest.raises(InvalidInput, match=r"`solutionConfig\.eventsConfig`.*recipes of version 2"):
        check_solution(POPULARITY, solution_config(events_config(BUY)), perform_hpo=False)


@pytest.mark.parametrize(
    ("entries", "message"),
    [
        ([], "eventParametersList`: got '0 entries', want 1 to 10"),
        ([{"eventType": f"t{number}"} for number in range(11)], "got '11 entries', want 1 to 10"),
        ([{"weight": 0.5}], r"eventParametersList\[0\]\.eventType`: got '', want 1 to 256 characters"),
        ([{"eventType": "x" * 257}], r"eventParametersList\[0\]\.eventType`"),
        ([BUY, BUY], r"eventParametersList\[1\]\.eventType`: got 'buy', want every type once"),
        (
            [BUY, {"eventType": "a", "weight": 1.1}],
            r"eventParametersList\[1\]\.weight`: got 1\.1, want a number from 0",
        ),
        ([{"eventType": "a", "weight": float("nan")}], "weight`"),
        ([{"eventType": "a", "eventValueThreshold": float("inf")}], "eventValueThreshold`"),
        ([{"eventType": "a", "weight": 0.0}], "want at least one above 0"),
    ],
)
def test_malformed_settings_are_refused(entries, message):
    with pytest.raises(InvalidInput, match=message):
        check_solution(V2, solution_config(events_config(*entries)), perform_hpo=False)


def test_settings_of_single_types_exclude_other_event_settings():
    with pytest.raises(InvalidInput, match="`eventType`: got 'buy', want none beside eventsConfig"):
        check_solution(V2, solution_config(events_config(BUY)), perform_hpo=False, event_type="buy")
    with pytest.raises(InvalidInput, match=r"eventValueThreshold`: got '3', want none beside eventsConfig"):
        check_solution(V2, solution_config({**events_config(BUY), "eventValueThreshold": "3"}), perform_hpo=False)


def test_event_rules_follow_the_configuration():
    assert event_rules(solution_config({})) == ()
    assert event_rules(solution_config({"eventValueThreshold": "2.5"})) == (EventRule(None, 2.5),)
    assert event_rules(solution_config(events_config(BUY, CLICK))) == (EventRule("buy", 3.0), EventRule("click", None))


def test_events_can_only_be_selected_by_existing_columns():
    plain = avro("Interactions", column("USER_ID"))
    check_event_columns("watch", solution_config({}), schema=INTERACTIONS)
    check_event_columns(None, solution_config({}), schema=plain)
    check_event_columns(None, solution_config(events_config(BUY)), schema=VALUED)
    check_event_columns(None, solution_config({"eventValueThreshold": "0"}), schema=VALUED)
    with pytest.raises(InvalidInput, match=r"`eventType`: got 'watch', want none.* no EVENT_TYPE"):
        check_event_columns("watch", solution_config({}), schema=plain)
    with pytest.raises(InvalidInput, match=r"eventParametersList`.* no EVENT_TYPE"):
        check_event_columns(None, solution_config(events_config(CLICK)), schema=plain)
    with pytest.raises(InvalidInput, match=r"eventParametersList`.* no EVENT_VALUE"):
        check_event_columns(None, solution_config(events_config(BUY)), schema=INTERACTIONS)
    with pytest.raises(InvalidInput, match=r"`solutionConfig.eventValueThreshold`.* no EVENT_VALUE"):
        check_event_columns(None, solution_config({"eventValueThreshold": "0"}), schema=INTERACTIONS)
