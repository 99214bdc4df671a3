"""Rules of the tree that no other tool checks."""

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PACKAGES = (
    "common",
    "recipes",
    "inference",
    "control_plane",
    "events_service",
    "runtime_service",
    "trainer",
    "gateway",
)


def tracked(*patterns):
    listed = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard", "--", *patterns],
        cwd=ROOT,
        check=True,
        capture_output=True,
        text=True,
    )
    return [path for name in listed.stdout.splitlines() if (path := ROOT / name).is_file()]


def test_every_folder_of_tests_is_a_package():
    tests = ROOT / "tests"
    folders = {
        folder for path in tracked("tests/*.py") for folder in path.parents if tests in (folder, *folder.parents)
    }
    assert [str(folder) for folder in folders if not (folder / "__init__.py").exists()] == []


def test_import_rules_hold():
    lint = Path(sys.executable).parent / "lint-imports"
    checked = subprocess.run([lint], cwd=ROOT, capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout


def test_composition_roots_are_short():
    lengths = {path.parent.name: len(path.read_text().splitlines()) for path in ROOT.glob("*/__main__.py")}
    assert {"control_plane", "events_service", "runtime_service", "trainer", "gateway", "cli"} <= set(lengths)
    assert {name: length for name, length in lengths.items() if length > 60} == {}


def test_only_composition_roots_read_the_environment():
    readers = [
        str(path.relative_to(ROOT))
        for package in PACKAGES
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\bos\.(environ|getenv)\b|from os import .*\b(environ|getenv)\b", path.read_text())
        if path.name != "__main__.py"
    ]
    assert readers == []


def test_processes_that_open_a_store_forget_their_settings_before():
    # The clients of S3 read AWS's variables by themselves.
    roots = {path.parent.name: path.read_text() for path in ROOT.glob("*/__main__.py")}
    opening = {name for name, text in roots.items() if "open_store(" in text}
    assert opening == {"events_service", "runtime_service", "trainer"}
    assert opening == {name for name, text in roots.items() if "    forget_settings(os.environ)\n" in text}


def test_kinds_of_recipes_are_named_by_programs_and_pipelines_alone():
    naming = {
        str(path.relative_to(ROOT))
        for package in (*PACKAGES, "cli")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"\bRecipeKind\.[A-Z]|\brecipe_type (==|!=|in|not in) ", path.read_text())
    }
    assert naming == {
        "recipes/spec.py",
        "recipes/catalog.py",
        "inference/pipelines.py",
        "trainer/training/programs/__init__.py",
    }


def test_jax_is_imported_by_fits_networks_and_training_only():
    importers = [
        str(path.relative_to(ROOT))
        for package in (*PACKAGES, "cli")
        for path in (ROOT / package).rglob("*.py")
        if re.search(r"^\s*(import|from) (jax|optax)\b", path.read_text(), re.MULTILINE)
        if not re.fullmatch(r"recipes/(models/\w+/(fit|network)\w*|training/\w+)\.py", str(path.relative_to(ROOT)))
    ]
    assert importers == []


def test_inference_reads_messages_of_artifacts_only():
    imported = {
        name
        for path in (ROOT / "inference").rglob("*.py")
        for name in re.findall(r"^\s*(?:import|from) (protos\S*)", path.read_text(), re.MULTILINE)
    }
    assert imported
    assert {name for name in imported if not name.startswith("protos.tailorbird.storage.")} == set()


def test_generated_code_and_runtime_are_of_one_version():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    build = next(item for item in project["build-system"]["requires"] if item.startswith("grpcio-tools"))
    dev = next(item for item in project["project"]["optional-dependencies"]["dev"] if item.startswith("grpcio-tools"))
    floor = next(item for item in project["project"]["dependencies"] if item.startswith("grpcio>="))
    pins = dict(line.split("==") for line in (ROOT / "constraints.txt").read_text().splitlines())
    version = build.split("==")[1]
    assert (dev.split("==")[1], floor.split(">=")[1], pins["grpcio-tools"], pins["grpcio"]) == (version,) * 4


def test_constraints_are_exact_and_name_no_address():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    assert [line for line in lines if not re.fullmatch(r"[A-Za-z0-9._\-]+==[A-Za-z0-9.+!]+", line)] == []


@pytest.mark.parametrize("extra", ["train", "dev", "demo"])
def test_every_extra_is_pinned(extra):
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    required = {distribution_name(item) for item in project["optional-dependencies"][extra]}
    pinned = {distribution_name(line) for line in (ROOT / "constraints.txt").read_text().splitlines()}
    assert required - pinned == set()


def distribution_name(requirement):
    return re.split(r"[<>=\[]", requirement)[0].lower().replace("_", "-")


def test_no_file_names_a_path_of_somebodys_machine():
    pattern = re.compile(r"(?<![\w.])/(work|home/\w+|Users/\w+|root)/")
    naming_paths = [
        str(path.relative_to(ROOT))
        for path in tracked()
        if path.suffix in {".py", ".md", ".toml", ".yml", ".proto", ".json", ".txt", ""} and path != Path(__file__)
        if pattern.search(path.read_text(errors="ignore"))
    ]
    assert naming_paths == []
