"""What is bought or viewed together."""

from __future__ import annotations

import numpy as np
import pytest

from recipes.data.histories import History
from recipes.data.training_data import Interactions, TrainingData
from recipes.models.baskets.config import BasketsConfig
from recipes.models.baskets.fit import BoughtTogetherFitter, ViewedTogetherFitter, divide
from recipes.retrieval.top_k import top_k
from tests.recipes.suite import RecipeSuite

HOUR, DAY = 3600, 86_400


class BasketsSuite(RecipeSuite):
    relates_items = True
    quality_floor = 0.0  # what is used together has no order; what is found is tested below
    uses_randomness = False


class TestFrequentlyBoughtTogether(BasketsSuite):
    name = "aws-ecomm-frequently-bought-together"


class TestCustomersWhoViewed(BasketsSuite):
    name = "aws-ecomm-customers-who-viewed-x-also-viewed"


def visits(*users, gap=2 * HOUR):
    """Make data of users' visits: within a visit a minute passes, between visits `gap`."""
    rows = []
    for user, of_user in enumerate(users):
        now = 0
        for visit in of_user:
            for item in visit:
                rows.append((user, item, now))
                now += 60
            now += gap
    user, item, timestamp = np.array(rows).T
    return TrainingData(Interactions.sort(user, item=item, timestamp=timestamp), len(users), int(item.max()) + 1)


def test_baskets_end_with_a_pause_and_with_their_user():
    data = visits([[0, 1], [2]], [[3]], [[1, 1]])
    divided = divide(data, pause_seconds=HOUR)
    assert divided.interactions.user.tolist() == [0, 0, 1, 2, 3, 3]
    assert divided.n_users == 4
    assert divide(data, pause_seconds=None).interactions.user.tolist() == [0, 0, 0, 1, 2, 2]


def nearest(scorer, item, limit=1):
    history = History.of_items([item])
    values = scorer.item_vectors @ scorer.embed_history(history)
    delta = scorer.score_deltas(history)
    values[delta.items] += delta.values
    return top_k(values, limit).tolist()


@pytest.mark.parametrize("fitter", [BoughtTogetherFitter, ViewedTogetherFitter])
def test_what_is_in_one_basket_belongs_together_and_what_a_user_did_later_does_not(fitter):
    # Everybody who has 0 and 1 in one basket comes back for 2 and 3 in another.
    data = visits(*([[[0, 1], [2, 3]]] * 40))
    scorer = fitter(BasketsConfig(), seed=0).fit(data)
    assert [nearest(scorer, item) for item in range(4)] == [[1], [0], [3], [2]]
    assert not {2, 3} & set(scorer.neighbours.columns[: scorer.neighbours.offsets[1]].tolist())


@pytest.mark.parametrize(("gap", "pause"), [(HOUR // 2, HOUR), (12 * HOUR, DAY), (5 * DAY, 7 * DAY), (30 * DAY, -1)])
def test_pauses_are_as_long_as_most_purchases_need_for_company(gap, pause):
    data = visits(*([[[0], [1]]] * 20), gap=gap)
    made = BoughtTogetherFitter(BasketsConfig(), seed=0)
    scorer = made.fit(data)
    assert made.report["pause_seconds"] == pause
    assert made.report["baskets"] == 20
    assert nearest(scorer, 0) == [1]


def test_items_without_company_are_followed_by_popular_ones():
    data = visits(*([[[0, 1]]] * 20), [[2]])
    scorer = BoughtTogetherFitter(BasketsConfig(), seed=0).fit(data)
    assert nearest(scorer, 2, limit=2) == [0, 1]
