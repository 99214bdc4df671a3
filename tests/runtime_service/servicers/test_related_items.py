"""GetRecommendations by item."""

from __future__ import annotations

import pytest

from common.errors import InvalidInput
from tests.runtime_service.servicers.wire import ids
from tests.runtime_service.world import N_ITEMS, item, user


@pytest.mark.parametrize("members", [{}, {"user_id": user(1)}, {"user_id": "nobody-knows"}])
def test_related_items_come_without_the_item_and_without_scores_whoever_asks(recommend, members):
    answer = recommend("alike", item_id=item(3), num_results=500, **members)

    assert set(ids(answer)) == {item(index) for index in range(N_ITEMS) if index != 3}
    assert ids(answer) == ids(recommend("alike", item_id=item(3), num_results=500))
    assert not any(entry.HasField("score") for entry in answer.item_list)


def test_25_related_items_come_by_default(recommend):
    assert len(recommend("alike", item_id=item(3)).item_list) == 25


def test_items_are_related_to_the_item_that_is_asked_about(recommend):
    assert ids(recommend("alike", item_id=item(3))) != ids(recommend("alike", item_id=item(30)))


def test_unknown_item_is_no_error(recommend):
    assert len(recommend("alike", item_id="nobody-made-this", num_results=500).item_list) == N_ITEMS


@pytest.mark.parametrize("count", [0, 5])
def test_item_is_needed_where_items_are_related(refused, count):
    error = refused("alike", user_id=user(0), num_results=count)

    assert isinstance(error, InvalidInput)
    assert error.message == "`itemId`: got '', want the id of an item: the recipe that answers relates items"
