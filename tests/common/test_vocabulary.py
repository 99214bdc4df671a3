"""The vocabulary maps like a dictionary, from memory and from mapped files."""

import hashlib
import json

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from common import vocabulary
from common.errors import CorruptArtifact, InvalidInput
from common.vocabulary import Vocabulary

ids = st.lists(st.text(st.characters(exclude_categories=["Cs"]), max_size=12), unique=True, max_size=60)


@given(names=ids, lookups=ids)
def test_maps_like_a_dictionary(names, lookups):
    expected = {name: index for index, name in enumerate(names)}
    made = Vocabulary.build(names)

    assert len(made) == len(names)
    assert [made.index(name) for name in lookups + names] == [expected.get(name) for name in lookups + names]
    assert made.indexes(lookups).tolist() == [expected.get(name, -1) for name in lookups]
    assert made.ids(range(len(names))) == names


@given(names=ids, chosen=st.lists(st.integers(0, 1000)))
def test_writes_ids_as_json(names, chosen):
    made = Vocabulary.build(names)
    indexes = np.array([place % len(names) for place in chosen if names], np.int32)

    assert json.loads(made.json(indexes)) == [names[index] for index in indexes]


def test_writes_many_ids_as_json_whether_or_not_some_are_escaped():
    names = [f'n"{number}' if number % 20_000 == 0 else f"ñ{number}" for number in range(70_000)]

    assert json.loads(Vocabulary.build(names).json(np.arange(70_000, dtype=np.int32))) == names


def test_keys_depend_on_the_id_alone():
    few, many = Vocabulary.build(["b", "a"]), Vocabulary.build(["a", "c", "b"])
    assert few.keys().tolist() == many.keys()[[2, 0]].tolist()
    # The first 8 bytes of BLAKE2b with a digest of that length, as the contract of artifacts says.
    digest = hashlib.blake2b(b"a", digest_size=8).digest()
    assert few.keys()[1] == int.from_bytes(digest, "little")


@given(names=ids, lookups=ids)
def test_finds_another_vocabulary_like_a_dictionary(names, lookups):
    expected = {name: index for index, name in enumerate(names)}
    queries = list(dict.fromkeys([*lookups, *names[::2]]))

    indexes = Vocabulary.build(names).indexes_of(Vocabulary.build(queries))

    assert indexes.tolist() == [expected.get(name, -1) for name in queries]


@given(names=ids, more=ids)
def test_finds_another_vocabulary_that_it_begins_with(names, more):
    made = Vocabulary.build(names)
    for count in (0, len(names) // 2, len(names)):
        assert made.indexes_of(Vocabulary.build(names[:count])).tolist() == list(range(count))
    longer = [*names, *(name for name in dict.fromkeys(more) if name not in names)]
    assert made.indexes_of(Vocabulary.build(longer))[: len(names)].tolist() == list(range(len(names)))


@pytest.mark.parametrize("names", [[], [""], ["b", "a", "ü", "日本", "a" * 256]])
@pytest.mark.parametrize("in_batches", [False, True])
def test_saved_and_mapped_is_the_same(names, in_batches, tmp_path):
    if in_batches:
        size = len("".join(names).encode())
        Vocabulary.write(tmp_path, "items", [names[:2], [], names[2:]], count=len(names), size=size)
    else:
        Vocabulary.build(names).save(tmp_path, "items")

    mapped = Vocabulary.load(tmp_path, "items")

    assert mapped.ids(range(len(mapped))) == names
    assert mapped.indexes([*names, "unknown"]).tolist() == [*range(len(names)), -1]


@pytest.fixture
def colliding(monkeypatch):
    monkeypatch.setattr(vocabulary, "_hash", lambda key: len(key) % 2)


def test_ids_with_one_hash_stay_apart(colliding):
    names = [f"{number:0{width}}" for width in (1, 2, 3) for number in range(9)]

    made = Vocabulary.build(names)

    assert made.indexes(names).tolist() == list(range(len(names)))
    assert made.index("zz") is None


def test_ids_with_one_hash_are_not_taken_for_each_other(colliding):
    names = [f"{number:0{width}}" for width in (1, 2, 3) for number in range(9)]
    queries = [*reversed(names), "zz", "x", "1111"]

    indexes = Vocabulary.build(names).indexes_of(Vocabulary.build(queries))

    assert indexes.tolist() == [*reversed(range(len(names))), -1, -1, -1]


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
