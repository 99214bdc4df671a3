"""An item that is put is recommended, found, ranked and filtered by what its columns say, without a training."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from common.avro import AvroSchema
from common.event_offsets import OFFSET_KEY
from common.features import Features, Put
from common.positions import Position
from common.testing import wait_until
from inference.encoded_items import EncodedNewItems, encoded_new_items, read_columns
from inference.filter_table import FilterTable
from inference.model import ModelLoader
from inference.new_items import NewItemList
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from recipes.catalog import get_recipe
from recipes.data.columns import CategoricalColumn, Columns
from recipes.ports import ContentColumns
from recipes.registry import make_fitter, read_config
from tests.runtime_service.features.running import filter_arn, group_message, publish_rows
from tests.runtime_service.servicers.wire import as_role, ids
from tests.runtime_service.world import (
    N_ITEMS,
    PERSONAL,
    SMALL,
    Fitted,
    campaign,
    item,
    local_store,
    publish,
    two_tastes,
    user,
)

SEMANTIC, SIMILAR = "aws-semantic-similarity", "aws-similar-items"
NAMED = [
    {"name": "T1", "type": ["null", "string"], "categorical": True},
    {"name": "NAME", "type": ["null", "string"], "itemName": True},
    {"name": "ABOUT", "type": ["null", "string"], "textual": True},
    {"name": "CREATION_TIMESTAMP", "type": ["null", "long"]},
]
ITEMS = json.dumps({"type": "record", "name": "Items", "fields": [{"name": "ITEM_ID", "type": "string"}, *NAMED]})
FILTERS = {
    "lower": 'INCLUDE ItemID WHERE Items.T1 = "lower"',
    "unseen": 'EXCLUDE ItemID WHERE Interactions.EVENT_TYPE IN ("*")',
}
WORDS = {"lower": "deep sea fishing boats", "upper": "high mountain climbing ropes"}


def half(number):
    return "lower" if number < N_ITEMS // 2 else "upper"


def described():
    """Return what users of two tastes did, and columns that tell the tastes' items apart."""
    names = [half(number) for number in range(N_ITEMS)]
    texts = tuple(f"{WORDS[name]} {number % 7}th" for number, name in enumerate(names))
    columns = Columns(
        categorical={"T1": CategoricalColumn.of_values([(name,) for name in names])},
        textual={"ABOUT": texts},
        names=tuple(f"{name} things" for name in names),
        created=np.arange(N_ITEMS),
    )
    return replace(two_tastes(), items=columns)


@pytest.fixture(scope="module")
def named(runtime, tmp_path_factory):
    """Serve models that have learnt from columns, in a group with items; return the campaigns by recipe."""
    folder, data = tmp_path_factory.mktemp("named"), described()
    store, group = local_store(folder / "store"), "arn:aws:personalize:us-east-1:000000000000:dataset-group/named"
    loader = ModelLoader(store, cache=folder / "cache", index="exact")
    for recipe, settings in ((PERSONAL, SMALL), (SEMANTIC, {}), (SIMILAR, {})):
        declared = get_recipe(recipe)
        scorer = make_fitter(declared, read_config(declared, settings), seed=2).fit(data)
        publish(store, f"artifacts/{recipe}", Fitted(recipe, scorer, data))
        runtime.models[recipe] = loader.load(f"artifacts/{recipe}")
    personal = runtime.models[PERSONAL]
    runtime.models["ranked"] = replace(personal, recipe=get_recipe("aws-personalized-ranking-v2"))
    rows = {
        item(number): {"T1": half(number), "NAME": half(number), "ABOUT": WORDS[half(number)], "CREATION_TIMESTAMP": 1}
        for number in range(N_ITEMS)
    }
    offset, epoch = runtime.writer.next_offset() - 1, runtime.writer.lineage().current
    place = publish_rows(runtime.store, "named", "ITEMS", rows, offset=offset, epoch=epoch, schema=ITEMS)
    served = {name: runtime.serve(name, group) for name in (PERSONAL, SEMANTIC, SIMILAR, "ranked", "popular")}
    imported = {"imported": {"T1": "even", "T2": None, "I": None, "F": None}}
    bulk = publish_rows(runtime.store, "imported", "ITEMS", imported, offset=offset, epoch=epoch)
    served["undescribed"] = runtime.serve("personal", group + "-2")
    served["messages"] = [
        group_message(group, {"ITEMS": place}, FILTERS, schemas={"ITEMS": ITEMS}),
        group_message(group + "-2", {"ITEMS": bulk}),
    ]
    runtime.assign(*served["messages"])
    served["group"] = group
    return served


