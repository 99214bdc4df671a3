"""Small runs of the benchmark commands: what they read, their options, and what must come of them.

A test module for each group: tests of a module run one after another, and together they take minutes.
"""

import gzip
import importlib
import json
import os
import random
import re
import shutil
import sys

import pytest

from benchmarks import nats
from benchmarks.postgresql import programs

DAY = 86_400


def chains(users=40, items=20, length=12):
    """What users did: everybody walks along a ring of items, from a place of their own."""
    drawn = random.Random(1)
    starts = [drawn.randrange(items) for _ in range(users)]
    return [[(start + step) % items for step in range(length)] for start in starts]


def sequences(folder):
    path = folder / "chains.txt"
    path.write_text("".join(f"{user} {' '.join(map(str, row))}\n" for user, row in enumerate(chains())))
    return path


def table(folder, *, name="chains.csv", separator=",", header=("user_id", "item_id", "timestamp"), users=40):
    path = folder / name
    rows = [
        (user, item, user * DAY // 4 + step * DAY // 8)
        for user, row in enumerate(chains(users))
        for step, item in enumerate(row)
    ]
    path.write_text("".join(separator.join(map(str, row)) + "\n" for row in (header, *rows)))
    return path


def split(folder):
    for name, part in (("train.txt", slice(0, 6)), ("test.txt", slice(6, 12))):
        lines = [f"{user} {' '.join(map(str, row[part]))}\n" for user, row in enumerate(chains())]
        (folder / name).write_text("".join(lines))
    return folder


def ratings(folder):
    rows = [f"{user},{item},5,{step}\n" for user, row in enumerate(chains()) for step, item in enumerate(row)]
    (folder / "ratings.csv").write_text("user_id,movie_id,rating,timestamp\n" + "".join(rows))
    return folder


def described_users(folder):
    header = ("user_id:token", "item_id:token", "timestamp:float")
    path = table(folder, name="chains.inter", separator="\t", header=header)
    lines = [f"{user}\t{20 + user % 30}\t{'MF'[user % 2]}\n" for user in range(40)]
    path.with_suffix(".user").write_text("user_id:token\tage:float\tgender:token\n" + "".join(lines))
    return path


def described_items(folder):
    place = folder / "s3rec-Chains"
    place.mkdir()
    sequences(place).rename(place / "Chains.txt")
    with gzip.open(place / "Chains.txt.gz", "wt") as file:
        file.write((place / "Chains.txt").read_text())
    (place / "Chains.txt").unlink()
    with gzip.open(place / "Chains_item2attributes.json.gz", "wt") as file:
        json.dump({str(item): [item % 4, 10 + item % 3] for item in range(20)}, file)
    return place


def films(folder):
    """Films with plots, and who watched them, as MovieLens 1M with texts is published."""
    lines = [
        f"{item}::Film {item}::1999::G::1 Jan 1999::{('War', 'Comedy')[item % 2]}::Someone::::Actor {item % 3}::"
        f"A {('soldier', 'clown')[item % 2]} meets the {('queen', 'robot', 'sailor')[item % 3]}::"
        for item in range(20)
    ]
    with gzip.open(folder / "movies_extrainfos.dat.gz", "wt") as file:
        file.write("\n".join(lines))
    path = table(folder)
    with gzip.open(folder / "ratings_reconstructed.csv.gz", "wt") as file:
        file.write(path.read_text())
    return folder


def planted_artifacts(folder):
    """Where the tests of a module keep what they plant: it is the same for all, and takes seconds."""
    return f"--artifacts={folder.parent / 'artifacts'}"


#: These want h2load: CI installs it, and fails where that did not work.
PRESSING = {
    *("benchmarks.by_hand", "benchmarks.extras", "benchmarks.gateway", "benchmarks.scale", "benchmarks.serving"),
}
#: These want PostgreSQL, likewise.
STORING = {"benchmarks.control_plane"}
#: These want strace, likewise.
TRACING = {"benchmarks.faults.crash_points"}
#: These want nats-server, likewise.
STREAMING = {"benchmarks.log_move"}
EPOCH = ("--set", "epochs=1")
#: A recipe whose training compiles no network.
QUICK = ("--recipe", "tailorbird-ials")
#: Of each command: what makes its data, if it wants any, and its options beside.
SERVING = {
    "benchmarks.serving": (
        None,
        (
            "--generated",
            "60",
            "--epochs",
            "1",
            "--filters",
            "--rounds",
            "1",
            "--users",
            "4",
            "--repeats",
            "20",
            "--lanes",
            "2",
            "--processes",
            "1",
        ),
    ),
    "benchmarks.features": (None, ("--items", "2000", "--users", "3000")),
}
SCALE = {
    "benchmarks.scale": (
        planted_artifacts,
        (
            *("--items", "450", "--users", "200", "--workers", "1", "--rounds", "1", "--filters"),
            *("--users-of-round", "4", "--repeats", "20", "--lanes", "2"),
        ),
    ),
    "benchmarks.extras": (
        planted_artifacts,
        (
            *("--items", "450", "--users", "200", "--only", "answers", "--rounds", "1"),
            *("--users-of-round", "4", "--repeats", "20", "--lanes", "2"),
        ),
    ),
    "benchmarks.batch": (
        planted_artifacts,
        (
            *("--items", "450", "--users", "200", "--lines", "600"),
            *("--rounds", "1", "--processes", "1", "--many", "700"),
        ),
    ),
    "benchmarks.look_ups": (
        planted_artifacts,
        ("--items", "450", "--users", "200", "--look-ups", "20", "--exact-users", "10"),
    ),
    "benchmarks.request_steps": (
        None,
        (
            "--without-regression",
            "--items",
            "300",
            "10000",
            "--users",
            "4",
            "--snapshot-users",
            "20",
            "--events",
            "12",
            "--repeats",
            "1",
        ),
    ),
    "benchmarks.index": (None, ("--sizes", "300", "4100", "--queries", "20")),
    "benchmarks.filters": (None, ("--items", "1000", "--repeats", "2")),
    "benchmarks.new_items": (None, ("--items", "500", "--new", "10", "2000", "--repeats", "2")),
}
COMPARED = {
    "benchmarks.by_hand": (
        None,
        (
            *("--data", "200", "--planted-users", "80", "--epochs", "1", "--processes", "1", "--recall-users", "8"),
            *("--rounds", "1", "--users", "4", "--repeats", "20", "--lanes", "2", "--factors", "8"),
        ),
    ),
    "benchmarks.gateway": (None, ("--rounds", "1", "--calls", "50", "--connections", "2", "--processes", "1")),
    "benchmarks.gateway_steps": (None, ("--calls", "20", "--repeats", "2", "--connections", "2")),
}
LOAD = {
    "benchmarks.load.open_loop": (
        None,
        ("--echo", "--workers", "1", "--seconds", "0.5", "--shares", "0.3", "--in-progress", "4", "--connections", "1"),
    ),
    "benchmarks.load.visitors": (None, ("--echo", "--workers", "1", "--visitors", "4", "--seconds", "1")),
}
FAULTS = {
    "benchmarks.faults.changes": (
        None,
        ("--only", "1", "5", "--clients", "1", "--away-seconds", "0.2", "--seconds", "0.2"),
    ),
    "benchmarks.faults.connections": (
        None,
        ("--connections", "20", "--bodies", "2", "--clients", "2", "5", "--seconds", "0.3"),
    ),
    "benchmarks.faults.control_plane_away": (
        None,
        ("--clients", "2", "--seconds", "0.5", "--away-seconds", "0.5", "--pause-seconds", "0.05"),
    ),
    "benchmarks.faults.crash_points": (None, ("--every", "211")),
    "benchmarks.faults.idle_callers": (None, ("--callers", "3", "--seconds", "0.1")),
    "benchmarks.faults.kills": (None, ("--kills", "8")),
    "benchmarks.faults.outage": (None, ("--workers", "1", "--clients", "1", "--seconds", "2")),
}
#: A network that is compiled in a moment.
SMALL_NETWORK = ("embedding_size=8", "layers=1", "max_length=4", "validation_targets=10")
QUALITY = {
    "benchmarks.quality.ablation": (sequences, (*EPOCH, *SMALL_NETWORK)),
    "benchmarks.quality.auto_ml": (
        lambda folder: table(folder, users=100),
        ("--recipes", "aws-popularity-count", "tailorbird-ials"),
    ),
    "benchmarks.quality.cold_items": (described_items, ("--later",)),
    "benchmarks.quality.epochs": (table, ("--sessions", "--part", "2", "--epochs", "2", "--set", *SMALL_NETWORK)),
    "benchmarks.quality.item_to_item": (split, ()),
    "benchmarks.quality.leave_one_out": (sequences, (*QUICK, "--seeds", "1")),
    "benchmarks.quality.personalize_split": (table, (*QUICK, "--draws", "1")),
    "benchmarks.quality.segments": (table, ("--hidden-dimension", "32")),
    "benchmarks.quality.sessions": (table, ("--seeds", "1", *EPOCH)),
    "benchmarks.quality.small_data": (lambda folder: table(folder, users=100), (*QUICK, "--set", "epochs=2")),
    "benchmarks.quality.strong_generalisation": (ratings, ()),
    "benchmarks.quality.training_speed": (sequences, ("--width", "8")),
    "benchmarks.quality.trending": (table, ()),
    "benchmarks.themes": (films, ("--lists", "5")),
    "benchmarks.quality.user_columns": (
        described_users,
        ("--categories", "gender", "--seeds", "1", "--known", "0", "--set", "epochs=1", "validation_targets=10"),
    ),
}
DATA = {
    "benchmarks.compaction": (None, ("--files", "6", "--rows", "10")),
    "benchmarks.compute": (
        None,
        (
            "--rounds",
            "1",
            "--ways",
            "loop",
            "local",
            "--parts",
            "2",
            "--users",
            "5",
            "--items",
            "50",
            "--empty-parts",
            "2",
        ),
    ),
    "benchmarks.control_plane": (None, ("--rounds", "1", "--calls", "8", "--clients", "1", "2")),
    "benchmarks.event_to_effect": (None, ("--events", "2", "--epochs", "1")),
    "benchmarks.events": (
        None,
        (
            *("--rounds", "1", "--calls", "20", "--clients", "4", "--visible", "--seconds", "0.5"),
            *("--calls-of", "PutEvents", "PutItems", "PutUsers"),
        ),
    ),
    "benchmarks.exports": (None, ("--rows", "3000")),
    "benchmarks.imports": (None, ("--rows", "1000", "2000", "--repeated", "0.1")),
    "benchmarks.log_move": (None, ("--records", "2000")),
    "benchmarks.segments": (
        None,
        ("--users", "300", "--items", "50", "--segments", "20", "--processes", "1"),
    ),
    "benchmarks.training_cost": (
        None,
        (
            *("--sizes", "6000", "--users", "60", "--interactions", "600", "--tested", "20", "--index"),
            *("--set", "epochs=1", "embedding_size=8", "layers=1", "max_length=4", "sampled_items=8"),
        ),
    ),
    "benchmarks.training_load": (None, ("--rows", "2000")),
}
COMMANDS = SERVING | SCALE | COMPARED | LOAD | FAULTS | QUALITY | DATA


def run(name, *arguments, monkeypatch):
    monkeypatch.setattr(sys, "argv", [name, *map(str, arguments)])
    importlib.import_module(name).main()


def skip_without_its_programs(name):
    """Skip where a program is missing that a command starts, but not in CI, which installs all."""
    if "CI" in os.environ:
        return
    if name in PRESSING and shutil.which("h2load") is None:
        pytest.skip("h2load (nghttp2-client) is not installed")
    if name in STORING and programs() is None:
        pytest.skip("PostgreSQL is not installed")
    if name in TRACING and shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    if name in STREAMING and nats.program() is None:
        pytest.skip("nats-server is not installed")


def check_small_run(name, folder, *, monkeypatch, capsys):
    """Run a command on its small scale: it prints a table and writes its figures."""
    skip_without_its_programs(name)
    make, options = COMMANDS[name]
    data = () if make is None else (make(folder),)
    output = folder / "figures.json"
    run(name, *data, *options, "--output", output, monkeypatch=monkeypatch)
    assert re.search(r"^\| .* \|$", capsys.readouterr().out, re.MULTILINE)
    assert json.loads(output.read_text())
