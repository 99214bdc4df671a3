"""A fit that was killed between epochs goes on from its last one, and what comes of it is the same to the byte."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from structlog.testing import capture_logs

from recipes.catalog import get_recipe
from recipes.ports import Checkpoint, KeepsCheckpoints
from recipes.registry import make_fitter, read_config
from recipes.training import checkpoints as checkpoints_module
from recipes.training import loop
from tests.recipes.suite import ring_walks

SASREC = {"embedding_size": "8", "layers": "1", "max_length": "6", "epochs": "4", "dropout": "0.2"}
#: Some of the arrays of a checkpoint.
NAMED = ("state.parameters.item_embeddings", "state.average.item_biases", "state.moments.mu.item_biases")
GRU = {"hidden_dimension": "32", "epochs": "3"}


class Killed(Exception):
    """What a kill is here: the process has no time for anything."""


class InMemory:
    """Keeps the checkpoint of every epoch."""

    def __init__(self):
        self.kept: dict[str, Checkpoint] = {}

    def is_due(self):
        return True

    def save(self, key, checkpoint):
        self.kept[key] = Checkpoint(
            {name: np.array(value) for name, value in checkpoint.arrays.items()}, dict(checkpoint.facts)
        )

    def load(self, key):
        return self.kept.get(key)


class Progress:
    """Keeps the names of the stages, and kills the fit in the middle of one."""

    def __init__(self, kill_at=None):
        self.kill_at = kill_at
        self.stages = []

    def __call__(self, *, fraction, stage, metrics):
        if stage == self.kill_at:
            raise Killed
        if stage not in self.stages:
            self.stages.append(stage)

    @property
    def epochs(self):
        return [stage for stage in self.stages if "epoch" in stage and "validation" not in stage]


def fit(name, hyperparameters, checkpoints, *, data=None, kill_at=None, seed=1):
    recipe, progress = get_recipe(name), Progress(kill_at)
    fitter = make_fitter(recipe, read_config(recipe, hyperparameters), seed=seed, progress=progress)
    assert isinstance(fitter, KeepsCheckpoints)
    if checkpoints is not None:
        fitter.keep_checkpoints(checkpoints)
    data = ring_walks() if data is None else data
    try:
        measured = fitter.fit(data)
        return measured, fitter.extend(data), dict(fitter.report), progress
    except Killed:
        return progress


def saved(scorer, folder):
    folder.mkdir()
    scorer.save(folder)
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


@pytest.mark.parametrize(
    ("name", "hyperparameters", "kill_at", "left"),
    [
        ("aws-user-personalization-v2", SASREC, "epoch 3 of at most 4", ["epoch 3", "epoch 4"]),
        (
            "aws-user-personalization-v2",
            SASREC,
            "extension, epoch 2 of 3",
            ["extension, epoch 2", "extension, epoch 3"],
        ),
        ("aws-hrnn", GRU, "epoch 2 of at most 3", ["epoch 2", "epoch 3"]),
    ],
)
def test_a_fit_that_was_killed_gives_the_same_bytes(tmp_path, name, hyperparameters, kill_at, left):
    checkpoints = InMemory()
    fit(name, hyperparameters, checkpoints, kill_at=kill_at)

    measured, extended, report, progress = fit(name, hyperparameters, checkpoints)

    whole_measured, whole_extended, whole_report, _ = fit(name, hyperparameters, None)
    assert [stage for stage in progress.epochs if "extension" in stage or "extension" not in left[0]][: len(left)] == [
        f"{stage} of at most {hyperparameters['epochs']}" if stage.startswith("epoch") else f"{stage} of 3"
        for stage in left
    ]
    assert report == whole_report
    assert saved(measured, tmp_path / "a") == saved(whole_measured, tmp_path / "b")
    assert saved(extended, tmp_path / "c") == saved(whole_extended, tmp_path / "d")


def test_an_extension_of_other_parameters_does_not_go_on_from_there():
    short, checkpoints = {**SASREC, "epochs": "1"}, InMemory()
    fit("aws-user-personalization-v2", short, checkpoints, kill_at="extension, epoch 2 of 3")
    # What the fit has kept is lost, and it comes to other parameters this time.
    (key,) = [name for name in checkpoints.kept if name.startswith("fit-")]
    facts, arrays = checkpoints.kept[key].facts, checkpoints.kept[key].arrays
    checkpoints.kept[key] = Checkpoint({name: value * 2 for name, value in arrays.items()}, facts)

    progress = fit("aws-user-personalization-v2", short, checkpoints, kill_at="extension, epoch 1 of 3")

    assert isinstance(progress, Progress), "it has gone on behind the first epoch"


def test_steps_by_rows_go_on_too(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_ROWS_FROM", 0)
    sampled = {**SASREC, "full_softmax_items": "0", "sampled_items": "8"}
    checkpoints = InMemory()
    fit("aws-user-personalization-v2", sampled, checkpoints, kill_at="epoch 4 of at most 4")

    measured, *_ = fit("aws-user-personalization-v2", sampled, checkpoints)

    uninterrupted, *_ = fit("aws-user-personalization-v2", sampled, None)
    assert saved(measured, tmp_path / "a") == saved(uninterrupted, tmp_path / "b")


def test_parts_of_long_epochs_go_on_too(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "_LONGEST_EPOCH", len(ring_walks().interactions) // 2)
    checkpoints = InMemory()
    fit("aws-user-personalization-v2", SASREC, checkpoints, kill_at="part of an epoch 6 of at most 8")

    measured, *_, progress = fit("aws-user-personalization-v2", SASREC, checkpoints)

    assert [stage for stage in progress.epochs if stage.startswith("part")] == [
        f"part of an epoch {part} of at most 8" for part in (6, 7, 8)
    ]
    uninterrupted, *_ = fit("aws-user-personalization-v2", SASREC, None)
    assert saved(measured, tmp_path / "a") == saved(uninterrupted, tmp_path / "b")


def test_epochs_that_the_stopping_rule_has_ended_stay_ended():
    patient = {**SASREC, "epochs": "30", "patience": "1"}
    checkpoints = InMemory()
    *_, report, progress = fit("aws-user-personalization-v2", patient, checkpoints)

    *_, again, resumed = fit("aws-user-personalization-v2", patient, checkpoints)

    assert len(progress.epochs) < 30
    assert resumed.epochs == []
    assert again == report


@pytest.mark.parametrize("changed", ["seed", "hyperparameters", "data", "code"])
def test_another_fit_does_not_go_on_from_there(monkeypatch, changed):
    checkpoints = InMemory()
    fit("aws-user-personalization-v2", SASREC, checkpoints, kill_at="epoch 2 of at most 4")
    assert all(name in checkpoints.kept[key].arrays for key in checkpoints.kept for name in NAMED)
    if changed == "code":
        monkeypatch.setattr(checkpoints_module, "_code_digest", lambda: b"of another version")
    data = ring_walks()
    fits = {
        "code": {},
        "seed": {"seed": 2},
        "hyperparameters": {"hyperparameters": {**SASREC, "dropout": "0.1"}},
        "data": {"data": replace(data, event_weights=np.full(len(data.event_types) + 1, 0.5, np.float32))},
    }

    progress = fit(
        "aws-user-personalization-v2",
        checkpoints=checkpoints, kill_at="epoch 3 of at most 4", **{"hyperparameters": SASREC, **fits[changed]},
    )  # fmt: skip

    assert progress.epochs == ["epoch 1 of at most 4", "epoch 2 of at most 4"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda kept: kept._replace(facts={}),
        lambda kept: kept._replace(facts={**kept.facts, "best_epoch": 9}),
        lambda kept: kept._replace(arrays={name: value[..., :1] for name, value in kept.arrays.items() if value.ndim}),
        lambda kept: kept._replace(arrays={}),
    ],
    ids=["no facts", "an epoch that was not", "other shapes", "no arrays"],
)
def test_a_checkpoint_that_does_not_fit_is_ignored_with_a_warning(damage):
    checkpoints = InMemory()
    fit("aws-user-personalization-v2", SASREC, checkpoints, kill_at="epoch 2 of at most 4")
    checkpoints.kept = {key: damage(kept) for key, kept in checkpoints.kept.items()}

    with capture_logs() as logs:
        progress = fit("aws-user-personalization-v2", SASREC, checkpoints, kill_at="epoch 2 of at most 4")

    assert progress.epochs == ["epoch 1 of at most 4"]
    assert "checkpoint_ignored" in {line["event"] for line in logs}
