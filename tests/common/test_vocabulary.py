"""The vocabulary answers as a plain dictionary would, from memory and from mapped files."""

import hashlib

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import vocabulary
from common.errors import CorruptArtifact, InvalidInput
from common.vocabulary import Vocabulary

ids = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), unique=True, max_size=60)


@given(known=ids, asked=ids)
def test_answers_like_a_dictionary(known, asked):
    expected = {identifier: place for place, identifier in enumerate(known)}
    made = Vocabulary.build(known)

    assert len(made) == len(known)
    assert [made.index(identifier) for identifier in asked + known] == [expected.get(i) for i in asked + known]
    assert made.indexes(asked).tolist() == [expected.get(identifier, -1) for identifier in asked]
    assert made.ids(range(len(known))) == known


def test_keys_depend_on_the_id_alone():
    few, many = Vocabulary.build(["b", "a"]), Vocabulary.build(["a", "c", "b"])
    assert few.keys().tolist() == many.keys()[[2, 0]].tolist()
    # The first 8 bytes of BLAKE2b with a digest of that length, as the contract of artifacts says.
    digest = hashlib.blake2b(b"a", digest_size=8).digest()
    assert few.keys()[1] == int.from_bytes(digest, "little")


@pytest.mark.parametrize("known", [[], [""], ["b", "a", "ü", "日本", "a" * 256]])
def test_saved_and_mapped_is_the_same(known, tmp_path):
    Vocabulary.build(known).save(tmp_path, "items")

    mapped = Vocabulary.load(tmp_path, "items")

    assert mapped.ids(range(len(mapped))) == known
    assert mapped.indexes([*known, "unknown"]).tolist() == [*range(len(known)), -1]


@pytest.fixture
def colliding(monkeypatch):
    monkeypatch.setattr(vocabulary, "_hash", lambda key: len(key) % 2)


def test_ids_with_one_hash_stay_apart(colliding):
    known = [f"{number:0{width}}" for width in (1, 2, 3) for number in range(9)]

    made = Vocabulary.build(known)

    assert made.indexes(known).tolist() == list(range(len(known)))
    assert made.index("zz") is None


def test_a_repeated_id_is_refused_among_collisions(colliding):
    with pytest.raises(InvalidInput, match="'aa'"):
        Vocabulary.build(["aa", "bb", "cc", "aa"])


def test_unpaired_surrogates_are_unknown_rather_than_an_error():
    assert Vocabulary.build(["a"]).index("\ud800") is None


@pytest.mark.parametrize("index", [-1, 2])
def test_an_index_outside_is_refused(index):
    with pytest.raises(IndexError):
        Vocabulary.build(["a", "b"]).id(index)


def test_missing_cut_or_mixed_files_are_corrupt(tmp_path):
    with pytest.raises(CorruptArtifact):
        Vocabulary.load(tmp_path, "items")
    Vocabulary.build(["a", "b"]).save(tmp_path, "items")
    np.save(tmp_path / "items.order.npy", np.zeros(3, np.int32))
    with pytest.raises(CorruptArtifact):
        Vocabulary.load(tmp_path, "items")
    (tmp_path / "items.order.npy").write_bytes(b"\x93NUMPY")
    with pytest.raises(CorruptArtifact):
        Vocabulary.load(tmp_path, "items")
