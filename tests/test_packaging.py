"""What is installed is what the tree holds, in versions that fit each other."""

import re
import tomllib
from importlib import metadata
from pathlib import Path

import pytest
from setuptools import find_packages

ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
CONSTRAINTS = (ROOT / "constraints.txt").read_text().splitlines()
#: Folders of Python that are not installed.
NOT_INSTALLED = {"tests", "benchmarks", "docs", "build"}


def requirement(requirements, name):
    (requirement,) = [entry for entry in requirements if re.split(r"[<>=\[;]", entry)[0] == name]
    return requirement


def pinned(name):
    return requirement(CONSTRAINTS, name).partition("==")[2]


def test_stubs_are_generated_by_the_version_that_is_installed_and_no_older_grpc_is_taken():
    version = requirement(PROJECT["build-system"]["requires"], "grpcio-tools").partition("==")[2]
    assert version == requirement(PROJECT["project"]["optional-dependencies"]["dev"], "grpcio-tools").partition("==")[2]
    assert version == pinned("grpcio-tools")
    assert version == requirement(PROJECT["project"]["dependencies"], "grpcio").partition(">=")[2]


def test_type_plugins_are_of_one_version():
    version = requirement(PROJECT["build-system"]["requires"], "mypy-protobuf").partition("==")[2]
    assert version == pinned("mypy-protobuf")
    assert (
        version == requirement(PROJECT["project"]["optional-dependencies"]["dev"], "mypy-protobuf").partition("==")[2]
    )


def test_constraints_name_no_address():
    assert [line for line in CONSTRAINTS if "://" in line or "@" in line or line.startswith("-")] == []


def test_no_version_is_pinned_twice():
    names = [re.split("==", line)[0].lower().replace("_", "-") for line in CONSTRAINTS]
    assert len(names) == len(set(names))


def test_every_dependency_is_pinned():
    required = {re.split(r"[<>=\[;]", entry)[0].lower() for entry in PROJECT["project"]["dependencies"]}
    pinned = {line.partition("==")[0].lower().replace("_", "-") for line in CONSTRAINTS}
    assert required - pinned == set()


def test_every_folder_of_code_is_installed_and_nothing_else():
    installed = {
        name.partition(".")[0] for name in find_packages(ROOT, **PROJECT["tool"]["setuptools"]["packages"]["find"])
    }
    folders = {path.parent.name for path in ROOT.glob("*/__init__.py")} - NOT_INSTALLED
    assert installed == folders


def test_the_images_are_built_from_every_folder_that_is_installed():
    ignored, *kept = [line for line in (ROOT / ".dockerignore").read_text().splitlines() if not line.startswith("#")]
    packages = find_packages(ROOT, **PROJECT["tool"]["setuptools"]["packages"]["find"])
    folders = {f"!{package}" for package in packages if "." not in package}
    assert ignored == "*"
    assert folders - set(kept) == set()


def test_every_folder_with_modules_is_a_package():
    installed = find_packages(ROOT, **PROJECT["tool"]["setuptools"]["packages"]["find"])
    folders = {
        str(path.parent.relative_to(ROOT)).replace("/", ".")
        for name in {package.partition(".")[0] for package in installed}
        for path in (ROOT / name).rglob("*.py")
        # Namespaces of the generated stubs and scripts of the migrations are not imported by package name.
        if name != "protos" and "migrations" not in path.parts
    }
    assert folders - set(installed) == set()


def test_contracts_and_their_configuration_are_installed():
    patterns = PROJECT["tool"]["setuptools"]["package-data"]["*"]
    assert {"*.proto", "*.json", "py.typed"} <= set(patterns)
    assert (ROOT / "protos" / "service_config.json").is_file()


def test_the_command_is_installed():
    (script,) = [entry for entry in metadata.entry_points(group="console_scripts") if entry.name == "tailorbird"]
    assert script.value == PROJECT["project"]["scripts"]["tailorbird"]
    assert callable(script.load())


@pytest.mark.parametrize("package", ["jax", "optax", "boto3", "pytest"])
def test_serving_is_installed_without(package):
    assert [entry for entry in PROJECT["project"]["dependencies"] if entry.startswith(package)] == []
