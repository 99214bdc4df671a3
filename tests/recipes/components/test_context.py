"""Context is coded as documented, and a network learns from it what comes next in which situation."""

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.catalog import get_recipe
from recipes.components.context import CodedTexts, Context, ContextCodes, ContextTable
from recipes.data.histories import Histories, History
from recipes.data.training_data import Interactions, TrainingData
from recipes.ports import UsesSideFeatures
from recipes.registry import make_fitter, open_scorer, read_config
from recipes.retrieval.scoring import embed_users

COLUMNS = {
    "DEVICE": ["tv", "phone", "phone", None, "tv", "phone", "fridge"],
    "HOUR": np.array([1.0, 2.0, 3.0, np.nan, 4.0, 4.0, 4.0]),
}


@pytest.fixture
def codes():
    return ContextCodes.of(COLUMNS)


def test_frequent_categories_have_codes_and_rare_ones_none(codes):
    assert codes.values[:3] == ("", "phone", "tv")
    assert codes.encode(COLUMNS)[:, 0].tolist() == [2, 1, 1, 0, 2, 1, 0]


def test_coded_texts_mean_what_texts_mean(codes):
    devices = ["tv", "", "phone", None, "fridge", "phone", "tv"]
    coded = CodedTexts(["", "fridge", "phone", "radio", "tv"], np.array([4, 0, 2, -1, 1, 2, 4], np.int32))
    meaning = ContextCodes.of({"DEVICE": coded})
    assert meaning.values == ContextCodes.of({"DEVICE": devices}).values == ("", "phone", "tv")
    for each in (meaning, codes):
        assert each.encode_column("DEVICE", coded).tolist() == each.encode_column("DEVICE", devices).tolist()
    assert meaning.encode_column("DEVICE", coded).tolist() == [2, 0, 1, 0, 0, 1, 2]


def test_numbers_fall_into_ranges_and_missing_ones_into_none(codes):
    hours = codes.encode(COLUMNS)[:, 1]
    assert hours[3] == 0
    assert (np.diff(hours[[0, 1, 2, 4]]) > 0).all()
    assert hours[4] == hours[5] == hours[6]
    beyond = codes.encode({"DEVICE": ["tv"] * 2, "HOUR": np.array([-99.0, 99.0])})[:, 1]
    assert beyond.tolist() == [hours[0], hours[4]]


def test_many_numbers_are_cut_into_ranges_of_like_size():
    values = np.random.default_rng(1).lognormal(size=8000)
    codes = ContextCodes.of({"PRICE": values}).encode({"PRICE": values})[:, 0]
    counts = np.bincount(codes)[1:]
    assert len(counts) == 16
    assert counts.min() > 400


def test_requests_give_text_and_what_is_unknown_is_passed_over(codes):
    device, hour = codes.encode(COLUMNS)[1]
    assert codes.encode_request({"DEVICE": "phone", "HOUR": "2"}) == [device, hour]
    assert codes.encode_request({"DEVICE": "phone", "HOUR": "noon", "CITY": "Bonn"}) == [device]
    assert codes.encode_request({"DEVICE": "car", "HOUR": "nan", "device": "tv"}) == []


def test_situations_can_be_described_and_coded_again(codes):
    for row in codes.encode(COLUMNS):
        assert codes.encode_row(codes.describe(row)) == row.tolist()
    other = ContextCodes.of({"HOUR": COLUMNS["HOUR"], "CITY": ["Bonn"] * 2})
    assert other.encode_row(codes.describe(codes.encode(COLUMNS)[1]))[1] == 0


def test_columns_that_tell_nothing_have_no_codes():
    assert len(ContextCodes.of({"DEVICE": [None, None], "HOUR": np.array([np.nan, np.nan])})) == 1
    assert len(ContextCodes.of({"DEVICE": ["a", "b", "c"]})) == 1


