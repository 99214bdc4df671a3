"""Files are read within bounds, and every value's line is known."""

import pytest
import yaml
from hypothesis import example, given
from hypothesis import strategies as st

from cli.declaration.document import dump_yaml, place_text, read_document
from common.errors import InvalidInput


@pytest.fixture
def read(tmp_path):
    def from_text(text, name="file.yaml"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_document(path)

    return from_text


def test_plain_words_are_those_of_yaml_1_2(read):
    document = read("a: no\nb: on\nc: 2024-01-01\nd: 012\ne: 1e3\nf: null\ng: ~\nh:\ni: true\nj: 1_000\nk: .5\n")
    assert document.data == {
        "a": "no", "b": "on", "c": "2024-01-01", "d": 12, "e": 1000.0, "f": None, "g": None, "h": None, "i": True,
        "j": "1_000", "k": 0.5,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("text", "name"),
    [("a:\n  - b: 1\n    c: 2\n", "file.yaml"), ('{"a":\n\t[{"b": 1,\n"c": 2}]}', "file.json")],
)
def test_every_value_has_its_line(read, text, name):
    document = read(text, name)
    assert document.data == {"a": [{"b": 1, "c": 2}]}
    assert document.where(("a", 0, "b")) == "a[0].b (line 2)"
    assert document.where(("a", 0, "c")) == "a[0].c (line 3)"
    # What is missing is where the rest is.
    assert document.where(("a", 0, "d")) == "a[0].d (line 2)"


def test_aliases_are_expanded(read):
    assert read("a: &x {b: 1}\nc: *x\n").data == {"a": {"b": 1}, "c": {"b": 1}}


BOMB = "a: &a [x]\n" + "".join(
    f"{name}: &{name} [{', '.join([f'*{before}'] * 12)}]\n" for before, name in zip("abcdefg", "bcdefgh", strict=True)
)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        (BOMB, "more values"),
        ("a: &a [*a]\n", "deeper nesting"),
        ("[" * 5000, "deeper nesting"),
        ("x: " + "[" * 60 + "]" * 60, "deeper nesting"),
        ("a: 1\na: 2\n", "got 'a twice'"),
        ("a: !!python/object/apply:os.system [ls]\n", "want no tag"),
        ("a: !!python/name:os.system\n", "want no tag"),
        ("? [a]\n: 1\n", "a key that is a list"),
        ("a: [1\n", "line 2"),
        ("a: 9999999999999999999\n", "64 bits"),
        ("a: " + "9" * 5000, "want a number"),
        ("a: 1e999\n", "finite"),
        (b"\xff\xfe\x00", "cannot be read"),
        ('a: "\\ud800"\n', "Unicode"),
        ('a: "\\U00110000"\n', "too large a number|escape code|version number"),
        ('a: "\\UFFFFFFFF"\n', "too large a number|escape code|version number"),
        ("%YAML 1." + "9" * 5000 + "\n--- a\n", "too large a number|escape code|version number"),
        ("#" * (1 << 20) + "\n", "at most 1,048,576 bytes"),
    ],
    ids=range(18),
)
def test_hostile_files_are_refused(read, text, problem):
    with pytest.raises(InvalidInput, match=problem):
        read(text)


def test_json_is_read_as_json(read):
    assert read('{"a": "\\ud83d\\ude00", "b": 1e3}', "file.json").data == {"a": "😀", "b": 1000.0}
    with pytest.raises(InvalidInput, match="line 1"):
        read("{a: 1}", "file.json")
    with pytest.raises(InvalidInput, match="got 'a twice'"):
        read('{"a": 1, "a": 2}', "file.json")


def test_a_file_that_is_missing_is_refused(tmp_path):
    with pytest.raises(InvalidInput, match="cannot be read"):
        read_document(tmp_path / "none.yaml")


TEXT = st.text(st.characters(codec="utf-8") | st.sampled_from("\t\n\r\x85\u2028\u2029\ufeff"))
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**63 - 1) | TEXT,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abc-no1.", min_size=1), inner, max_size=3),
    max_leaves=10,
)


@given(value=VALUES)
@example(value="@a\x85b")
def test_what_is_written_is_read_back_by_both_versions_of_yaml(tmp_path_factory, value):
    text = dump_yaml({"value": value})
    path = tmp_path_factory.mktemp("dumped") / "file.yaml"
    path.write_text(text)
    assert read_document(path).data == {"value": value} == yaml.safe_load(text)


def test_places_are_written_as_people_write_them():
    assert place_text(("a", "b", 0, "c")) == "a.b[0].c"
    assert place_text(()) == "file"


def test_a_list_that_is_too_long_is_refused_before_it_is_built(read, monkeypatch):
    """Building takes ten times as long as reading, and a megabyte may hold half a million values."""
    built = []
    compose = yaml.compose
    monkeypatch.setattr(yaml, "compose", lambda *arguments, **named: built.append(1) or compose(*arguments, **named))

    with pytest.raises(InvalidInput, match="more values, counting each alias', want at most 100,000"):
        read("[" + "a," * 300_000 + "]")

    assert built == []
    assert read("[a]").data == ["a"]
    assert built == [1]
