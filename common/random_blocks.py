"""Random bytes for ids, fetched from the system for hundreds of ids at a time: each call makes some."""

from __future__ import annotations

import os
import struct
from typing import Final

__all__ = ["random_block"]

_BLOCK: Final = struct.Struct("16s")
#: Fetched at a time.
_FETCHED_BYTES: Final = 4096


class _Blocks:
    """Blocks that were fetched and not given out yet.

    Taking one is one step of the interpreter, so no two threads get the same; a forked child has none of its parent's.
    """

    def __init__(self) -> None:
        self.forget()
        os.register_at_fork(after_in_child=self.forget)

    def forget(self) -> None:
        self._rest = _BLOCK.iter_unpack(b"")

    def take(self) -> bytes:
        while True:
            for (block,) in self._rest:
                return bytes(block)
            self._rest = _BLOCK.iter_unpack(os.urandom(_FETCHED_BYTES))


_BLOCKS: Final = _Blocks()


def random_block() -> bytes:
    """Return 16 bytes from the system's source of random numbers, fit for secrets, that nobody else gets."""
    return _BLOCKS.take()
