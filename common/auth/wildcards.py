"""Patterns in which `*` stands for any characters and `?` for one, matched without ever going back.

A pattern is an automaton whose states are the bits of one integer: every character of a text is looked at once, and
costs a shift and two ands, whatever the pattern is.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Wildcards"]


@dataclass(frozen=True, slots=True)
class _Automaton:
    """One pattern.

    State `i` means that the first `i` characters of the pattern, stars aside, have been met.

    Attributes:
        by_character: The states that a character leads into.
        by_any: The states that every character leads into: those behind a `?`.
        loops: The states that every character stays in: those before a `*`.
        accepts: The last state.
    """

    by_character: dict[str, int]
    by_any: int
    loops: int
    accepts: int

    @classmethod
    def compile(cls, pattern: str) -> _Automaton:
        by_character: dict[str, int] = {}
        by_any = loops = 0
        state = 1
        for character in pattern:
            if character == "*":
                loops |= state
                continue
            state <<= 1
            if character == "?":
                by_any |= state
            else:
                by_character[character] = by_character.get(character, 0) | state
        return cls(by_character, by_any, loops, state)

    def match(self, text: str) -> bool:
        states = 1
        for character in text:
            states = states << 1 & (self.by_character.get(character, 0) | self.by_any) | states & self.loops
            if not states:
                return False
        return bool(states & self.accepts)


class Wildcards:
    """Several patterns, of which one has to match.

    Args:
        patterns: The patterns.
    """

    def __init__(self, patterns: Iterable[str]) -> None:
        self._automata = [_Automaton.compile(pattern) for pattern in patterns]

    def match(self, text: str) -> bool:
        """Return whether a pattern matches the whole text."""
        return any(automaton.match(text) for automaton in self._automata)
