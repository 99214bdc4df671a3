"""Features are the snapshot with what was put since, however many puts there are and however they are divided."""

from __future__ import annotations

from tempfile import TemporaryDirectory

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.features import Features, Put
from common.filters.expression import Operator
from tests.common.features.rows import SCHEMA, conditions, ids, matching, rows, shown, snapshot_of

#: Offset up to which snapshots have all puts.
FIRST = 40


def assert_is(features, held, queries):
    rows_by_id = {item: features.row(item) for item in held}
    assert None not in rows_by_id.values()
    assert {features.id(row) for row in range(features.n_rows)} == set(held)
    for item, row in rows_by_id.items():
        values = held[item]
        assert {name: features.text(row, name) for name in values} == {name: shown(values, name) for name in values}
        assert features.text(row, "ITEM_ID") == item
    for name, operator, value in queries:
        got = features.table.columns[name].matching(Operator(operator), value)
        assert {features.id(row) for row in got} == matching(held, name, operator, value)


@settings(max_examples=40, deadline=None)
@given(
    first=st.none() | st.dictionaries(ids, rows),
    later=st.dictionaries(ids, rows),
    puts=st.lists(st.lists(st.tuples(ids, rows), max_size=5), max_size=8),
    queries=st.lists(conditions, min_size=3, max_size=6),
)
def test_it_is_what_going_through_all_rows_gives(first, later, puts, queries):
    with TemporaryDirectory() as place, TemporaryDirectory() as place_later:
        held = dict(first or {})
        snapshot = None if first is None else snapshot_of(first, place)
        features = Features.of(snapshot, SCHEMA, offset=FIRST)
        offset = FIRST
        for batch in puts:
            listed = []
            for item, values in batch:
                offset += 1
                held[item] = values
                listed.append(Put(offset, item, values))
            before, were = features, features.n_rows
            features = features.with_puts(listed)
            assert before.n_rows == were
            assert features.with_puts(listed) is features
        assert_is(features, held, queries)
        # A newer snapshot that has the first half of the puts.
        middle = FIRST + (offset - FIRST) // 2
        pairs = [pair for listed in puts for pair in listed]
        numbered = [Put(at, item, values) for at, (item, values) in enumerate(pairs, start=FIRST + 1)]
        newer = Features.of(snapshot_of(later, place_later), SCHEMA, offset=middle).with_puts(numbered)
        assert newer.offset == offset
        after = {put.entity_id: put.values for put in numbered if put.offset > middle}
        assert_is(newer, {**later, **after}, queries)


def put(offset, item, **values):
    return Put(offset, item, values)


def test_two_that_come_from_one_have_their_own_ids():
    base = Features.of(None, SCHEMA, offset=0).with_puts([put(1, "a", YEAR=1)])
    left, right = base.with_puts([put(2, "b")]), base.with_puts([put(2, "c")])
    assert [features.id(1) for features in (left, right)] == ["b", "c"]
    assert (left.row("c"), right.row("b"), base.row("b"), base.n_rows) == (None, None, None, 1)


def test_many_puts_make_few_layers_and_the_last_of_an_id_holds():
    features = Features.of(None, SCHEMA, offset=0)
    for offset in range(1, 301):
        features = features.with_puts([put(offset, f"i{offset % 50}", YEAR=offset)])
    assert features.n_rows == 50
    assert len(features._layers) <= 8
    assert features.values_of(features.row("i7"), "YEAR") == (257,)
    assert list(features.table.columns["YEAR"].matching(Operator.LESS, 251)) == []


@pytest.mark.parametrize(("name", "row"), [("YEAR", None), ("NOT_THERE", 0), ("STORY", 0)])
def test_what_filters_cannot_read_has_no_values(name, row):
    assert Features.of(None, SCHEMA, offset=0).with_puts([put(1, "a", YEAR=1, STORY="x")]).values_of(row, name) == ()
