"""Draws that depend on a line alone: whatever process answers it, beside whatever else, and however often."""

from __future__ import annotations

import hashlib
from typing import Final

import numpy as np

__all__ = ["LineRandom"]

_KEY_BYTES: Final = 16
_FRACTION_BYTES: Final = 8


class LineRandom:
    """A source of random numbers that begins anew with each line.

    Args:
        salt: Of all lines; another one gives other numbers.

    Attributes:
        generator: The source.
    """

    def __init__(self, salt: str) -> None:
        self._salt = hashlib.blake2b(salt.encode(), digest_size=_KEY_BYTES).digest()
        self._bits = np.random.Philox(key=0)
        #: The state of a generator that nothing was drawn from, but for its key.
        self._begin = self._bits.state
        self.generator = np.random.Generator(self._bits)
        self.begin("")

    def begin(self, text: str) -> None:
        """Begin anew for what a line is about, e.g. its user."""
        self._begin["state"]["key"] = np.frombuffer(self._digest(text)[:_KEY_BYTES], np.uint64)
        self._bits.state = self._begin

    def fraction(self, text: str) -> float:
        """Draw a number from 0 to 1, 1 excluded, for what a line is about, at less cost than `begin` has."""
        return int.from_bytes(self._digest(text)[_KEY_BYTES:]) / 2.0 ** (8 * _FRACTION_BYTES)

    def _digest(self, text: str) -> bytes:
        size = _KEY_BYTES + _FRACTION_BYTES
        return hashlib.blake2b(text.encode(errors="surrogatepass"), digest_size=size, key=self._salt).digest()
