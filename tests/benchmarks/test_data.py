"""Data sets are read in the forms they are published in."""

import gzip
import zipfile

import pytest

from benchmarks.quality.data import DATA_ROOT, load
from common.errors import InvalidInput


def histories(dataset):
    steps = dataset.data.histories()
    return {user: [dataset.items[item] for item in steps.of(row).items] for row, user in enumerate(dataset.users)}


def test_sequences_of_one_line_a_user(tmp_path):
    (tmp_path / "Beauty.txt").write_text("1 5 9 5\n2 9\n")
    dataset = load(str(tmp_path / "Beauty.txt"))
    assert histories(dataset) == {"1": ["5", "9", "5"], "2": ["9"]}
    assert (dataset.data.n_users, dataset.data.n_items, dataset.name) == (2, 2, "Beauty.txt")


def test_pairs_of_one_line_an_interaction(tmp_path):
    with gzip.open(tmp_path / "pairs.txt.gz", "wt") as file:
        file.write("1 7\n1 3\n2 3\n1 5\n")
    assert histories(load(str(tmp_path / "pairs.txt.gz"))) == {"1": ["7", "3", "5"], "2": ["3"]}


def test_a_line_without_items_is_named(tmp_path):
    (tmp_path / "broken.txt").write_text("1 7\n2\n")
    with pytest.raises(InvalidInput, match=r"`broken\.txt:2`: got '2', want a user and items"):
        load(str(tmp_path / "broken.txt"))


def test_tables_are_ordered_by_time_and_ids_stay_text(tmp_path):
    (tmp_path / "rows.csv").write_text("ITEM_ID,USER_ID,TIMESTAMP,EVENT_TYPE\n007,a,20,x\n07,a,10,x\n7,a,20,x\n")
    assert histories(load(str(tmp_path / "rows.csv"))) == {"a": ["07", "007", "7"]}


def test_days_stand_for_times_and_what_is_done_twice_in_one_counts_once(tmp_path):
    rows = ["userID\tartistID\ttagID\tDay\tMonth\tYear"]
    rows += ["2\t9\t1\t2\t1\t1970", "2\t7\t1\t1\t1\t1970", "2\t7\t3\t1\t1\t1970", "2\t7\t3\t1\t2\t1970"]
    path = tmp_path / "tags.dat"
    path.write_text("\n".join(rows))
    dataset = load(str(path))
    assert [dataset.items[item] for item in dataset.data.interactions.item] == ["7", "9", "7"]
    assert dataset.data.interactions.timestamp.tolist() == [0, 86_400, 31 * 86_400]


def test_event_types_are_numbered_where_there_are_any(tmp_path):
    (tmp_path / "rows.csv").write_text("timestamp,eventType,contentId,personId\n1,LIKE,a,p\n2,VIEW,b,p\n3,VIEW,c,p\n")
    (tmp_path / "plain.csv").write_text("timestamp,item,user\n1,a,p\n")
    dataset, plain = load(str(tmp_path / "rows.csv")).data, load(str(tmp_path / "plain.csv")).data
    assert (dataset.event_types, dataset.interactions.event_type.tolist()) == (("VIEW", "LIKE"), [2, 1, 1])
    assert (plain.event_types, plain.interactions.event_type.tolist()) == ((), [0])


def test_atomic_files_carry_types_behind_names(tmp_path):
    with gzip.open(tmp_path / "set.inter.gz", "wt") as file:
        file.write("user_id:token\titem_id:token\trating:float\ttimestamp:float\n1\t2\t3\t881250949.0\n")
    dataset = load(str(tmp_path / "set.inter.gz"))
    assert histories(dataset) == {"1": ["2"]}
    assert dataset.data.interactions.timestamp.tolist() == [881250949]


def test_a_zipped_table_is_read(tmp_path):
    with zipfile.ZipFile(tmp_path / "deskdrop.csv.zip", "w") as archive:
        archive.writestr("deskdrop.csv", "timestamp,eventType,contentId,personId\n1,VIEW,c,p\n")
    assert histories(load(str(tmp_path / "deskdrop.csv.zip"))) == {"p": ["c"]}


def test_a_missing_column_is_named(tmp_path):
    (tmp_path / "rows.csv").write_text("user,item\n1,2\n")
    with pytest.raises(InvalidInput, match="want one called timestamp or time"):
        load(str(tmp_path / "rows.csv"))


def test_names_are_looked_up_below_the_folder_of_the_environment(tmp_path, monkeypatch):
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "a.txt").write_text("1 2\n")
    monkeypatch.setenv(DATA_ROOT, str(tmp_path))
    assert histories(load("set/a.txt")) == {"1": ["2"]}


def test_absent_data_are_told_with_what_to_set(monkeypatch):
    monkeypatch.delenv(DATA_ROOT, raising=False)
    with pytest.raises(InvalidInput, match=f"got none.txt, which is no file.*{DATA_ROOT} set to the folder"):
        load("none.txt")


def test_an_unknown_form_is_refused(tmp_path):
    (tmp_path / "data.parquet").write_bytes(b"PAR1")
    with pytest.raises(InvalidInput, match=r"want a name ending in \.txt, \.csv, \.tsv, \.dat or \.inter"):
        load(str(tmp_path / "data.parquet"))
