"""Any table comes back, however its file is written; and how far the reader is."""

from __future__ import annotations

import csv
import gzip
import io
import sys

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.avro import AvroSchema
from common.data_files import DataFile, DataReader
from tests.common.data_files.reading import read_files
from tests.control_plane.world import avro, column
from tests.trainer.place import HEADERS, SCHEMAS

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

NAMES = ["ITEM_ID", "TITLE", "YEAR", "PRICE", "CHILDREN", "NOTE"]
SCHEMA = AvroSchema.parse(
    avro(
        "Items",
        column("ITEM_ID"),
        column("TITLE", ["null", "string"]),
        column("YEAR", ["null", "long"]),
        column("PRICE", ["null", "double"]),
        column("CHILDREN", ["null", "boolean"]),
    )
)
PACKED = {"plain": bytes, "gzip": gzip.compress, "Zstandard": zstd.compress}

#: Of values in quotes with escapes everything but line breaks can be said.
texts = st.text(
    st.one_of(st.sampled_from("\",\\; \t\r'an"), st.characters(exclude_characters="\n", exclude_categories=["Cs"])),
    max_size=12,
)
rows = st.lists(
    st.tuples(
        st.text(st.characters(categories=["L", "N"]), min_size=1, max_size=8),
        texts,
        st.none() | st.integers(-(2**63), 2**63 - 1),
        st.none() | st.floats(allow_nan=False, allow_infinity=False),
        st.none() | st.booleans(),
        texts,
    ),
    min_size=1,
    max_size=8,
)


def as_text(value: object) -> str:
    return "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)


@pytest.fixture(scope="module")
def path(tmp_path_factory):
    return tmp_path_factory.mktemp("reader") / "items.csv"


@settings(deadline=None)
@given(
    rows=rows,
    order=st.permutations(range(len(NAMES))),
    end=st.sampled_from(["\n", "\r\n"]),
    quoting=st.sampled_from([csv.QUOTE_ALL, csv.QUOTE_NONNUMERIC]),
    mark=st.sampled_from(["", "\ufeff"]),
    pack=st.sampled_from(list(PACKED.values())),
)
def test_any_table_of_csv_comes_back(path, rows, order, end, quoting, mark, pack):
    text = io.StringIO()
    writer = csv.writer(text, quoting=quoting, lineterminator=end, doublequote=False, escapechar="\\")
    text.write(mark + ",".join(NAMES[place] for place in order) + end)
    writer.writerows([as_text(row[place]) for place in order] for row in rows)
    path.write_bytes(pack(text.getvalue().encode()))

    read = read_files(path, schema=SCHEMA, dataset_type="ITEMS")

    assert read.columns == NAMES[:5]
    assert read.rows() == [(row[0], row[1] or None, *row[2:5]) for row in rows]


def test_progress_ends_at_the_whole_of_all_files(tmp_path):
    shares = []
    for name, pack in (("a.csv", bytes), ("b.csv.gz", gzip.compress)):
        (tmp_path / name).write_bytes(pack(f"{HEADERS['USERS']}\nu,1\n".encode()))
    reader = DataReader(AvroSchema.parse(SCHEMAS["USERS"]), dataset_type="USERS", progress=shares.append)
    files = [DataFile(path.name, path) for path in sorted(tmp_path.iterdir())]

    assert sum(map(len, reader.batches(files))) == 2
    assert shares == sorted(shares)
    assert (0 < shares[0] < 1, shares[-1]) == (True, 1)


def test_rows_are_given_out_only_until_something_is_wrong(tmp_path):
    for name, age in (("a", "1"), ("b", "old"), ("c", "3")):
        (tmp_path / f"{name}.csv").write_text(f"{HEADERS['USERS']}\nu{name},{age}\n")
    reader = DataReader(AvroSchema.parse(SCHEMAS["USERS"]), dataset_type="USERS")
    files = [DataFile(path.name, path) for path in sorted(tmp_path.iterdir())]

    assert [batch["USER_ID"].to_list() for batch in reader.batches(files)] == [["ua"]]
    assert (reader.report.rows, reader.report.bad_rows, reader.report.clean) == (3, 1, False)
