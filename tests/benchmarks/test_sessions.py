"""Sessions are divided and asked for as the session-based literature does."""

import gzip

import numpy as np
import pytest

from benchmarks.quality import sessions
from common.errors import InvalidInput
from recipes.components.sequential_rules import SequentialRulesBaseline


def questions(split, items):
    """Return (prefix, target) pairs, as ids."""
    return [
        ([items[item] for item in split.histories.of(row).items], items[split.targets[row]])
        for row in range(len(split.targets))
    ]


def test_published_prefixes_are_asked_as_they_are(tmp_path):
    (tmp_path / "train_sessions.txt").write_text("1 2\n3 2 1\n")
    with gzip.open(tmp_path / "test_prefix_target.txt.gz", "wt") as file:
        file.write("1 2\t3\n9 1\t2\n1\t9\n")
    split = sessions.read(str(tmp_path))
    assert split.training.histories().lengths().tolist() == [2, 3]
    # Item 9 is not in any training session: it is passed over in prefixes and cannot be a target.
    assert questions(split, ["1", "2", "3"]) == [(["1", "2"], "3"), (["1"], "2")]


def test_sessions_of_a_published_split_are_as_old_as_their_place_in_the_file(tmp_path):
    (tmp_path / "train_sessions.txt").write_text("1 2\n3 2\n")
    (tmp_path / "test_prefix_target.txt").write_text("1\t2\n")
    split = sessions.read(str(tmp_path))
    assert split.training.interactions.timestamp.tolist() == [0, 0, 1, 1]
    assert split.histories.times.tolist() == [2]


def test_a_line_without_a_target_is_named(tmp_path):
    (tmp_path / "train_sessions.txt").write_text("1 2\n")
    (tmp_path / "test_prefix_target.txt").write_text("1\t2\n1 2\n")
    with pytest.raises(InvalidInput, match=r"`test_prefix_target\.txt:2`: got '1 2', want items, a tab and a target"):
        sessions.read(str(tmp_path))


def test_tables_of_sessions_are_asked_for_every_item_but_the_first(tmp_path):
    (tmp_path / "x_train_full.txt").write_text("SessionId\tItemId\tTime\n1\t10\t1.5\n1\t20\t2.5\n2\t30\t3\n2\t10\t4\n")
    (tmp_path / "x_test.txt").write_text(
        "SessionId\tItemId\tTime\n7\t20\t9\n7\t99\t10\n7\t30\t11\n7\t20\t12\n8\t30\t9\n"
    )
    split = sessions.read(str(tmp_path))
    assert questions(split, ["10", "20", "30"]) == [(["20"], "30"), (["20", "30"], "20")]


def test_of_one_table_the_sessions_that_begin_last_are_tested(tmp_path):
    rows = "".join(f"{session}\t{item}\t{100 * session + item}\n" for session in range(8) for item in range(3))
    (tmp_path / "clicks.txt").write_text("SessionId\tItemId\tTime\n" + rows)
    split = sessions.read(str(tmp_path / "clicks.txt"))
    assert np.unique(split.training.interactions.user).tolist() == list(range(7))
    assert questions(split, ["0", "1", "2"]) == [(["0"], "1"), (["0", "1"], "2")]


def test_of_sequences_without_times_the_last_lines_are_tested(tmp_path):
    (tmp_path / "lines.txt").write_text("".join(f"{40 - line} 5 6\n" for line in range(15)))
    split = sessions.read(str(tmp_path / "lines.txt"))
    assert len(split.training.interactions) == 26
    assert split.training.interactions.timestamp.max() == 12
    assert questions(split, ["5", "6"]) == [(["5"], "6")] * 2


def test_a_folder_of_another_form_is_refused(tmp_path):
    (tmp_path / "notes.md").write_text("")
    with pytest.raises(InvalidInput, match=r"want test_prefix_target\.txt and train_sessions\.txt, or two tables"):
        sessions.read(str(tmp_path))


def test_precision_and_reciprocal_ranks_are_those_of_the_lists(tmp_path):
    (tmp_path / "train_sessions.txt").write_text("1 2\n1 2\n1 3\n")
    (tmp_path / "test_prefix_target.txt").write_text("1\t2\n1\t3\n2\t1\n")
    split = sessions.read(str(tmp_path))
    figures = sessions.metrics(SequentialRulesBaseline.fit(split.training).scores(split.histories), split)
    # After 1 come 2, by 2 / sqrt(3 * 2), and 3, by 1 / sqrt(3 * 1); after 2 comes nothing, and ties count against.
    assert figures["precision_at_20"] == 1.0
    assert figures["mean_reciprocal_rank_at_20"] == pytest.approx((1 + 1 / 2 + 1 / 3) / 3)
