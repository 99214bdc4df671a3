"""Inputs are cut into parts of whole lines, whatever they are packed with, and each part is read as it stands."""

from __future__ import annotations

import gzip
import sys

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.errors import InvalidInput, Unavailable
from trainer.batch.inputs import PART_BYTES, PART_LINES, read_input
from trainer.batch.lines import read_lines
from trainer.files.sources import SourceFile

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

LOCATION = "s3://films/in/"
COMPRESSIONS = {"": bytes, ".gz": gzip.compress, ".zst": zstd.compress}
texts = st.lists(st.text("ab\r\u2028 ", max_size=6), max_size=40)


def write(folder, contents):
    """Write files, and return them as what was fetched."""
    files = []
    for name, content in contents.items():
        path = folder / name
        path.write_bytes(content)
        files.append(SourceFile(name, path))
    (folder / "work").mkdir(exist_ok=True)
    return files


def read(folder, contents, **bounds):
    return read_input(write(folder, contents), folder / "work", location=LOCATION, **bounds)


@given(texts.filter(any), st.sampled_from(sorted(COMPRESSIONS)), st.booleans(), st.integers(1, 7))
def test_all_parts_together_are_the_lines(tmp_path_factory, lines, compression, is_marked, part_lines):
    folder = tmp_path_factory.mktemp("input")
    content = "\n".join(lines).encode()
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("trainer.batch.inputs.PART_BYTES", 20)
        batch_input = read(
            folder,
            {f"a.json{compression}": COMPRESSIONS[compression](b"\xef\xbb\xbf" * is_marked + content)},
            part_lines=part_lines,
        )

    parts = list(batch_input)
    assert b"".join(part.data for part in parts) == content
    number = 1
    for part in parts:
        assert part.first == number
        count = part.data.count(b"\n") + (not part.data.endswith(b"\n"))
        assert count <= part_lines
        assert len(part.data) <= 20 or count == 1
        number += count
    assert batch_input.n_lines == number - 1


def test_the_files_of_a_folder_have_parts_of_their_own(tmp_path):
    many = b'{"userId":"u"}\n' * (PART_LINES + 1)
    batch_input = read(tmp_path, {"a.json": many, "b.json": b'{"userId":"w"}', "c.jsonl": many})

    assert [list(batch_input.parts_of(place)) for place in range(3)] == [[0, 1], [2], [3, 4]]
    assert batch_input[2].data == b'{"userId":"w"}'
    assert [batch_input[place].first for place in range(5)] == [1, PART_LINES + 1, 1, 1, PART_LINES + 1]


def test_long_lines_make_small_parts(tmp_path):
    line = b'{"userId":"' + b"u" * (PART_BYTES // 3) + b'"}\n'

    assert [part.data.count(b"\n") for part in read(tmp_path, {"a.json": line * 5})] == [2, 2, 1]


def test_rows_of_parquet_are_lines(tmp_path):
    rows = pl.DataFrame({"userId": ["1", None], "itemList": [["a", "b"], []], "rank": [1, 2]})
    rows.write_parquet(tmp_path / "a.parquet")

    batch_input = read(tmp_path, {"a.parquet": (tmp_path / "a.parquet").read_bytes()})

    members = [line.members for line in read_lines(batch_input[0].data, first=batch_input[0].first)]
    assert members == rows.to_dicts()
    assert dict(batch_input.files[0].columns) == dict(rows.schema)


def test_a_name_that_looks_like_a_pattern_means_its_file_alone(tmp_path):
    pl.DataFrame({"userId": ["another"]}).write_parquet(tmp_path / "u1.parquet")
    rows = pl.DataFrame({"userId": ["1"]})
    rows.write_parquet(tmp_path / "written")

    batch_input = read(tmp_path, {"u[1].parquet": (tmp_path / "written").read_bytes()})

    assert batch_input[0].data == b'{"userId":"1"}\n'


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.json", b"PK\x03\x04 and so on", "a.json cannot be read: got a zip file"),
        ("a.json", '{"userId":"1"}'.encode("utf-16"), "text in UTF-16"),
        ("a.json.gz", gzip.compress(mtime=0, data=b'{"userId":"1"}\n' * 999)[:-9], "a damaged or incomplete gzip file"),
        ("a.json", b"x" * ((1 << 22) + 1) * 5, "without a line end"),
        ("a.parquet", b"no Parquet", "got no valid Parquet file"),
    ],
)
def test_what_is_no_input_is_named(tmp_path, name, content, message):
    with pytest.raises(InvalidInput) as caught:
        read(tmp_path, {name: content})

    assert caught.value.message.startswith(f"Invalid S3 input path. `jobInput.s3DataSource.path`: got {LOCATION}")
    assert message in caught.value.message


def test_columns_that_no_line_can_have_are_named(tmp_path):
    pl.DataFrame({"userId": ["1"], "day": ["2026-01-01"]}).with_columns(pl.col("day").str.to_date()).write_parquet(
        tmp_path / "a.parquet"
    )

    with pytest.raises(InvalidInput, match="a column day of the type Date"):
        read(tmp_path, {"a.parquet": (tmp_path / "a.parquet").read_bytes()})


def test_no_line_at_all_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="where no line is"):
        read(tmp_path, {"a.json.gz": gzip.compress(b"")})


def test_a_file_that_is_cut_meanwhile_is_noticed(tmp_path):
    batch_input = read(tmp_path, {"a.json": b'{"userId":"1"}\n' * 9})
    (tmp_path / "a.json").write_bytes(b"")

    with pytest.raises(Unavailable, match=r"a\.json"):
        batch_input[0]


def test_lines_that_are_no_objects_say_so():
    lines = list(read_lines(b'\n {"userId":"1"} \r\n{"userId":\n[1]\n\xff\n', first=7))

    assert [(line.number, line.members) for line in lines] == [(8, {"userId": "1"}), (9, None), (10, None), (11, None)]
    assert "got no valid JSON" in lines[1].problem
    assert lines[2].problem == "`line 10`: got [1], want one JSON object"
