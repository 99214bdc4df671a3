"""The record of faults names tests that exist: a guard that is renamed or deleted is noticed."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ENTRIES = re.split(r"^### ", (ROOT / "docs" / "faults.md").read_text(), flags=re.MULTILINE)[1:]
GUARD = re.compile(r"`(tests/[\w/]+\.py)((?:::\w+)*)`")
#: Who finds faults.
FINDERS = re.compile(r"client|data|file|report|attack|outage|review")


@cache
def names(path):
    tree = ast.parse((ROOT / path).read_text())
    return {
        node.name for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef)
    }


def test_faults_are_numbered_without_a_gap():
    assert [int(entry.partition(".")[0]) for entry in ENTRIES] == list(range(1, len(ENTRIES) + 1))


@pytest.mark.parametrize("entry", ENTRIES, ids=[entry.partition(".")[0] for entry in ENTRIES])
def test_a_fault_is_told_with_what_found_it_what_mended_it_and_tests_that_exist(entry):
    guards = GUARD.findall(entry)
    unknown = [path + name for path, name in guards if not {*name.split("::")[1:]} <= names(path)]

    assert FINDERS.search(entry)
    assert re.search(r"^Fixed in `[0-9a-f]{7,40}`", entry, re.MULTILINE)
    assert guards
    assert unknown == []
