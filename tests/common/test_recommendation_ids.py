"""Ids of recommendations: random to everybody, resolved by whoever has the key, for a while."""

from __future__ import annotations

import re
from datetime import timedelta

import pytest

from common.errors import InvalidInput
from common.master_keys import MasterKey, MasterKeyFile, MasterKeys
from common.recommendation_ids import RecommendationIds, recommendation_keys

NOW = 1_767_225_600.0
HOUR = 3600.0
FILMS, BOOKS = "arn:aws:personalize:eu-west-1:000000000000:campaign/films", "arn:…:recommender/books"
KEYS = MasterKeys([MasterKey(b"k" * 32)])
IDS = RecommendationIds(KEYS)


def test_id_is_resolved_elsewhere_by_the_key():
    made = IDS.make(FILMS, now=NOW)

    assert RecommendationIds(KEYS).resolve(made, [BOOKS, FILMS], at=NOW + 60) == FILMS
    assert RecommendationIds(MasterKeys([MasterKey(b"x" * 32)])).resolve(made, [BOOKS, FILMS], at=NOW + 60) is None


@pytest.mark.parametrize("ids", [IDS, RecommendationIds(None)])
def test_ids_are_random_uuids_to_everybody_else(ids):
    made = {ids.make(FILMS, now=NOW) for _ in range(1000)}

    uuid = r"[0-9a-f]{8}-[0-9a-f]{4}-4[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}"
    assert len(made) == 1000
    assert all(re.fullmatch(f"RID-{uuid}", text) and len(text) == 40 for text in made)


def test_an_id_of_something_that_is_not_named_is_of_nothing():
    assert IDS.resolve(IDS.make(FILMS, now=NOW), [BOOKS], at=NOW) is None


@pytest.mark.parametrize("text", ["", "RID-", "RID-x", "anything", "RID-" + "0" * 32])
def test_what_is_no_id_is_of_nothing(text):
    assert IDS.resolve(text, [FILMS], at=NOW) is None


def test_ids_without_a_key_are_of_nothing():
    made = RecommendationIds(None).make(FILMS, now=NOW)

    assert IDS.resolve(made, [FILMS], at=NOW) is None
    assert RecommendationIds(None).resolve(IDS.make(FILMS, now=NOW), [FILMS], at=NOW) is None


@pytest.mark.parametrize(("hours", "is_resolved"), [(-3, False), (-0.5, True), (23.9, True), (27, False)])
def test_an_id_holds_for_a_while(hours, is_resolved):
    ids = RecommendationIds(KEYS, valid=timedelta(days=1))

    assert (ids.resolve(IDS.make(FILMS, now=NOW), [FILMS], at=NOW + hours * HOUR) == FILMS) is is_resolved


def test_every_bit_is_authentic():
    made = IDS.make(FILMS, now=NOW).replace("-", "")[3:]
    flipped = [format(int(made, 16) ^ 1 << bit, "032x") for bit in range(128)]

    resolved = [IDS.resolve(f"RID-{text}", [FILMS], at=NOW) for text in flipped]
    # The six bits that say that it is a random UUID carry nothing.
    assert [bit for bit, arn in enumerate(resolved) if arn] == [62, 63, 76, 77, 78, 79]


def test_a_key_can_be_replaced_while_ids_of_the_old_one_are_on_their_way():
    made = IDS.make(FILMS, now=NOW)
    both = RecommendationIds(MasterKeys([MasterKey(b"n" * 32), *KEYS.keys]))

    assert both.resolve(made, [FILMS], at=NOW) == FILMS
    assert IDS.resolve(both.make(FILMS, now=NOW), [FILMS], at=NOW) is None


def test_keys_are_read_from_a_private_file(tmp_path):
    path = tmp_path / "recommendation.key"
    with pytest.raises(InvalidInput, match=r"`recommendation_key_file`: got .*which does not exist"):
        recommendation_keys(path)
    written = MasterKeyFile(path).ensure()

    assert recommendation_keys(path).text == written.text
    assert recommendation_keys(None) is None
