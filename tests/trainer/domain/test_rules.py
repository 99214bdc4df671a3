"""The pure rules: locations, configurations, sufficiency, the words of reports."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from trainer.domain.configuration import EventParameters, SolutionConfiguration
from trainer.domain.data_requirements import (
    check_event_types,
    check_sufficient,
    check_times,
    describe_filters,
    told_near_spellings,
)
from trainer.domain.import_report import Problem, Report
from trainer.domain.locations import BucketLocation, is_data_file, parse_location

BY_CLICK = " after filtering by event type: click"


@pytest.mark.parametrize(
    ("location", "folder"), [("s3://bucket/a/b.csv", False), ("s3://bucket/a/", True), ("s3://bucket/", True)]
)
def test_a_key_that_ends_in_a_slash_is_a_folder(location, folder):
    assert parse_location(location).is_folder is folder


def test_keys_are_taken_as_they_are_and_paths_are_urls():
    assert parse_location("s3://bucket/a%20b.csv") == BucketLocation("bucket", "a%20b.csv")
    assert str(parse_location("file:///data/a%20b.csv").path) == "/data/a b.csv"


@pytest.mark.parametrize(
    "location",
    [
        "s3://bucket/../secret.csv", "s3://../secret.csv", "s3://./secret.csv", "s3:///secret.csv",
        "s3://bucket//etc/passwd", "file:///data/../etc/passwd", "file:///data/%2e%2e/etc/passwd", "file://host/x",
        "http://bucket/x.csv", "/etc/passwd", "s3://bucket/a%00.csv\0", "file:///data/a%00b",
    ],
)  # fmt: skip
def test_locations_that_climb_or_are_of_another_kind_are_refused(location):
    with pytest.raises(InvalidInput, match=r"Invalid Data location\. "):
        parse_location(location)


@pytest.mark.parametrize(("name", "counts"), [("part-0", True), (".crc", False), ("_SUCCESS", False), ("", False)])
def test_markers_of_folders_hold_no_rows(name, counts):
    assert is_data_file(name) is counts


def test_configuration_is_read_from_the_services_own_json():
    found = SolutionConfiguration.parse('{"algorithmHyperParameters": {"layers": "1"}, "eventValueThreshold": "3.5"}')
    assert (found.hyperparameters, found.event_value_threshold) == ({"layers": "1"}, 3.5)
    assert SolutionConfiguration.parse("") == SolutionConfiguration({}, None)


def test_settings_of_single_types_are_read_with_their_defaults():
    found = SolutionConfiguration.parse(
        '{"eventsConfig": {"eventParametersList": [{"eventType": "buy", "eventValueThreshold": 2, "weight": 0.25},'
        ' {"eventType": "click"}]}}'
    )
    assert found.events == (EventParameters("buy", 2, 0.25), EventParameters("click", None, 1.0))
    with pytest.raises(InvalidInput, match="at least one above 0"):
        SolutionConfiguration.parse('{"eventsConfig": {"eventParametersList": [{"eventType": "a", "weight": 0}]}}')


def test_parameters_of_the_feature_transformation_are_hyperparameters_of_the_recipe():
    text = '{"algorithmHyperParameters": {"bptt": "8"}, "featureTransformationParameters": {"low": "0.1"}}'
    assert SolutionConfiguration.parse(text).hyperparameters == {"bptt": "8", "low": "0.1"}


def test_columns_are_named_by_type_of_dataset_in_any_case():
    found = SolutionConfiguration.parse(
        '{"trainingDataConfig": {"excludedDatasetColumns": {"Items": ["A", "B"]}, "includedDatasetColumns": {}}}'
    )
    assert (found.excluded_columns, found.included_columns) == ({"ITEMS": ("A", "B")}, {})


@pytest.mark.parametrize("text", ["[]", "{", '{"eventValueThreshold": "much"}', '{"eventValueThreshold": "nan"}'])
def test_malformed_configurations_are_refused(text):
    with pytest.raises(InvalidInput, match="solutionConfig"):
        SolutionConfiguration.parse(text)


@pytest.mark.parametrize(
    ("facts", "told"),
    [
        ((999, 100, 100, ""), "Create failed. Dataset has fewer than 1000 interactions. It has 999."),
        ((0, 0, 0, BY_CLICK), "fewer than 1000 interactions after filtering by event type: click. It has 0."),
        ((1000, 500, 24, ""), "Create failed. Dataset has fewer than 25 users with at least 2 interactions each. It"),
        ((1000, 500, 24, BY_CLICK), "at least 2 interactions each after filtering by event type: click. It has 24."),
        ((9000, 8000, 79, ""), "79 users with at least 2 interactions each, which is less than 1% of its"),
    ],
)
def test_too_little_data_is_told_in_the_services_words(facts, told):
    interactions, users, users_with_two, filters = facts
    with pytest.raises(InvalidInput) as caught:
        check_sufficient(interactions=interactions, users=users, users_with_two=users_with_two, filters=filters)
    assert told in caught.value.message


def test_filters_are_told_in_the_services_words():
    buy, click = EventParameters("buy", threshold=2.5), EventParameters("click", weight=0.5)

    assert describe_filters(event_type=None, threshold=None) == ""
    assert describe_filters(event_type="click", threshold=None) == BY_CLICK
    assert describe_filters(event_type="click", threshold=2.5) == f"{BY_CLICK} and by event value: 2.5 or more"
    assert describe_filters(event_type=None, threshold=3.0) == " after filtering by event value: 3 or more"
    assert describe_filters(event_type=None, threshold=None, events=[buy, click]) == (
        " after filtering by event type: buy (event value: 2.5 or more), click"
    )


def test_at_most_ten_event_types_can_be_learnt_from():
    names = [f"t{number}" for number in range(11)]
    check_event_types(names[:10], wanted=[])
    check_event_types(names, wanted=["t3"])
    with pytest.raises(InvalidInput, match=r"^Create failed\. Dataset has more than 10 event types: t0, t1"):
        check_event_types(names, wanted=[])


def test_a_chosen_type_that_is_spelled_otherwise_is_told():
    check_event_types(["Watch", "watch"], wanted=["watch"])
    check_event_types(["Watch"], wanted=["click"])
    with pytest.raises(InvalidInput, match="no interactions of event type watch, but of 'Watch'"):
        check_event_types(["Watch"], wanted=["watch"])
    check_event_types(["Watch"], wanted=["watch", "Watch"])


def test_types_that_a_filter_leaves_out_for_their_spelling_are_named():
    present = {"click": 900, "CLICK": 40, "Click ": 1200, "clicked": 7, "watch": 5}

    assert told_near_spellings(present, wanted=["click", "watch"]) == (
        "Interactions are left out because event types are compared exactly: "
        "1,200 of 'Click ', which is not 'click'; 40 of 'CLICK', which is not 'click'."
    )
    assert told_near_spellings(present, wanted=[]) == ""
    assert told_near_spellings({"!": 3, "?": 4}, wanted=["!"]) == ""
    assert told_near_spellings({f"cl{'i' * 5}ck{'.' * n}": n for n in range(1, 40)}, wanted=["cliiiiick"]).endswith(
        "..."
    )


@pytest.mark.parametrize("present", [[], ["EVENT_TYPE", "item_id"]])
def test_types_that_are_no_types_cannot_be_chosen(present):
    check_event_types(present, wanted=[])
    with pytest.raises(InvalidInput, match="All values in the event_type column are either reserved keywords or null"):
        check_event_types(present, wanted=["watch"])


def test_segments_need_a_before_and_an_after():
    check_times(first=5, last=6)
    with pytest.raises(InvalidInput, match="All interactions have the same timestamp, 5: recipes of type USER_SEGM"):
        check_times(first=5, last=5)


def test_just_enough_is_enough():
    check_sufficient(interactions=1000, users=2500, users_with_two=25, filters=BY_CLICK)


def test_report_counts_all_and_shows_the_first():
    report = Report()
    problems = [Problem.of_value(line, "A", got="x", want="y") for line in range(20, 1, -1)]
    report.add("a.csv", rows=100, bad_rows=19, problems=problems)
    report.add("b.csv", rows=5, bad_rows=1, problems=[Problem(2, "", "got 1 values, want 2")])

    assert not report.clean
    assert report.detail.startswith(
        "20 of 105 rows cannot be imported, so none was. a.csv, line 2, A: got 'x', want y;"
    )
    assert report.detail.endswith("a.csv, line 11, A: got 'x', want y; ...")


def test_report_of_a_single_row_has_nothing_more():
    report = Report()
    report.add("a.csv", rows=1, bad_rows=1, problems=[Problem.of_value(2, "A", got="x" * 500, want="y")])
    assert not report.detail.endswith("...")
    assert len(report.detail) < 250
