"""The constraints of the service models, with AWS's texts."""

import pytest
import re2
from botocore.model import ShapeResolver

from gateway.protocol.constraints import compile_pattern, constraint_check, path_text
from tests.gateway import samples


def shape(**traits):
    return ShapeResolver({"S": traits}).get_shape_by_name("S")


def broken(value, **traits):
    return constraint_check(shape(**traits))(value)


@pytest.mark.parametrize(
    ("value", "traits", "text"),
    [
        ("", {"type": "string", "min": 1}, "Member must have length greater than or equal to 1"),
        ("abcd", {"type": "string", "max": 3}, "Member must have length less than or equal to 3"),
        (
            [1, 2],
            {"type": "list", "member": {"shape": "S"}, "max": 1},
            "Member must have length less than or equal to 1",
        ),
        (0, {"type": "integer", "min": 1}, "Member must have value greater than or equal to 1"),
        (1.5, {"type": "double", "max": 1}, "Member must have value less than or equal to 1"),
        ("a b", {"type": "string", "pattern": "[a-z]+"}, "Member must satisfy regular expression pattern: [a-z]+"),
        ("LOUD", {"type": "string", "enum": ["LOW", "OFF"]}, "Member must satisfy enum value set: [LOW, OFF]"),
    ],
)
def test_a_broken_constraint_is_named_as_aws_does(value, traits, text):
    assert broken(value, **traits) == text


@pytest.mark.parametrize(
    ("value", "traits"),
    [
        ("", {"type": "string", "min": 0}),
        ("abc", {"type": "string", "min": 3, "max": 3}),
        (1, {"type": "integer", "min": 1, "max": 1}),
        ("LOW", {"type": "string", "enum": ["LOW"]}),
    ],
)
def test_limits_belong_to_what_is_allowed(value, traits):
    assert broken(value, **traits) is None


@pytest.mark.parametrize(
    ("pattern", "good", "bad"),
    [
        (r"\p{ASCII}{0,1500}", "a=+/\n", "ä"),
        (r"^([\p{L}\p{Z}\p{N}_.:/=+\-@]*)$", "Größe 1²\u00a0@", "a!b"),
        (r"[A-Za-z\d_]+", "A1_", "A١"),
        (r"rate\(\d+ days?\)", "rate(7 days)", "rate(7 days) "),
        (r"^[a-zA-Z0-9][a-zA-Z0-9\-_]*", "films-1", "films 1"),
    ],
)
def test_patterns_mean_what_they_mean_to_aws(pattern, good, bad):
    assert compile_pattern(pattern)(good)
    assert not compile_pattern(pattern)(bad)


def test_an_unknown_class_of_characters_is_not_guessed():
    with pytest.raises(re2.error):
        compile_pattern(r"\p{Klingon}+")


def test_only_the_first_broken_constraint_of_a_value_is_reported_and_the_length_comes_first():
    assert broken("!" * 5, type="string", max=4, pattern="[a-z]+") == (
        "Member must have length less than or equal to 4"
    )


def test_places_of_files_are_left_to_the_service_that_knows_them():
    assert compile_pattern(r"(s3|http|https)://.+")("file:///data/films.csv")


def test_every_pattern_of_the_models_can_be_compiled():
    patterns = {
        model.metadata["pattern"]
        for service in ("personalize", "personalize-events", "personalize-runtime")
        for name in samples.model(service).shape_names
        if "pattern" in (model := samples.model(service).shape_for(name)).metadata
    }

    assert patterns == samples.BY_PATTERN.keys()
    assert all(compile_pattern(pattern)(samples.BY_PATTERN[pattern]) for pattern in patterns)


def test_a_path_counts_from_one():
    assert path_text(((((None, "eventList"), 0), "impression"), 24)) == "eventList.1.member.impression.25.member"
