"""The past of artifacts: what everybody did, as plain Python would collect it, windows included."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from common.errors import CorruptArtifact
from common.vocabulary import Vocabulary
from inference.past_events import MAX_LATER, PastEvents

USERS, ITEMS, TYPES = ["u0", "u1"], 3, ["click", "buy"]
OTHER_USERS, OTHER_ITEMS = ["guest"], ["gone", "never"]
#: Of a user, a type and an item how many events came later.
entries = st.dictionaries(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, ITEMS + 1)), st.integers(0, 5))


def built(later):
    numbers = np.array([[*key, count] for key, count in later.items()], np.int64).reshape(-1, 4)
    user, kind, item, counts = numbers.T
    return PastEvents.build(
        Vocabulary.build(USERS), n_items=ITEMS, other_users=OTHER_USERS, other_items=OTHER_ITEMS, types=TYPES,
        entries=(user, kind, item, counts),
    )  # fmt: skip


@settings(deadline=None)
@given(
    entries,
    st.sampled_from([None, frozenset({"buy"}), frozenset({"click", "buy"})]),
    st.one_of(st.none(), st.integers(1, 6)),
    st.integers(0, 3),
)
def test_users_have_what_they_did_by_type_within_the_window(later, types, window, newer):
    past = built(later)
    for number, user_id in enumerate([*USERS, *OTHER_USERS]):
        expected = {}
        for (user, kind, item), count in sorted(later.items()):
            is_newest = window is None or count + (newer if TYPES[kind] == "buy" else 0) < window
            if user == number and (types is None or TYPES[kind] in types):
                expected.setdefault(TYPES[kind], [])
                expected[TYPES[kind]] += [item] * is_newest
        used = past.of_user(user_id, types, window=window, newer={"buy": newer})
        assert {name: items.tolist() for name, items in used.items()} == expected


def test_nobody_knows_what_strangers_did():
    assert built({(0, 0, 0): 0}).of_user("stranger", None, window=None, newer={}) == {}


def test_later_events_are_counted_up_to_a_bound():
    assert built({(0, 0, 0): 10**6}).later.tolist() == [MAX_LATER]


def test_what_is_saved_is_what_is_loaded(tmp_path):
    past = built({(0, 1, 0): 2, (2, 0, 3): 0, (2, 0, 1): 1})
    past.save(tmp_path, "past")

    again = PastEvents.load(tmp_path, "past", users=Vocabulary.build(USERS), n_items=ITEMS)

    used = again.of_user("guest", None, window=1, newer={})
    assert {name: items.tolist() for name, items in used.items()} == {"click": [3]}
    assert again.other_items.ids([3 - ITEMS]) == ["gone"]
    assert again.of_user("u0", None, window=None, newer={})["buy"].tolist() == [0]


@pytest.mark.parametrize(
    ("name", "array", "text"),
    [
        ("user_groups", [0, 1], r"`past_user_groups\.npy`: got \(2,\), want \(4,\)"),
        ("items", [1, 3, 9], r"`past_items\.npy`: got numbers out of range, want 0 to 4"),
        ("group_types", [1, 2], r"`past_group_types\.npy`: got numbers out of range, want 0 to 1"),
        ("later", [0], r"`past_later\.npy`: got \(1,\), want \(3,\)"),
    ],
)
def test_files_that_do_not_belong_together_are_a_corrupt_artifact(tmp_path, name, array, text):
    past = built({(0, 1, 0): 2, (2, 0, 3): 0, (2, 0, 1): 1})
    past.save(tmp_path, "past")
    np.save(tmp_path / f"past_{name}.npy", np.array(array, getattr(past, name).dtype))

    with pytest.raises(CorruptArtifact, match=text):
        PastEvents.load(tmp_path, "past", users=Vocabulary.build(USERS), n_items=ITEMS)
