"""A table that is made of the one before it is the same as one made anew, whatever was put and named between."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from structlog.testing import capture_logs

from common.avro import AvroSchema
from common.features import Features, Put, open_snapshot
from common.filters import Dataset, parse_filter
from common.vocabulary import Vocabulary
from inference import filter_table
from inference.filter_table import FilterTable
from inference.new_items import NewIds
from recipes.retrieval.scan import ScanIndex, build_scan
from tests.inference.vectors import N_ITEMS
from tests.inference.vectors import vectors as catalogue
from tests.runtime_service.features.running import publish_rows, schema_of
from tests.runtime_service.world import local_store

SCHEMA = AvroSchema.parse(schema_of("ITEMS"))
KNOWN = [f"item-{number}" for number in range(4)]
#: Two items of the model and one that came after it have rows in the snapshot.
STORED = {"item-0": "a", "item-2": "b", "stored": "a"}
NAMES = [*KNOWN, "stored", *(f"new-{number}" for number in range(6))]
FILTER = parse_filter('INCLUDE ItemID WHERE Items.T1 = "a"', {Dataset.ITEMS: SCHEMA})
steps = st.lists(
    st.tuples(st.booleans(), st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from("ab")), max_size=4)), max_size=6
)


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory):
    folder = tmp_path_factory.mktemp("table")
    store = local_store(folder / "store")
    rows = {name: {"T1": value, "T2": None, "I": None, "F": None} for name, value in STORED.items()}
    return open_snapshot(store, publish_rows(store, "table", "ITEMS", rows, offset=1), cache=folder / "cache")


def passing_ids(table, new_ids):
    allowed = table.compiled(FILTER, {}).candidates.allowed
    return {KNOWN[item] if item < len(KNOWN) else new_ids.id(item) for item in np.flatnonzero(allowed).tolist()}


@pytest.mark.parametrize("with_snapshot", [False, True])
@given(drawn=steps)
def test_tables_follow_what_is_put_and_what_events_name(snapshot, with_snapshot, drawn):
    features = Features.of(snapshot if with_snapshot else None, SCHEMA, offset=1)
    items, new_ids, values, offset = Vocabulary.build(KNOWN), NewIds(len(KNOWN)), {}, 1
    values |= STORED if with_snapshot else {}
    table = FilterTable.of(items, features, new_ids=new_ids)
    for is_named, listed in drawn:
        if is_named:  # by events alone
            new_ids.hold({name for name, _ in listed} - set(KNOWN))
        else:
            puts = [Put(offset + place, name, {"T1": value}) for place, (name, value) in enumerate(listed, 1)]
            offset += len(puts)
            features = features.with_puts(puts)
            values |= dict(listed)
        table = FilterTable.of(items, features, new_ids=new_ids, before=table)

    assert table.n_items == len(KNOWN) + len(new_ids)
    assert passing_ids(table, new_ids) == {name for name, value in values.items() if value == "a"}
    assert passing_ids(FilterTable.of(items, features, new_ids=new_ids), new_ids) == passing_ids(table, new_ids)
    rows = table.row_of_item.tolist()
    assert len(set(rows)) == len(rows) <= table.first_spare
    for name in NAMES:
        index = items.index(name)
        index = new_ids.index(name) if index is None else index
        assert table.row(name) == (None if index is None else rows[index])
        assert (name in values) == (table.feature_row(name) is not None)
        if name in values:
            assert table.row(name) == features.row(name)


def test_an_id_that_events_named_once_is_one_item_when_it_is_imported(snapshot):
    items, new_ids = Vocabulary.build(KNOWN), NewIds(len(KNOWN), most=1)
    new_ids.hold(["stored"])
    new_ids.drop(["stored"])

    table = FilterTable.of(items, Features.of(snapshot, SCHEMA, offset=1), new_ids=new_ids)

    allowed = np.flatnonzero(table.compiled(FILTER, {}).candidates.allowed).tolist()
    assert allowed == [items.index("item-0"), new_ids.index("stored")]
    new_ids.leave([len(KNOWN)])  # nobody's index makes no room
    new_ids.add(["more"])
    assert new_ids.index("more") is None


def test_items_that_a_snapshot_no_longer_has_make_room_for_those_that_it_brings(snapshot):
    items, new_ids = Vocabulary.build(KNOWN), NewIds(len(KNOWN), most=1)
    new_ids.add(["of the snapshot before"])

    with capture_logs() as logs:
        table = FilterTable.of(items, Features.of(snapshot, SCHEMA, offset=1), new_ids=new_ids)

    assert passing_ids(table, new_ids) == {"item-0", "stored"}
    assert logs == []


def test_items_of_a_snapshot_that_there_is_no_room_for_are_told(snapshot):
    items, new_ids = Vocabulary.build(KNOWN), NewIds(len(KNOWN), most=0)
    with capture_logs() as logs:
        table = FilterTable.of(items, Features.of(snapshot, SCHEMA, offset=1), new_ids=new_ids)
    assert passing_ids(table, new_ids) == {"item-0"}
    assert [(entry["event"], entry["waiting"]) for entry in logs] == [("new_items_wait_for_training", 1)]


def test_a_table_of_another_lineage_of_puts_is_no_beginning():
    first = Features.of(None, SCHEMA, offset=0).with_puts([Put(1, "x", {"T1": "a"})])
    other = Features.of(None, SCHEMA, offset=0).with_puts([Put(1, "item-1", {"T1": "a"}), Put(2, "y", {"T1": "b"})])
    items, new_ids = Vocabulary.build(KNOWN), NewIds(len(KNOWN))
    before = FilterTable.of(items, first, new_ids=new_ids)

    table = FilterTable.of(items, other, new_ids=new_ids, before=before)

    assert passing_ids(table, new_ids) == {"item-1"}
    assert (table.row("item-1"), table.row("y")) == (0, 1)
    assert table.feature_row("x") is None


def test_a_kept_filter_that_no_longer_fits_is_left_out_and_everything_else_goes_on():
    fields = {"type": "record", "name": "Items", "namespace": "n", "version": "1.0"}
    price = {"name": "PRICE", "type": "string", "categorical": True}
    names = [{"name": "ITEM_ID", "type": "string"}]
    texts, numbers = (
        AvroSchema.parse(json.dumps({**fields, "fields": [*names, column]}))
        for column in (price, {"name": "PRICE", "type": "float"})
    )
    items = Vocabulary.build(KNOWN)
    before = FilterTable.of(items, Features.of(None, texts, offset=0).with_puts([Put(1, "item-1", {"PRICE": "x"})]))
    definition = parse_filter('INCLUDE ItemID WHERE Items.PRICE IN ("x")', {Dataset.ITEMS: texts})
    before.keep_part("filter", before.compiled(definition, {}))

    table = FilterTable.of(
        items,
        Features.of(None, numbers, offset=5).with_puts([Put(6, "item-1", {"PRICE": 1.5})]),
        before=before,
        recent=before.recent_parts(),
    )

    assert table.kept_part("filter", definition, {}) is None
    assert table.text("item-1", "PRICE") == "1.5"


@pytest.fixture(scope="module")
def scan(tmp_path_factory):
    folder, vectors = tmp_path_factory.mktemp("scan"), catalogue()
    build_scan(vectors, folder, user_vectors=vectors[:200])
    return ScanIndex.open(folder, vectors)


def table_of(scan, n_passing, **members):
    """Return a table of which so many items pass `FILTER`, the first ones."""
    puts = [Put(1 + place, f"item-{place}", {"T1": "a"}) for place in range(n_passing)]
    items = Vocabulary.build([f"item-{number}" for number in range(N_ITEMS)])
    return FilterTable.of(items, Features.of(None, SCHEMA, offset=0).with_puts(puts), scan=scan, **members)


def use(table, filter_arn):
    """Use a filter as a request does; return what was done for it, and whether what passes is searched."""
    part = table.kept_part(filter_arn, FILTER, {})
    if part is None:
        table.keep_part(filter_arn, table.compiled(FILTER, {}))
        return "compiled", False
    if not table.may_be_searched(filter_arn, part):
        return "", part.candidates.search() is not None
    table.keep_part(filter_arn, table.searched(part))
    return "searched", True


def test_what_passes_a_filter_that_is_used_again_has_a_search_for_as_long_as_the_same_passes(scan):
    names = [f"item-{number}" for number in range(N_ITEMS)]
    items = Vocabulary.build(names)
    empty = Features.of(None, SCHEMA, offset=0)
    features = empty.with_puts([Put(1 + place, name, {"T1": "ab"[place % 2]}) for place, name in enumerate(names)])
    table = FilterTable.of(items, features, scan=scan)
    part = table.keep_part("filter", table.compiled(FILTER, {}))
    assert part.candidates.search() is None

    assert table.kept_part("filter", FILTER, {}) is part
    assert table.may_be_searched("filter", part)
    assert not table.may_be_searched("filter", part)  # it is being made
    searched = table.keep_part("filter", table.searched(part))
    assert searched.candidates.search().size == searched.candidates.count(N_ITEMS) == N_ITEMS // 2
    assert not table.may_be_searched("filter", searched)

    def after(*puts):
        later = features.with_puts([Put(N_ITEMS + 1 + place, *put) for place, put in enumerate(puts)])
        again = FilterTable.of(items, later, scan=scan, before=table, recent=table.recent_parts())
        return again.kept_part("filter", FILTER, {}).candidates

    assert after(("item-2", {"T1": "a"})).search() is searched.candidates.search()
    changed = after(("item-2", {"T1": "b"}), ("item-4", {"T1": "c"}))
    assert changed.search().size == changed.count(N_ITEMS) == N_ITEMS // 2 - 2


@pytest.mark.parametrize("n_passing", [900, 2_000])
def test_filters_that_hardly_anything_or_nearly_all_passes_have_no_search(scan, n_passing):
    table = table_of(scan, n_passing)
    part = table.keep_part("filter", table.compiled(FILTER, {}))
    assert part.candidates.count(N_ITEMS) == n_passing
    assert not table.may_be_searched("filter", part)


def test_more_filters_than_searches_have_room_for_are_compiled_once_and_hardly_searched_anew(scan, monkeypatch):
    n_passing = N_ITEMS // 2
    monkeypatch.setattr(filter_table, "_SEARCHES_BYTES", 4 * n_passing * scan.bytes_per_item)
    monkeypatch.setattr(filter_table, "_KEPT_BYTES", 9 * N_ITEMS)
    table, arns = table_of(scan, n_passing), [f"filter-{number}" for number in range(9)]

    rounds = [[use(table, arn) for arn in arns] for _ in range(31)]

    assert [{done for done, _ in used} for used in rounds] == [{"compiled"}, {"searched", ""}] + 29 * [{""}]
    assert {sum(is_searched for _, is_searched in used) for used in rounds[1:]} == {4}

    # Once those are used alone that had no room, they get it from those that were used longest ago.
    later = [[use(table, arn) for arn in arns[5:]] for _ in range(4)]
    assert later[-1] == 4 * [("", True)]
    assert [use(table, arn) for arn in arns[:4]] == 4 * [("", False)]
    assert all(table.kept_part(arn, FILTER, {}) is not None for arn in arns)


def test_a_filter_that_was_let_go_has_a_search_again_when_it_is_used_again(scan, monkeypatch):
    monkeypatch.setattr(filter_table, "_KEPT", 8)
    table = table_of(scan, N_ITEMS // 2)
    for turn in range(2):
        assert [use(table, "a")[0] for _ in range(3)] == ["compiled", "searched", ""], turn
        for number in range(8):
            use(table, f"filter-{number}")


def test_a_new_table_goes_on_counting_for_filters_that_had_no_room(scan, monkeypatch):
    n_passing = N_ITEMS // 2
    monkeypatch.setattr(filter_table, "_SEARCHES_BYTES", n_passing * scan.bytes_per_item)
    table, done = table_of(scan, n_passing), []
    for _ in range(36):  # something is put after each two requests
        done.append((use(table, "first"), use(table, "second")))
        table = table_of(scan, n_passing, before=table, recent=table.recent_parts())

    searched = [place for place, (_, second) in enumerate(done) if second[0] == "searched"]
    assert searched == [32]


def test_a_search_that_a_put_makes_needless_or_too_large_is_given_up(scan, monkeypatch):
    table = table_of(scan, N_ITEMS // 2)
    assert [use(table, "filter")[0] for _ in range(2)] == ["compiled", "searched"]

    def search_after(n_passing):
        after = table_of(scan, n_passing, before=table, recent=table.recent_parts())
        return after.kept_part("filter", FILTER, {}).candidates.search()

    assert search_after(N_ITEMS // 2 - 1).size == N_ITEMS // 2 - 1
    assert search_after(N_ITEMS // 2 + 1) is None
    assert search_after(filter_table._LEAST_SEARCHED - 1) is None
    monkeypatch.setattr(filter_table, "_SEARCH_BYTES", (N_ITEMS // 2 - 10) * scan.bytes_per_item)
    assert search_after(N_ITEMS // 2 - 9) is None


def test_a_search_is_kept_only_for_what_it_was_made_of(scan):
    table = table_of(scan, N_ITEMS // 2)
    part = table.keep_part("filter", table.compiled(FILTER, {}))
    searched = table.searched(part)
    other = table.keep_part("filter", table.compiled(FILTER, {}))

    table.keep_searched("filter", part, searched)
    assert table.kept_part("filter", FILTER, {}) is other
    table.keep_searched("filter", other, searched)
    assert table.kept_part("filter", FILTER, {}) is searched
