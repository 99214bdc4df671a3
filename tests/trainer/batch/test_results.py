"""Answers come in any order and make up files in the order of the lines."""

from __future__ import annotations

import json
import random
from pathlib import Path

import polars as pl
import pytest

from common.errors import InvalidInput, Unavailable
from trainer.batch.inputs import PART_LINES, read_input
from trainer.batch.lines import Answers, read_lines, text_member
from trainer.batch.results import PartResult, Results
from trainer.files.sources import SourceFile
from trainer.worker import is_retryable

COLUMNS = {"recommendedItems": pl.List(pl.String()), "scores": pl.List(pl.Float64())}


def answered(part):
    """Answer a part: every third line has an error."""
    gathered = Answers()
    for line in read_lines(part.data, first=part.first):
        if line.number % 3 == 0:
            gathered.fail(line, f"`userId`: line {line.number}")
        else:
            gathered.add(line, {"recommendedItems": [f"i{line.number}"], "scores": [0.5]})
    return PartResult(gathered.content(), gathered.answered, gathered.failed)


@pytest.fixture
def batch_input(tmp_path):
    lines = "".join(f'{{"userId":"u{number}"}}\n' for number in range(2 * PART_LINES + 5))
    (tmp_path / "a.json").write_text(lines)
    (tmp_path / "b.json").write_text('{"userId":"last"}\n')
    pl.DataFrame({"userId": [f"u{number}" for number in range(PART_LINES + 2)]}).write_parquet(tmp_path / "c.parquet")
    for name in ("in", "out"):
        (tmp_path / name).mkdir()
    names = ("a.json", "b.json", "c.parquet")
    return read_input([SourceFile(name, tmp_path / name) for name in names], tmp_path / "in", location="s3://films/")


@pytest.mark.parametrize("folder", ["out", "out[1]"])
def test_files_are_in_the_order_of_their_lines(batch_input, tmp_path, folder):
    (tmp_path / folder).mkdir(exist_ok=True)
    places = list(range(len(batch_input)))
    random.Random(3).shuffle(places)
    with Results(batch_input, tmp_path / folder, output_columns=COLUMNS) as results:
        for place in [*places, *places[:2]]:  # two parts were done twice
            results.add(place, answered(batch_input[place]))
        files = {}
        for file in results.files():
            if file.name.endswith(".parquet.out"):
                files[file.name] = pl.read_parquet(file.path, glob=False)
            else:
                files[file.name] = [json.loads(line) for line in file.path.read_text().splitlines()]
            assert len(files[file.name]) == file.lines

    assert list(files) == ["a.json.out", "b.json.out", "c.parquet.out"]
    assert [line["input"]["userId"] for line in files["a.json.out"]] == [f"u{n}" for n in range(2 * PART_LINES + 5)]
    assert files["a.json.out"][2] == {"input": {"userId": "u2"}, "output": None, "error": "`userId`: line 3"}
    assert files["b.json.out"] == [
        {"input": {"userId": "last"}, "output": {"recommendedItems": ["i1"], "scores": [0.5]}, "error": None}
    ]
    table = files["c.parquet.out"]
    assert table["input"].struct.field("userId").to_list() == [f"u{n}" for n in range(PART_LINES + 2)]
    assert table.row(2, named=True) == {"input": {"userId": "u2"}, "output": None, "error": "`userId`: line 3"}
    assert table.row(3, named=True)["output"] == {"recommendedItems": ["i4"], "scores": [0.5]}
    assert (results.answered, results.failed) == (1005 - 335 + 1 + 502 - 167, 335 + 167)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", r"c.parquet.out: got 500 rows, want 502, one an answer; use JSON Lines"),
        (b'{"input":\n', r"c.parquet.out: the answers cannot be written as Parquet \(.+\); JSON Lines can be"),
    ],
)
def test_a_table_that_lacks_rows_or_cannot_be_written_is_not_published(batch_input, tmp_path, content, message):
    with Results(batch_input, tmp_path / "out", output_columns=COLUMNS) as results:
        for place in range(len(batch_input)):
            result = answered(batch_input[place])
            if place == len(batch_input) - 1:
                result = PartResult(content, result.answered, result.failed)
            results.add(place, result)
        files = results.files()
        assert [next(files).name for _ in range(2)] == ["a.json.out", "b.json.out"]
        with pytest.raises(InvalidInput, match=message) as refused:
            next(files)
    assert not is_retryable(refused.value)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="Linux has a disk that is always full")
def test_a_table_for_which_the_disk_has_no_space_is_tried_again(tmp_path):
    pl.DataFrame({"userId": ["u"]}).write_parquet(tmp_path / "c.parquet")
    only = read_input([SourceFile("c.parquet", tmp_path / "c.parquet")], tmp_path, location="s3://films/")
    (tmp_path / "output.parquet").symlink_to("/dev/full")
    with Results(only, tmp_path, output_columns=COLUMNS) as results:
        results.add(0, answered(only[0]))
        with pytest.raises(Unavailable, match=r"the trainer's work folder cannot be written \(.*os error") as failed:
            next(results.files())
    assert is_retryable(failed.value)


@pytest.mark.parametrize(
    "text",
    [
        pytest.param(b'{"userId": "u", "more": ' + b"[" * 1_000 + b"]" * 1_000 + b"}", id="nested deep"),
        pytest.param(b'{"userId": "u", "rank": 123456789012345678901}', id="a long integer"),
        pytest.param(b'{"userId": "u",\r"rank": 1}', id="a CR between members"),
    ],
)
def test_an_object_is_shown_as_it_was_written(text):
    gathered = Answers()
    for line in read_lines(text + b'\n{"userId": "w"}\n', first=1):
        gathered.add(line, {"recommendedItems": []})

    first, second, end = gathered.content().split(b"\n")
    assert first == b'{"input":' + text.replace(b"\r", b" ") + b',"output":{"recommendedItems":[]},"error":null}'
    assert (json.loads(second)["input"], end) == ({"userId": "w"}, b"")


def test_a_member_that_is_nested_too_deep_fails_its_line_alone():
    (line,) = read_lines(b'{"userId": ' + b'{"a":' * 1_000 + b"1" + b"}" * 1_001, first=1)

    with pytest.raises(InvalidInput, match="nested too deep to be shown, want the id of a user"):
        text_member(line.members, "userId", meaning="the id of a user")


def test_lines_that_are_no_json_are_shown_as_they_are():
    gathered = Answers()
    for line in read_lines(b'{"userId": \xff', first=1):
        gathered.fail(line, line.problem)

    (answer,) = [json.loads(text) for text in gathered.content().splitlines()]
    assert answer["input"] == '{"userId": \ufffd'
    assert (answer["output"], gathered.failed) == (None, 1)
