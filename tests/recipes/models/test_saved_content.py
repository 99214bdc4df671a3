"""A map from columns to vectors is the same after it was saved and opened, for any rows."""

from __future__ import annotations

import numpy as np
import pytest

from common.errors import CorruptArtifact
from recipes.data.columns import CategoricalColumn, Columns
from recipes.models.lsa.decomposition import learn_vectors
from recipes.models.lsa.saved_content import load_content, save_content

GENRES = [("drama",), ("drama", "war"), ("comedy",), ("comedy", "war"), ("western",), (), ("drama",), ("comedy",)]
TEXTS = ("a quiet river", "a loud river", "quiet towns", "loud towns", None, "rivers", "quiet river towns", "loud loud")


def columns(*rows):
    return Columns(
        categorical={"GENRE": CategoricalColumn.of_values([GENRES[row] for row in rows])},
        numeric={"YEAR": np.array([np.nan if row == 4 else 1990.0 + row for row in rows])},
        textual={"ABOUT": tuple(TEXTS[row] for row in rows)},
    )


@pytest.fixture
def learnt():
    return learn_vectors(columns(*range(8)), n_rows=8, size=6, seed=1)


def test_opened_map_makes_the_vectors_of_the_training(learnt, tmp_path):
    content, vectors = learnt
    save_content(content, tmp_path)
    opened = load_content(tmp_path)

    np.testing.assert_allclose(opened.of(columns(*range(8)), n_rows=8), vectors, atol=1e-6)
    few = columns(6, 1, 4)
    assert opened.of(few, n_rows=3).tobytes() == content.of(few, n_rows=3).tobytes()


def test_what_was_not_learnt_is_passed_over(learnt, tmp_path):
    save_content(learnt[0], tmp_path)
    # `western` and `opera` are rare alike.
    names = CategoricalColumn.of_values([("opera",), ("western",)])
    vectors = load_content(tmp_path).of(Columns(categorical={"GENRE": names, "OTHER": names}), n_rows=2)
    np.testing.assert_array_equal(vectors[0], vectors[1])


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        ("content_projection", lambda array: array[1:]),
        ("content_kinds", lambda array: array[1:]),
        ("content_kinds", lambda array: array + 7),
        ("content_sizes", lambda array: array + 3),
        ("content_knots", lambda array: np.append(array, 1.0)),
    ],
)
def test_files_that_do_not_belong_together_are_corrupt(learnt, tmp_path, name, damage):
    save_content(learnt[0], tmp_path)
    path = tmp_path / f"{name}.npy"
    np.save(path, damage(np.load(path)))
    with pytest.raises(CorruptArtifact, match="content_"):
        load_content(tmp_path)
