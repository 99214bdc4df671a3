"""The states of active users are kept until they have newer events."""

from __future__ import annotations

import numpy as np

from inference.user_state import StateCache, UserState
from recipes.ports import ScoreDelta

STATE = UserState(np.ones(2, np.float32), ScoreDelta.nothing())


def test_state_is_kept_until_the_user_has_a_newer_event():
    cache = StateCache(2)

    cache.put("a", 5, STATE)

    assert cache.get("a", 5) is STATE
    assert cache.get("a", 6) is None


def test_states_of_the_longest_inactive_users_go_first():
    cache = StateCache(2)
    cache.put("a", 1, STATE)
    cache.put("b", 1, STATE)
    cache.get("a", 1)

    cache.put("c", 1, STATE)

    assert (cache.get("a", 1) is None, cache.get("b", 1) is None) == (False, True)


def test_cache_of_no_users_keeps_nothing():
    cache = StateCache(0)

    cache.put("a", 1, STATE)

    assert cache.get("a", 1) is None