def put(runtime, named, item_id, taste, **more):
    properties = {"t1": taste, "name": f"{taste} things", "about": f"{WORDS.get(taste, '')} of today", **more}
    offset = runtime.put(named["group"], "ITEMS", item_id, json.dumps(properties))
    runtime.wait_for_puts(named["group"], "ITEMS", offset)


def places(runtime, named, user_id, *, number=N_ITEMS + 9, **members):
    answer = ids(runtime.recommend(named[PERSONAL], user_id=user_id, num_results=number, **members))
    return {item_id: place for place, item_id in enumerate(answer)}


def test_a_put_item_is_recommended_to_those_who_like_its_kind(runtime, named):
    put(runtime, named, "put-lower", "lower")
    put(runtime, named, "put-upper", "upper")

    likes_lower, likes_upper = places(runtime, named, user(0)), places(runtime, named, user(1))

    assert likes_lower["put-lower"] < likes_lower["put-upper"]
    assert likes_upper["put-upper"] < likes_upper["put-lower"]
    filtered = places(runtime, named, user(0), filter_arn=filter_arn("lower"))
    assert "put-lower" in filtered
    assert "put-upper" not in filtered

    # Put anew as something else, it is something else.
    put(runtime, named, "put-lower", "upper")
    assert places(runtime, named, user(1))["put-lower"] == likes_upper["put-upper"]  # as good, and of before
    assert "put-lower" not in places(runtime, named, user(0), filter_arn=filter_arn("lower"))


def test_a_put_item_is_ranked_by_its_columns_and_one_without_any_comes_last(runtime, named):
    put(runtime, named, "ranked-lower", "lower")
    offset = runtime.put(named["group"], "ITEMS", "ranked-silent", "{}")
    runtime.wait_for_puts(named["group"], "ITEMS", offset)
    listed = ["ranked-silent", "nobody-knows", item(N_ITEMS - 1), "ranked-lower", item(3)]

    answer = runtime.rank(named["ranked"], listed, user_id=user(0)).personalized_ranking

    assert [one.item_id for one in answer[-2:]] == ["ranked-silent", "nobody-knows"]
    order = [one.item_id for one in answer]
    assert order.index("ranked-lower") < order.index(item(N_ITEMS - 1))
    assert [one.HasField("score") for one in answer] == [True, True, True, False, False]


