"""Patterns with `*` and `?`, compared with the plainest implementation there is."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from common.auth.wildcards import Wildcards


def matches(pattern, text):
    """Say whether a pattern matches, by trying everything."""
    if not pattern:
        return not text
    if pattern[0] == "*":
        return any(matches(pattern[1:], text[index:]) for index in range(len(text) + 1))
    return bool(text) and pattern[0] in ("?", text[0]) and matches(pattern[1:], text[1:])


@given(st.text("ab*?", max_size=7), st.text("abc*", max_size=8))
def test_patterns_match_what_they_say(pattern, text):
    assert Wildcards([pattern]).match(text) == matches(pattern, text)


@pytest.mark.parametrize(
    ("patterns", "expected"), [([], False), (["a"], False), (["a", "b*"], True), (["é?*"], False), (["bc"], True)]
)
def test_one_of_several_has_to_match(patterns, expected):
    assert Wildcards(patterns).match("bc") is expected


def test_every_character_is_looked_at_once():
    """What sends matchers that go back into minutes or hours."""

    class CountedText(str):
        __slots__ = ("count",)

        def __iter__(self):
            self.count = 0
            for character in super().__iter__():
                self.count += 1
                yield character

    text = CountedText("a" * 5000)

    assert not Wildcards(["*a" * 1000 + "*b"]).match(text)
    assert text.count == 5000
    assert Wildcards(["*a?" * 300 + "*"]).match(text)
    assert text.count == 5000
