"""`tailorbird check`: the report of an import without a server, and what the rows say."""

from __future__ import annotations

import gzip
import json

import pytest

from recipes.catalog import RECIPES
from tests.control_plane.world import avro, column
from tests.trainer.place import HEADERS, SCHEMAS


@pytest.fixture
def check(tailorbird, tmp_path, capsys):
    def run(lines, *options, kind="INTERACTIONS", name="data.csv", schema=None):
        data, schema_file = tmp_path / name, tmp_path / "schema.json"
        data.write_text("\n".join([HEADERS[kind], *lines]) + "\n")
        schema_file.write_text(schema or SCHEMAS[kind])
        code = tailorbird("check", str(data), str(schema_file), *options)
        return code, capsys.readouterr().out

    return run


def walks(users=30, events=40):
    return [
        f"u{user},i{(user + step) % 25},{1_700_000_000 + step},watch,1"
        for user in range(users)
        for step in range(events)
    ]


def test_rows_that_can_be_imported_are_described(check):
    code, text = check([*walks(), "u0,i0,1700000000,Buy,", "u0,i0,1700000000,Buy,"], "--output", "json")
    read = json.loads(text)
    assert (code, read["datasetType"], read["rows"], read["badRows"]) == (0, "INTERACTIONS", 1202, 0)
    insights = read["insights"]
    assert insights["distinct"] == {"USER_ID": 30, "ITEM_ID": 25}
    assert (insights["firstTimestamp"], insights["lastTimestamp"]) == (1_700_000_000, 1_700_000_039)
    assert insights["identicalRows"] == 1
    assert insights["shareOfRepeats"] == pytest.approx(1 - 30 * 25 / 1202, abs=1e-4)
    assert insights["eventTypes"] == {"watch": 1200, "Buy": 2}
    assert insights["usersWithTwoOrMore"] == 30
    assert insights["completeness"]["EVENT_VALUE"] == pytest.approx(1200 / 1202, abs=1e-4)
    assert insights["warnings"] == ["EVENT_TYPE: 'Buy' is rare, 2 of 1,202 rows"]
    assert [text.split(":")[0] for text in insights["suggestions"][:2]] == [
        "aws-user-personalization-v2", "aws-popularity-count",
    ]  # fmt: skip
    assert insights["suggestions"][2].startswith("38% of the interactions")


def test_the_same_is_shown_to_people(check):
    code, text = check(walks())
    assert code == 0
    assert "this can be imported" in text
    assert "2023-11-14 22:13:20 UTC" in text
    assert "2023-11-14 22:13:59 UTC" in text
    assert "suggestion: aws-user-personalization-v2" in text


def test_what_is_wrong_is_told_as_imports_tell_it(check):
    lines = ["u1,i1,1700000000000,watch,1", "u2,i2,5,watch,high", "u3,i3,5,watch,1"]
    code, text = check(lines, "--output", "json")
    read = json.loads(text)
    assert (code, read["badRows"], read["rows"]) == (1, 2, 3)
    assert "insights" not in read
    assert [(row["line"], row["column"], row["value"]) for row in read["firstBadRows"]] == [
        (2, "TIMESTAMP", "1700000000000"), (3, "EVENT_VALUE", "high"),
    ]  # fmt: skip

    code, text = check(lines)
    assert code == 1
    assert "2 of 3 rows are wrong: an import would fail." in text
    assert "milliseconds" in text


def test_a_file_without_a_column_fails(check):
    schema = avro("Interactions", *map(column, ("USER_ID", "ITEM_ID", "DEVICE")), column("TIMESTAMP", "long"))
    code, text = check(["u,i,1,watch,1"], schema=schema)
    assert code == 1
    assert "Input CSV is missing the following columns:[DEVICE]" in text.replace("\n", " ")


