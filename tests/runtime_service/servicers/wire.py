"""Tokens of callers, and readers of responses."""

from __future__ import annotations

from common.testing import make_keys

KEYS = make_keys()
#: An item of the upper half, which users with even numbers never use; in the models with context it is for TVs.
TV_ITEM = 27


def as_role(role, *, account=None):
    return [("authorization", f"Bearer {KEYS.token(role, account=account)}")]


def ids(answer):
    return [entry.item_id for entry in answer.item_list]


def ranked_ids(answer):
    return [entry.item_id for entry in answer.personalized_ranking]
