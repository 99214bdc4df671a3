"""Identifiers keep to docs/glossary.md; its tables are the list, so that page and test cannot drift apart."""

import ast
import re
from fnmatch import fnmatchcase
from pathlib import Path

import pytest

from tests.architecture.test_tree import ROOT, tracked

GLOSSARY = ROOT / "docs" / "glossary.md"


def rows(heading):
    """Each row of the table below a heading, as the list of its cells."""
    section = re.split(rf"^#+ {heading}$", GLOSSARY.read_text(), flags=re.MULTILINE)[1]
    section = re.split(r"^#", section, flags=re.MULTILINE)[0]
    lines = [line for line in section.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines[2:]]


def spelled(cell):
    return re.findall(r"`([^`]+)`", cell)


def is_below(path, folders):
    return any(path == folder or path.startswith(f"{folder}/") for folder in folders)


def identifiers(tree):
    """Line and name of everything that a module names itself: what it only uses, others have named."""
    for node in ast.walk(tree):
        match node:
            case ast.FunctionDef() | ast.AsyncFunctionDef() | ast.ClassDef():
                yield node.lineno, node.name
            case ast.arg():
                yield node.lineno, node.arg
            case ast.Name(ctx=ast.Store()):
                yield node.lineno, node.id
            case ast.Attribute(ctx=ast.Store()):
                yield node.lineno, node.attr
            case ast.ExceptHandler(name=str(name)) | ast.MatchAs(name=str(name)) | ast.MatchStar(name=str(name)):
                yield node.lineno, name
            case ast.MatchMapping(rest=str(name)):
                yield node.lineno, name
            case ast.alias(asname=str(name)):
                yield node.lineno, name


def is_banned(name, path, banned, exceptions):
    return any(
        fnmatchcase(name, pattern) and (not folders or is_below(path, folders)) for pattern, folders in banned
    ) and not any(name == excepted and is_below(path, folders) for excepted, folders in exceptions)


def offences(path, source, banned, exceptions):
    """Banned names of one file and of the folders it lies in, as `path:line name`."""
    parts = [part.strip("_") for part in (*Path(path).parent.parts, Path(path).stem)]
    modules = [(1, name) for part in parts for name in (part, f"{part}.py")]
    named = [(line, name.strip("_")) for line, name in identifiers(ast.parse(source))]
    return [f"{path}:{line} {name}" for line, name in modules + named if is_banned(name, path, banned, exceptions)]


@pytest.fixture(scope="module")
def banned():
    return [(pattern, spelled(where)) for names, _, where in rows("Banned identifiers") for pattern in spelled(names)]


@pytest.fixture(scope="module")
def exceptions():
    return [(name, spelled(where)) for names, where, _ in rows("Exceptions") for name in spelled(names)]


def test_identifiers_keep_to_the_glossary(banned, exceptions):
    files = {str(path.relative_to(ROOT)): path for path in tracked("*.py") if "/migrations/" not in str(path)}
    assert len(files) > 300
    listed = [
        offence
        for name, path in sorted(files.items())
        for offence in offences(name, path.read_text(), banned, exceptions)
    ]
    assert not listed, "\n".join(["docs/glossary.md has better names than these:", *listed])


def test_banned_names_are_read_from_the_page(banned):
    patterns = dict(banned)
    assert patterns["known"] == []
    assert patterns["catalogue"] == ["control_plane", "tests/control_plane"]
    assert len(patterns) == len(banned) > 100


@pytest.mark.parametrize(
    ("path", "source", "names"),
    [
        ("cli/app.py", "def known(): pass", ["known"]),
        ("cli/app.py", "def check(*, wanted_items, _told=0): pass", ["told"]),
        ("cli/app.py", "self._waiting = found.pop()", ["waiting"]),
        ("cli/app.py", "for own, (asked, n) in pairs: pass", ["own", "asked"]),
        ("cli/app.py", "try: pass\nexcept OSError as refusal: pass", ["refusal"]),
        ("cli/app.py", "class RuntimeFollower: pass", ["RuntimeFollower"]),
        ("cli/app.py", "import numpy as gate", ["gate"]),
        (
            "cli/app.py",
            "match told():\n    case {'a': wanted, **known}: pass\n    case [*own]: pass",
            ["own", "known", "wanted"],
        ),
        ("cli/screen.py", "frames = 1", ["screen.py"]),
        ("recipes/training/_pace.py", "", ["pace"]),
        ("recipes/hrnn/fit.py", "", ["hrnn.py"]),
        ("control_plane/server.py", "catalogue = open()", ["catalogue"]),
        ("trainer/training/loading.py", "catalogue = open()", []),
    ],
)
def test_banned_names_are_seen(banned, exceptions, path, source, names):
    seen = [offence.split()[-1] for offence in offences(path, source, banned, exceptions)]
    assert sorted(seen) == sorted(names)


def test_terms_of_the_page_are_names_in_the_code():
    meanings = GLOSSARY.read_text().split("## Banned identifiers")[0]
    terms = [term for line in meanings.splitlines() if line.startswith("|") for term in spelled(line.split("|")[1])]
    names = {
        name for path in tracked("*.py") for _, name in identifiers(ast.parse(path.read_text(encoding="utf-8")))
    } | {path.stem for path in tracked("*.py")}
    assert len(terms) > 30
    # Event types and names of recipes are data.
    assert [term for term in terms if term.isidentifier() and term not in names] == []


def test_an_exception_holds_only_where_it_is_made(banned, exceptions):
    source = "def Watch(self): pass"
    assert offences("common/rpc/health.py", source, banned, exceptions) == []
    assert offences("trainer/worker/loop.py", source, banned, exceptions) == ["trainer/worker/loop.py:1 Watch"]


def test_every_exception_is_needed(exceptions):
    texts = {str(path.relative_to(ROOT)): path.read_text() for path in tracked("*.py")}
    assert [
        (name, folder)
        for name, folders in exceptions
        for folder in folders
        if not any(re.search(rf"\b{name}\b", text) for path, text in texts.items() if is_below(path, [folder]))
    ] == []