def test_columns_that_are_not_imported_are_named(check):
    schema = avro("Interactions", *map(column, ("USER_ID", "ITEM_ID")), column("TIMESTAMP", "long"))
    assert "not in the schema, so ignored: EVENT_TYPE, EVENT_VALUE" in check(walks(), schema=schema)[1]
    read = json.loads(check(walks(), "--output", "json", schema=schema)[1])
    assert read["ignoredColumns"] == ["EVENT_TYPE", "EVENT_VALUE"]


def test_too_little_to_train_on_is_told(check):
    read = json.loads(check(["u,i,1,watch,1"], "--output", "json")[1])
    assert read["insights"]["suggestions"][0].startswith("Too little to train on: 1 interactions")


def test_columns_with_gaps_and_too_many_categories_are_warned_of(check):
    lines = [f"i{number},{'t' if number % 2 else ''},g{number}|g,," for number in range(1100)]
    read = json.loads(check(lines, "--output", "json", kind="ITEMS")[1])
    assert read["insights"]["categories"] == {"GENRES": 1101}
    assert "TITLE: 50% of the rows have a value, want 70% to learn from it" in read["insights"]["warnings"]
    assert "GENRES: 1,101 categories, more than 1,000 seldom help" in read["insights"]["warnings"]


def test_all_files_of_a_folder_are_read(tailorbird, tmp_path, capsys):
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "a.csv").write_text(f"{HEADERS['USERS']}\nu1,30\n")
    (folder / "b.csv.gz").write_bytes(gzip.compress(f"{HEADERS['USERS']}\nu2,\n".encode()))
    (folder / "_SUCCESS").touch()
    (folder / ".a.csv.crc").write_bytes(b"crc")
    (folder / "b.csv.gz.crc").write_bytes(b"crc")
    (folder / "empty.csv").touch()
    (tmp_path / "schema.json").write_text(SCHEMAS["USERS"])
    assert tailorbird("check", str(folder), str(tmp_path / "schema.json"), "--output", "json") == 0
    assert json.loads(capsys.readouterr().out)["rows"] == 2


@pytest.mark.parametrize(
    ("name", "kind", "code"),
    [
        ("com.example.Interactions", None, 0),
        ("Plays", None, 1),
        ("Plays", "interactions", 0),
        ("Items", "INTERACTIONS", 0),
    ],
)
def test_the_type_is_that_of_the_schemas_name_or_the_option(check, name, kind, code):
    schema = avro(name, *map(column, ("USER_ID", "ITEM_ID")), column("TIMESTAMP", "long"))
    options = [] if kind is None else ["--dataset-type", kind]
    assert check(["u,i,1,watch,1"], *options, schema=schema)[0] == code


@pytest.mark.parametrize("missing", ["data.csv", "schema.json"])
def test_a_file_that_is_not_there_is_named(tailorbird, tmp_path, capsys, missing):
    (tmp_path / "data.csv").write_text("A\n1\n")
    (tmp_path / "schema.json").write_text(SCHEMAS["USERS"])
    (tmp_path / missing).unlink()
    assert tailorbird("check", str(tmp_path / "data.csv"), str(tmp_path / "schema.json")) == 1
    assert missing in capsys.readouterr().err


def test_recipes_that_are_suggested_exist(check):
    schemas = {
        "ITEMS": avro("Items", column("ITEM_ID"), column("TITLE", textual=True)),
        "ACTION_INTERACTIONS": avro(
            "ActionInteractions", *map(column, ("USER_ID", "ACTION_ID", "EVENT_TYPE")), column("TIMESTAMP", "long")
        ),
    }
    lone = [f"u{user},i{user},1,watch,1" for user in range(1000)] + walks(25, 2)
    texts = [
        check(lone, "--output", "json")[1],
        check(walks(), "--output", "json")[1],
        check(["i,t,,,"], "--output", "json", kind="ITEMS", schema=schemas["ITEMS"])[1],
    ]
    names = {
        text.split(":")[0]
        for read in map(json.loads, texts)
        for text in read["insights"]["suggestions"]
        if text.startswith("aws-")
    }
    assert len(names) == 4
    assert names <= set(RECIPES)
