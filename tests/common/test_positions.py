"""Places in a log are compared along the lineage, and not at all across logs that do not know each other."""

import pytest

from common.errors import InvalidInput
from common.positions import LEGACY_EPOCH, START, Epoch, Lineage, Position

OLD, RESTORED, NEXT, FOREIGN = 11, 22, 33, 44
LINEAGE = Lineage([Epoch(OLD, 1), Epoch(RESTORED, 1001), Epoch(NEXT, 1501)])


def test_place_of_an_offset_is_of_the_epoch_that_it_lies_in():
    assert [LINEAGE.at(offset).epoch for offset in (1, 1000, 1001, 1500, 1501, 9999)] == [
        OLD, OLD, RESTORED, RESTORED, NEXT, NEXT,
    ]  # fmt: skip


def test_log_shares_what_lies_before_the_end_of_the_epoch():
    assert LINEAGE.shared(Position(OLD, 700)) == 700
    assert LINEAGE.shared(Position(OLD, 3350)) == 1000
    assert LINEAGE.shared(Position(NEXT, 1700)) == 1700


def test_log_shares_nothing_with_a_log_that_it_does_not_know():
    assert LINEAGE.shared(Position(FOREIGN, 700)) == 0
    assert not LINEAGE.has(Position(FOREIGN, 1))


def test_place_behind_the_end_of_its_epoch_is_not_on_the_lineage():
    assert LINEAGE.has(Position(OLD, 1000))
    assert not LINEAGE.has(Position(OLD, 1001))


def test_beginning_is_on_every_lineage():
    assert all(lineage.has(START) for lineage in (Lineage(), Lineage.legacy(), LINEAGE))


def test_log_without_epochs_has_the_places_without_epochs():
    assert Lineage.legacy().has(Position(LEGACY_EPOCH, 5))
    assert Lineage().shared(Position(LEGACY_EPOCH, 5)) == 0
    assert (Lineage().current, LINEAGE.current) == (LEGACY_EPOCH, NEXT)


def test_positions_are_read_from_the_text_that_they_have():
    position = Position(2**63 - 1, 17)

    assert str(position) == f"{2**63 - 1}:17"
    assert Position.parse(str(position), field="x") == position


@pytest.mark.parametrize(
    "text", ["", "17", ":17", "1:", "1:-2", "1:2:3", " 1:2", "1:2\n", "a:1", "1:1.5", "٣:1", "1" * 20 + ":1"]
)
def test_text_that_is_no_position_is_refused(text):
    with pytest.raises(InvalidInput, match=r"^`x`: got .*, want EPOCH:OFFSET"):
        Position.parse(text, field="x")
