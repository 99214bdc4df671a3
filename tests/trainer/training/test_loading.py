"""Which interactions a training learns from."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from common import columns
from common.arrow_schema import interactions_frame_schema
from common.avro import AvroSchema
from common.errors import InvalidInput
from common.positions import START, Position
from protos.tailorbird.control.v1 import solution_config_pb2 as config_pb2
from protos.tailorbird.internal.v1 import jobs_pb2
from tests.control_plane.world import avro, column
from tests.trainer.place import HEADERS, SCHEMAS, walks
from trainer.domain.configuration import EventParameters
from trainer.features import FeatureSnapshotJobHandler
from trainer.training import loading
from trainer.training.loading import count_shown, load, number_event_types, select_interactions
from trainer.training.snapshot import take_snapshot
from trainer.training.spec import TrainingSpec
from trainer.worker import NullJobContext

SCHEMA = AvroSchema.parse(SCHEMAS["INTERACTIONS"])


def interactions(*rows: dict[str, object]) -> pl.DataFrame:
    """Return rows of the table; what a row does not say is as of a bulk import."""
    plain = {"USER_ID": "u1", "ITEM_ID": "i1", "TIMESTAMP": 5, "EVENT_TYPE": "watch", columns.SOURCE: "bulk"}
    return pl.DataFrame([plain | row for row in rows], schema=interactions_frame_schema(SCHEMA))


def event(offset: int, user: str | None, item: str | None, *, session: str = "s1", **more) -> dict[str, object]:
    return {
        "USER_ID": user, "ITEM_ID": item, "TIMESTAMP": offset, columns.SOURCE: "put", columns.LOG_OFFSET: offset,
        columns.SESSION_ID: session, columns.EVENT_ID: f"e{offset}", **more,
    }  # fmt: skip


def chosen(rows: pl.DataFrame, *, schema=SCHEMA, event_type=None, threshold=None, events=()):
    return select_interactions(rows, schema, event_type=event_type, threshold=threshold, events=events)


def selected(rows: pl.DataFrame, **options):
    """Return user, item and time of what is chosen."""
    return [row[:3] for row in chosen(rows, **options).rows()]


def test_only_the_event_type_of_the_solution_counts():
    rows = interactions({}, {"ITEM_ID": "i2", "EVENT_TYPE": "click"})
    assert selected(rows, event_type="click") == [("u1", "i2", 5)]


def test_values_below_the_threshold_and_missing_ones_do_not_count():
    rows = interactions(
        {"EVENT_VALUE": 2.9}, {"ITEM_ID": "i2", "EVENT_VALUE": 3.0}, {"ITEM_ID": "i3", "EVENT_VALUE": None}
    )
    assert selected(rows, threshold=3.0) == [("u1", "i2", 5)]


def test_of_listed_types_each_has_its_own_threshold_and_no_other_counts():
    rows = interactions(
        {"EVENT_TYPE": "buy", "EVENT_VALUE": 2.0, "ITEM_ID": "i1"},
        {"EVENT_TYPE": "buy", "EVENT_VALUE": 3.0, "ITEM_ID": "i2"},
        {"EVENT_TYPE": "buy", "EVENT_VALUE": None, "ITEM_ID": "i3"},
        {"EVENT_TYPE": "watch", "EVENT_VALUE": None, "ITEM_ID": "i4"},
        {"EVENT_TYPE": "click", "EVENT_VALUE": 9.0, "ITEM_ID": "i5"},
        {"EVENT_TYPE": None, "EVENT_VALUE": 9.0, "ITEM_ID": "i6"},
    )
    events = [EventParameters("buy", threshold=3.0), EventParameters("watch")]
    assert {item for _, item, _ in selected(rows, events=events)} == {"i2", "i4"}


def test_identical_interactions_count_once_bulk_or_streamed():
    same = event(5, "u1", "i1")
    assert selected(interactions({}, {}, same, {"EVENT_VALUE": 1.0})) == [("u1", "i1", 5)] * 2


def test_an_event_that_was_sent_twice_counts_once():
    rows = interactions(event(1, "u1", "i1"), event(2, "u1", "i1", **{columns.EVENT_ID: "e1"}))
    assert selected(rows) == [("u1", "i1", 1)]


def test_a_session_becomes_its_users_when_one_event_names_both():
    rows = interactions(
        event(1, None, "i1"), event(2, "u7", None), event(3, None, "i3"), event(4, None, "i4", session="s2")
    )
    assert selected(rows) == [("u7", "i1", 1), ("u7", "i3", 3)]


def test_the_event_that_names_the_user_may_be_of_another_type():
    rows = interactions(event(1, None, "i1"), event(2, "u7", "i2", EVENT_TYPE="login"))
    assert selected(rows, event_type="watch") == [("u7", "i1", 1)]


def test_a_shared_session_belongs_to_its_last_user():
    rows = interactions(event(1, "u1", "i1"), event(2, None, "i2"), event(3, "u2", "i3"))
    assert selected(rows) == [("u1", "i1", 1), ("u2", "i2", 2), ("u2", "i3", 3)]


def test_the_order_depends_on_the_rows_alone():
    rows = interactions(*({"ITEM_ID": f"i{number:02}"} for number in range(40)))
    first = selected(rows)
    assert selected(rows.sample(fraction=1.0, shuffle=True, seed=3)) == first
    # A second's interactions have no order that a model could learn.
    assert first != sorted(first)


def test_streamed_events_of_one_second_keep_the_order_of_the_log():
    rows = interactions(*(event(offset, "u1", f"i{9 - offset}", TIMESTAMP=1) for offset in (3, 1, 2)))
    assert [item for _, item, _ in selected(rows)] == ["i8", "i7", "i6"]


@pytest.fixture
def make_spec(place):
    """Import some walks and return a function that makes the spec of a training on tables as they are."""
    place.write("a.csv", *walks())
    place.bring("s3://films/a.csv")

    def make(*kinds: str, **payload: object) -> TrainingSpec:
        snapshot = take_snapshot(place.store, place.tables(*kinds))
        return place.spec(snapshot.tables, "aws-popularity-count", **payload)

    return make


def test_arrays_and_vocabularies_agree_with_the_rows(place, make_spec):
    loaded = load(place.store, make_spec("INTERACTIONS", "ITEMS", "USERS"), folder=place.new_folder())

    assert (len(loaded.users), len(loaded.items), len(loaded.data.interactions)) == (60, 40, 1200)
    user = loaded.users.index("u005")
    history = loaded.data.histories().of(user)
    assert loaded.items.ids(history.items) == [f"i{(35 + step) % 40:03}" for step in range(20)]


def test_histories_carry_what_was_done_and_when(place, make_spec):
    loaded = load(place.store, make_spec("INTERACTIONS"), folder=place.new_folder())

    history = loaded.data.histories().of(loaded.users.index("u005"))
    assert loaded.data.event_types == ("watch",)
    assert history.event_types.tolist() == [1] * 20
    assert history.times.tolist() == [1_700_005_000 + step for step in range(20)]


def test_event_types_are_numbered_by_how_often_they_occur(place, make_spec):
    place.write("b.csv", "u000,i000,5,rate,1", "u000,i001,6,click,1", "u000,i002,7,click,1", "u000,i003,8,buy,1")
    place.bring("s3://films/b.csv", replace=False)

    data = load(place.store, make_spec("INTERACTIONS"), folder=place.new_folder()).data

    assert data.event_types == ("watch", "click", "buy", "rate")
    assert data.histories().of(0).event_types.tolist()[:5] == [4, 2, 2, 3, 1]


def test_weights_are_numbered_like_the_types_and_have_a_mean_of_one(place, make_spec):
    place.write("b.csv", *(f"u000,i{number:03},{number},buy,1" for number in range(20)))
    place.bring("s3://films/b.csv", replace=False)
    events = [
        config_pb2.EventParameters(event_type="buy", weight=0.3),
        config_pb2.EventParameters(event_type="watch", weight=0.1),
    ]
    config = config_pb2.SolutionConfig(events_config=config_pb2.EventsConfig(event_parameters_list=events))

    plain = load(place.store, make_spec("INTERACTIONS"), folder=place.new_folder()).data
    data = load(place.store, make_spec("INTERACTIONS", solution_config=config), folder=place.new_folder()).data

    assert plain.event_weights is None
    assert plain.target_weights().tolist() == [1.0] * 1220
    assert data.event_types == ("watch", "buy")
    assert data.event_weights.tolist() == pytest.approx([1.0, 0.5, 1.5])
    assert sorted(set(data.target_weights().tolist())) == pytest.approx([0.5, 1.5])


@pytest.mark.parametrize("at_once", [1, 2, 100])
def test_impressions_are_counted_for_items_of_the_catalogue_whatever_the_event(monkeypatch, at_once):
    monkeypatch.setattr(loading, "_IMPRESSIONS_AT_ONCE", at_once)
    rows = interactions({"EVENT_TYPE": "other"}, {}, {}).with_columns(
        IMPRESSION=pl.Series(["i001|i002|gone", "i002|i000", None])
    )
    assert count_shown(rows, pl.Series(["i000", "i001", "i002", "i003"])).tolist() == [1, 1, 2, 0]
    assert count_shown(interactions({}), pl.Series(["i000"])).tolist() == [0]


def test_more_than_ten_event_types_are_refused_unless_some_are_chosen(place, make_spec):
    place.write("b.csv", *(f"u000,i000,{number},t{number},1" for number in range(10)))
    place.bring("s3://films/b.csv", replace=False)
    with pytest.raises(InvalidInput, match="more than 10 event types: watch, t0, t1"):
        load(place.store, make_spec("INTERACTIONS"), folder=place.new_folder())

    loaded = load(place.store, make_spec("INTERACTIONS", event_type="watch"), folder=place.new_folder())
    assert loaded.data.n_items == 40


def test_events_without_a_type_have_the_number_of_none():
    types, actions = number_event_types(pl.Series(["a", None, "b", "b"]))
    assert (types, actions.tolist(), actions.dtype.name) == (("b", "a"), [2, 0, 1, 1], "uint8")


def test_of_many_event_types_the_most_frequent_have_numbers():
    names = [f"t{number:03}" for number in range(300)]

    types, actions = number_event_types(pl.Series([*names, "t299", "t299", "t298"]))

    assert types == ("t299", "t298", *names[:252])
    assert actions.tolist() == [*range(3, 255), *[0] * 46, 2, 1, 1, 1, 2]


def test_no_event_types_are_no_numbers():
    assert number_event_types(pl.Series([None, None], dtype=pl.String))[0] == ()
    assert number_event_types(pl.Series([None, None], dtype=pl.String))[1].tolist() == [0, 0]


def test_data_need_not_tell_event_types():
    plain = AvroSchema.parse(avro("Interactions", column("USER_ID"), column("ITEM_ID"), column("TIMESTAMP", "long")))
    rows = pl.DataFrame(
        [{"USER_ID": "u1", "ITEM_ID": "i1", "TIMESTAMP": 5, columns.SOURCE: "bulk"}],
        schema=interactions_frame_schema(plain),
    )

    assert chosen(rows, schema=plain).rows() == [("u1", "i1", 5, None, None)]
    assert chosen(rows, schema=plain, event_type="watch").is_empty()


def test_types_of_events_of_one_second_do_not_depend_on_the_order_of_rows():
    rows = interactions(*({"EVENT_TYPE": f"t{number}"} for number in range(20)))
    first = chosen(rows).rows()
    assert chosen(rows.sample(fraction=1.0, shuffle=True, seed=3)).rows() == first
    assert first != sorted(first)


def test_items_without_interactions_are_part_of_the_catalogue(place, make_spec):
    place.write("items.csv", "i000,,,,", "i999,,,,", header=HEADERS["ITEMS"])
    place.bring("s3://films/items.csv", kind="ITEMS")
    loaded = load(place.store, make_spec("INTERACTIONS", "ITEMS"), folder=place.new_folder())
    assert (loaded.data.n_items, loaded.items.index("i999")) == (41, 40)


def test_features_are_read_from_a_published_snapshot_or_from_one_that_is_made_for_the_training(place, make_spec):
    place.write("items.csv", "i000,One,War|Drama,1990,true", "i999,Two, Drama ,,", header=HEADERS["ITEMS"])
    place.bring("s3://films/items.csv", kind="ITEMS")
    spec, folders = make_spec("INTERACTIONS", "ITEMS"), [place.new_folder() for _ in range(2)]
    made = load(place.store, spec, folder=folders[0])
    assert list((folders[0] / "features-items" / "files").iterdir())

    (table,) = place.tables("ITEMS")
    handler = FeatureSnapshotJobHandler(place.store, place.workspace, flusher=place.flusher)
    result = handler.run(jobs_pb2.FeatureSnapshotPayload(table=table), NullJobContext())
    published = load(place.store, spec, folder=folders[1])

    assert result.version == spec.table("ITEMS").version
    assert list((folders[1] / "features-items").iterdir()) == []
    genres = [loaded.data.items.categorical["GENRES"] for loaded in (made, published)]
    assert genres[0].categories == genres[1].categories == ("Drama", "War")
    assert genres[0].codes.tolist() == genres[1].codes.tolist()
    assert np.array_equal(*(loaded.data.items.numeric["YEAR"] for loaded in (made, published)), equal_nan=True)


def test_what_comes_after_the_freeze_is_not_loaded(place, make_spec):
    spec = make_spec("INTERACTIONS")
    place.write("b.csv", "u999,i999,5,watch,1")
    place.bring("s3://films/b.csv", replace=False)
    assert load(place.store, spec, folder=place.new_folder()).users.index("u999") is None


def test_a_snapshot_knows_the_last_event_that_it_contains(place, make_spec):
    assert take_snapshot(place.store, place.tables("INTERACTIONS")).event_watermark == START
    place.table().append_events(interactions(event(41, "u1", "i1")), Position(7, 41), after=START)
    snapshot = take_snapshot(place.store, place.tables("INTERACTIONS", "USERS"))
    assert (snapshot.event_watermark, [table.version for table in snapshot.tables]) == (Position(7, 41), [1])


def test_streamed_interactions_are_distinguished_from_imported_ones(place, make_spec):
    place.write("a.csv", *walks())
    place.bring("s3://films/a.csv")
    sent = {**event(7, "u000", "i000"), "TIMESTAMP": 1}
    place.table().append(interactions(sent).select(place.rows().columns))

    rows = load(place.store, make_spec("INTERACTIONS"), folder=place.new_folder()).data.interactions

    assert rows.streamed.nonzero()[0].tolist() == [0]
    assert rows.timestamp[0] == 1