def test_a_table_adds_up_the_vectors_of_what_is_known(codes, tmp_path):
    vectors = np.arange(len(codes) * 2, dtype=np.float32).reshape(-1, 2) + 1
    table = ContextTable(codes, vectors)
    rows = codes.encode(COLUMNS)
    assert table.of_codes(rows)[0].tolist() == (vectors[rows[0, 0]] + vectors[rows[0, 1]]).tolist()
    assert table.of_codes(rows)[3].tolist() == [0.0, 0.0]
    assert table.of_request({"DEVICE": "tv", "HOUR": "1"}).tolist() == table.of_codes(rows)[0].tolist()
    assert table.of_request({"DEVICE": "car"}) is None

    table.save(tmp_path)
    loaded = ContextTable.load(tmp_path, width=2)
    assert loaded.of_codes(loaded.meaning.encode(COLUMNS)).tolist() == table.of_codes(rows).tolist()
    assert loaded.of_request({"DEVICE": "tv", "HOUR": "1"}).tolist() == table.of_codes(rows)[0].tolist()
    with pytest.raises(CorruptArtifact, match=r"context_vectors\.npy"):
        ContextTable.load(tmp_path, width=3)


def test_no_context_is_no_error(tmp_path):
    assert ContextTable.load(tmp_path, width=2) is None


DOOR, BY_PHONE, BY_TV, N_ITEMS = 0, 1, 2, 6
SMALL = {"embedding_size": "8", "layers": "1", "max_length": "4", "learning_rate": "0.05", "epochs": "10"}
SMALL["validation_targets"] = "40"


def viewers(users=200, *, with_context=True):
    """Let everybody begin with one thing; what comes next hangs on the device alone."""
    by_phone = np.arange(users) % 2 == 0
    items = np.stack([np.full(users, DOOR), np.where(by_phone, BY_PHONE, BY_TV)], axis=1)
    interactions = Interactions.sort(
        np.repeat(np.arange(users), 2), item=items.ravel(), timestamp=np.tile(np.arange(2), users)
    )
    devices = np.repeat(np.where(by_phone, "phone", "tv"), 2).tolist()
    meaning = ContextCodes.of({"DEVICE": devices})
    context = Context(meaning, meaning.encode({"DEVICE": devices})) if with_context else None
    return TrainingData(interactions, users, N_ITEMS, context=context)


def fit(data, *, extended=False):
    declared = get_recipe("aws-user-personalization-v2")
    made = make_fitter(declared, read_config(declared, SMALL), seed=1)
    scorer = made.fit(data)
    return made.extend(data) if extended else scorer


@pytest.fixture(scope="module")
def extended():
    return fit(viewers(), extended=True)


def leads(scorer, **context):
    """Return by how much what is seen by phone scores above what is seen by TV, for somebody at the door."""
    history = History.of_items([DOOR])
    vector = scorer.embed_history(history)
    added = scorer.context.of_request(context)
    if added is not None:
        vector[: len(added)] += added
    scores = scorer.item_vectors @ vector
    deltas = scorer.score_deltas(history)
    scores[deltas.items] += deltas.values
    return float(scores[BY_PHONE] - scores[BY_TV])


def test_the_situation_decides_what_comes_next(extended):
    assert isinstance(extended, UsesSideFeatures)
    assert leads(extended, DEVICE="phone") > 1.0
    assert leads(extended, DEVICE="tv") < -1.0
    assert abs(leads(extended)) < 0.7 * min(leads(extended, DEVICE="phone"), -leads(extended, DEVICE="tv"))


def test_unknown_values_are_no_context(extended):
    assert leads(extended, DEVICE="car", CITY="Bonn") == leads(extended)


def test_context_is_saved_with_the_model(extended, tmp_path):
    extended.save(tmp_path)
    loaded = open_scorer(get_recipe("aws-user-personalization-v2"), tmp_path)
    assert leads(loaded, DEVICE="phone") == pytest.approx(leads(extended, DEVICE="phone"))


def test_many_histories_are_situated_alike(extended):
    codes = extended.context.meaning.encode({"DEVICE": ["tv", None]})
    histories = Histories.gather([History.of_items([DOOR])] * 2)
    in_context, plain = (embed_users(extended, histories, given) for given in (codes, None))
    added = extended.context.of_request({"DEVICE": "tv"})
    np.testing.assert_allclose(in_context[0, :-1], plain[0, :-1] + added, atol=1e-6)
    assert in_context[1].tolist() == plain[1].tolist()


def test_data_are_cut_with_their_context():
    data = viewers(users=4)
    kept = np.array([True, False] * 4)
    assert data.where(kept).context.codes.tolist() == data.context.codes[kept].tolist()


def test_without_columns_nothing_is_learnt_or_saved_of_context(tmp_path):
    scorer = fit(viewers(with_context=False))
    assert scorer.context is None
    scorer.save(tmp_path)
    assert not list(tmp_path.glob("context*"))
