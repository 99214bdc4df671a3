"""Schemas: any text gives one or an error that names the place, never a fault."""

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.avro import AvroSchema
from common.errors import InvalidInput

FIELD = {"name": "GENRES", "type": ["null", "string"], "categorical": True}
VALID = {
    "type": "record",
    "name": "Items",
    "namespace": "com.amazonaws.personalize.schema",
    "fields": [
        {"name": "ITEM_ID", "type": "string"},
        FIELD,
        {"name": "YEAR", "type": {"type": "int"}, "default": 1999},
        {"name": "PRICE", "type": ["float"], "aliases": ["COST"], "doc": "in euro"},
    ],
    "version": "1.0",
}
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters()),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
#: What a parser that expects something else trips over.
HOSTILE = st.sampled_from(
    [None, True, 5, -1, 10**500, 1e300, "", "null", "record", "a b", "\ud800", "\0", [], {}, ["a"], [[]], [None],
     {"type": []}, {"type": {"type": "int"}}, {"type": "array", "items": "int"}, {"name": ["a"]}, "x" * 300]
)  # fmt: skip

#: Words that Python's own errors are written in.
PYTHON = ("Traceback", "Error(", "NoneType", "unhashable", "object is not", "has no attribute")


def places(value, path=()):
    """Yield the paths of all parts of a document."""
    yield path
    entries = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, item in entries:
        yield from places(item, (*path, key))


def changed(document, path, value, *, remove):
    """Return a copy in which one part is another value, or gone."""
    made = copy.deepcopy(document)
    if not path:
        return value
    target = made
    for key in path[:-1]:
        target = target[key]
    if remove:
        del target[path[-1]]
    else:
        target[path[-1]] = value
    return made


def outcome(text):
    """Return the schema of a text, or the message of its error."""
    try:
        return AvroSchema.parse(text)
    except InvalidInput as error:
        return error.message


def assert_schema_or_error(text):
    result = outcome(text)
    if isinstance(result, AvroSchema):
        assert result.fields
        return
    assert result.startswith("`schema")
    assert result.encode()  # it can be sent
    assert not [word for word in PYTHON if word in result]


@pytest.mark.parametrize(
    ("change", "place"),
    [
        ({"fields": ...}, "`schema.fields`"),
        ({"fields": []}, "`schema.fields`"),
        ({"fields": {}}, "`schema.fields`"),
        ({"fields": ["ITEM_ID"]}, "`schema.fields[0]`"),
        ({"fields": [{"type": "string"}]}, "`schema.fields[0].name`"),
        ({"fields": [{**FIELD, "name": ["a"]}]}, "`schema.fields[0].name`"),
        ({"fields": [{"name": "GENRES"}]}, "`schema.GENRES`"),
        ({"fields": [{**FIELD, "type": []}]}, "`schema.GENRES`"),
        ({"fields": [{**FIELD, "type": ["int", "int"]}]}, "`schema.GENRES`"),
        ({"fields": [{**FIELD, "type": {"type": {"type": "int"}}}]}, "`schema.GENRES`"),
        ({"fields": [{**FIELD, "categorical": "yes"}]}, "`schema.GENRES.categorical`"),
        ({"fields": [{**FIELD, "default": 5}]}, "`schema.GENRES.default`"),
        ({"fields": [{"name": "YEAR", "type": "int", "default": 2**31}]}, "`schema.YEAR.default`"),
        ({"fields": [{"name": "YEAR", "type": "long", "default": 10**500}]}, "`schema.fields[0].default`"),
        ({"fields": [FIELD, FIELD]}, "`schema.fields`"),
        ({"name": ["a"]}, "`schema.name`"),
        ({"name": ...}, "`schema.name`"),
        ({"name": "\ud800"}, "`schema.name`"),
        ({"doc": "\ud800"}, "`schema.doc`"),
        ({"version": 10**500}, "`schema.version`"),
        ({"namespace": 5}, "`schema.namespace`"),
        ({"aliases": 5}, "`schema.aliases`"),
    ],
    ids=lambda value: value if isinstance(value, str) else ",".join(value),
)
def test_what_is_wrong_is_named_by_its_place(change, place):
    document = {key: value for key, value in {**VALID, **change}.items() if value is not ...}

    with pytest.raises(InvalidInput) as caught:
        AvroSchema.parse(json.dumps(document))

    assert caught.value.message.startswith(place)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 9000,
        '{"type":' * 1500,
        "[" * 9000 + "]" * 9000,
        json.dumps(VALID)[:-1] + ',"doc":' + "[" * 900 + "]" * 900 + "}",
        json.dumps(VALID)[:-1] + ',"doc":' + "9" * 5000 + "}",
        json.dumps(VALID)[:-1] + ',"doc":1e999}',
        json.dumps(VALID)[:-1] + ',"doc":NaN}',
        " " * 20_001,
        "",
        "\ud800",
        "null",
        '"record"',
    ],
    ids=lambda text: text[:12] + str(len(text)),
)
def test_texts_of_any_size_and_depth_are_refused_by_name(text):
    with pytest.raises(InvalidInput, match=r"^`schema"):
        AvroSchema.parse(text)


def test_text_that_is_no_json_is_reported_with_line_and_column():
    with pytest.raises(InvalidInput, match="line 2, column 11"):
        AvroSchema.parse('{\n"fields": oops}')


@pytest.mark.parametrize(("value", "meant"), [(True, True), ("TRUE", True), ("false", False), (None, False)])
def test_flags_are_read_as_they_are_meant(value, meant):
    schema = AvroSchema.parse(json.dumps({**VALID, "fields": [{**FIELD, "categorical": value}]}))

    assert schema.fields[0].categorical is meant


@given(st.text(st.characters()))
def test_any_text_is_a_schema_or_refused(text):
    assert_schema_or_error(text)


@given(JSON)
def test_any_json_is_a_schema_or_refused(document):
    assert_schema_or_error(json.dumps(document))


@given(st.sampled_from(list(places(VALID))), HOSTILE | JSON, st.booleans())
def test_any_change_of_a_valid_schema_gives_a_schema_or_an_error(path, value, remove):
    assert_schema_or_error(json.dumps(changed(VALID, path, value, remove=remove)))


@given(st.integers(0, len(json.dumps(VALID))), st.text(st.characters(), max_size=3), st.integers(0, 3))
def test_any_damage_to_the_text_of_a_schema_gives_a_schema_or_an_error(position, inserted, removed):
    text = json.dumps(VALID)

    assert_schema_or_error(text[:position] + inserted + text[position + removed :])
