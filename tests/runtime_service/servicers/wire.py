"""Who calls the runtime of these tests, and what is read of its answers."""

from __future__ import annotations

from common.testing import make_keys

KEYS = make_keys()
#: Of the upper half, which users with even numbers never use; the situated models have learnt that it is for TVs.
TV_ITEM = 31


def as_role(role):
    return [("authorization", f"Bearer {KEYS.token(role)}")]


def ids(answer):
    return [found.item_id for found in answer.item_list]


def ranked_ids(answer):
    return [found.item_id for found in answer.personalized_ranking]
