"""Results of pipelines as messages: everything that is said of an item reaches it."""

from __future__ import annotations

import numpy as np

from inference.result import EXPLORED, PROMOTED, ScoredItems
from protos.tailorbird.runtime.v1 import runtime_service_pb2 as messages
from runtime_service.servicers.recommendations import add_items


def test_each_item_carries_its_score_its_reason_its_promotion_and_its_columns():
    scored = ScoredItems(
        np.array([4, 7, 2], np.int32),
        ["a", "b", "c"],
        [0.5, None, 0.25],
        reasons={1: EXPLORED, 2: PROMOTED},
        promotions={2: "spring"},
        columns={"GENRE": ["x", "y", ""]},
    )
    response = messages.GetRecommendationsResponse()

    add_items(response.item_list, scored)

    first, second, third = response.item_list
    assert [one.item_id for one in response.item_list] == ["a", "b", "c"]
    assert (first.score, third.score) == (0.5, 0.25)
    assert not second.HasField("score")
    assert [list(one.reason) for one in response.item_list] == [[], [EXPLORED], [PROMOTED]]
    assert [one.HasField("promotion_name") for one in response.item_list] == [False, False, True]
    assert third.promotion_name == "spring"
    assert [dict(one.metadata) for one in response.item_list] == [{"GENRE": "x"}, {"GENRE": "y"}, {"GENRE": ""}]