def test_a_put_item_is_found_by_its_texts_and_asked_about(runtime, named):
    put(runtime, named, "text-lower", "lower")

    like_it = ids(runtime.recommend(named[SEMANTIC], item_id="text-lower", num_results=10))
    assert "text-lower" not in like_it
    assert {half(int(one.removeprefix("item-"))) for one in like_it if one.startswith("item-")} == {"lower"}
    assert "text-lower" in ids(runtime.recommend(named[SEMANTIC], item_id=item(1), num_results=N_ITEMS // 2 + 9))


def test_a_put_item_is_similar_to_its_kind_and_its_kind_to_it(runtime, named):
    put(runtime, named, "like-lower", "lower")
    put(runtime, named, "also-lower", "lower")
    put(runtime, named, "like-upper", "upper")

    def listed(item_id, number, **members):
        return ids(runtime.recommend(named[SIMILAR], item_id=item_id, num_results=number, **members))

    like_it = listed("like-lower", 12)
    assert "like-lower" not in like_it
    assert {half(int(one.removeprefix("item-"))) for one in like_it if one.startswith("item-")} == {"lower"}
    assert "also-lower" in like_it
    assert "like-upper" not in like_it
    # It stands before all that nobody used with an item of its kind.
    everything = listed(item(1), 2 * N_ITEMS)
    others = [*(item(number) for number in range(N_ITEMS // 2, N_ITEMS)), "like-upper"]
    assert everything.index("like-lower") < min(map(everything.index, others))
    assert "like-lower" in listed(item(1), N_ITEMS, filter_arn=filter_arn("lower"))
    # Of an id that nobody has put nothing is known: what is popular comes first, and new items are not yet.
    assert {one.startswith("item-") for one in listed("nobody-knows", 25)} == {True}


def test_events_with_a_put_item_count_for_the_user(runtime, named):
    put(runtime, named, "used-upper", "upper")
    before = places(runtime, named, "visitor")
    for _ in range(3):
        runtime.send(named["group"], "visitor", "used-upper", "watch")

    wait_until(lambda: places(runtime, named, "visitor") != before)
    assert "used-upper" not in places(runtime, named, "visitor", filter_arn=filter_arn("unseen"))


def test_recipes_that_know_nothing_of_columns_recommend_what_they_have_learnt(runtime, named):
    put(runtime, named, "not-popular", "lower")
    answer = ids(runtime.recommend(named["popular"], user_id=user(0), num_results=N_ITEMS + 9))
    assert set(answer) == {item(number) for number in range(N_ITEMS)}


def test_new_items_that_their_dataset_has_no_longer_leave(runtime, named):
    trained = runtime.models[PERSONAL]
    model = replace(trained, new_items=NewItemList.behind(N_ITEMS))
    schema = AvroSchema.parse(ITEMS)

    def encoded(before, *item_ids):
        """Encode once the dataset has these items; none for a dataset that is deleted."""
        puts = [Put(offset, name, {"T1": "lower", "NAME": "x"}) for offset, name in enumerate(item_ids, 1)]
        features = Features.of(None, schema, offset=0).with_puts(puts) if item_ids else None
        return encoded_new_items(model, FilterTable.of(model.items, features, new_ids=model.new_items.ids), before)

    def listed(encoded):
        assert encoded.is_complete
        assert len(encoded.current.vectors) == len(encoded.current.described) == len(encoded.current.items)
        return [model.item_id(item) for item in encoded.current.items.tolist()]

    both = encoded(EncodedNewItems(), "a", "b")
    assert listed(both) == ["a", "b"]
    later = encoded(both, "b", "c")
    assert listed(later) == ["b", "c"]
    assert later.current.vectors.shape[1] == trained.scorer.item_vectors.shape[1]
    deleted = encoded(later)
    assert listed(deleted) == []
    assert deleted.current.vectors.shape == (0, trained.scorer.item_vectors.shape[1])
    again = encoded(deleted, "a")
    assert listed(again) == ["a"]
    assert again.current.vectors.tolist() == both.current.vectors[:1].tolist()


def test_of_many_items_that_come_at_once_requests_read_an_eighth_more_at_a_time(runtime, named):
    model = replace(runtime.models[SIMILAR], new_items=NewItemList.behind(N_ITEMS))
    puts = [Put(number, f"many-{number:03}", {"T1": "lower", "NAME": f"x{number}"}) for number in range(1, 61)]
    features = Features.of(None, AvroSchema.parse(ITEMS), offset=0).with_puts(puts)
    table = FilterTable.of(model.items, features, new_ids=model.new_items.ids)

    def rounds(**size):
        last = EncodedNewItems()
        while not last.is_complete:
            last = encoded_new_items(model, table, last, **size)
            yield last.current

    (at_once,) = rounds()
    little_by_little = list(rounds(most=1))
    assert len(little_by_little) == 60
    sizes = list(dict.fromkeys(map(len, little_by_little)))
    assert sizes == [*range(1, 10), 11, 13, 15, 17, 20, 23, 26, 30, 34, 39, 44, 50, 57, 60]
    assert len({id(current) for current in little_by_little}) == len(sizes)
    last = little_by_little[-1]
    assert last.items.tolist() == at_once.items.tolist()
    np.testing.assert_array_equal(last.vectors, at_once.vectors)
    np.testing.assert_array_equal(last.neighbours.items, at_once.neighbours.items)


def test_a_column_that_was_of_numbers_when_the_model_learnt_says_nothing_once_it_is_of_texts():
    fields = [{"name": "ITEM_ID", "type": "string"}, {"name": "SIZE", "type": ["null", "string"]}]
    schema = AvroSchema.parse(json.dumps({"type": "record", "name": "Items", "fields": fields}))
    features = Features.of(None, schema, offset=0).with_puts([Put(1, "a", {"SIZE": "large"}), Put(2, "b", {})])

    columns = read_columns(features, np.arange(2, dtype=np.int32), ContentColumns(numeric=["SIZE", "GONE"]))

    assert {name: np.isnan(numbers).all() for name, numbers in columns.numeric.items()} == {"SIZE": True, "GONE": True}


def test_an_imported_item_is_recommended_as_well(runtime, named):
    def listed():
        return ids(runtime.recommend(named["undescribed"], user_id=user(0), num_results=N_ITEMS + 1))

    wait_until(lambda: "imported" in listed())


class Tripping:
    """A scorer whose encoder of new items trips until it is mended."""

    def __init__(self, scorer) -> None:
        self._scorer = scorer
        self.is_mended = False

    def __getattr__(self, name):
        return getattr(self._scorer, name)

    def new_item_encoder(self):
        if not self.is_mended:
            raise RuntimeError("a bug")
        return self._scorer.new_item_encoder()


def test_a_model_whose_encoder_trips_keeps_no_other_group_waiting(runtime, named):
    personal = runtime.models[PERSONAL]
    tripping = Tripping(personal.scorer)
    runtime.models["tripping"] = replace(personal, scorer=tripping)
    groups = [f"arn:aws:personalize:us-east-1:000000000000:dataset-group/trips-{number}" for number in (1, 2)]
    campaigns = [runtime.serve(name, group) for name, group in zip(("tripping", PERSONAL), groups, strict=True)]
    schemas = {"ITEMS": ITEMS}
    tripped = [group_message(group, {"ITEMS": None}, FILTERS, schemas=schemas) for group in groups]
    runtime.assign(*named["messages"], *tripped)

    def passing(campaign):
        answer = runtime.recommend(campaign, user_id=user(0), num_results=N_ITEMS + 1, filter_arn=filter_arn("lower"))
        return set(ids(answer))

    def included():
        """Return the offset that answers of a worker say to include."""
        request = messages.GetRecommendationsRequest(campaign_arn=campaign(campaigns[1]), user_id=user(0))
        _, answered = runtime.stub.GetRecommendations.with_call(request, metadata=as_role("client"), timeout=60)
        return Position.parse(dict(answered.trailing_metadata())[OFFSET_KEY], field="offset").offset

    def events():
        return [entry for entry in logs if entry["event"] in ("features_not_updated", "features_updated")]

    with capture_logs() as logs:
        try:
            for group in groups:
                runtime.put(group, "ITEMS", "put-now", json.dumps({"t1": "lower", "about": WORDS["lower"]}))
                last = runtime.put(group, "ITEMS", item(1), json.dumps({"t1": "lower"}))
            wait_until(lambda: passing(campaigns[1]) == {"put-now", item(1)})
            # What of the other one does not need the encoder is up to date as well.
            wait_until(lambda: passing(campaigns[0]) == {item(1)})
            # So nobody who waits for what was put waits in vain.
            wait_until(lambda: included() >= last)
        finally:
            tripping.is_mended = True
        try:
            wait_until(lambda: passing(campaigns[0]) == {"put-now", item(1)})
            wait_until(lambda: {entry["event"] for entry in events()} == {"features_not_updated", "features_updated"})
        finally:
            runtime.assign(*named["messages"])
    failed = [entry for entry in events() if entry["event"] == "features_not_updated"]
    assert failed[0]["exc_info"].__notes__ == [f"dataset group {groups[0]}, ITEMS"]
