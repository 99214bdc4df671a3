"""Positions in the event log, which can be compared even after the log was replaced, or restored from a backup.

An offset alone does not identify the log: a log that was restored uses the offsets after the backup a second time. So
each opening of a log that is written to begins an epoch, whose number is random, and a position is an epoch and an
offset. A log's lineage is the list of its epochs: a position is on it up to where its epoch ended, and one of an epoch
that the lineage does not have is not on it at all. (Kafka calls this a leader epoch.) As text it is `EPOCH:OFFSET`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Self

from common.errors import invalid

__all__ = ["LEGACY_EPOCH", "START", "Epoch", "Lineage", "Position"]

#: The epoch of everything that was written before there were epochs.
LEGACY_EPOCH: Final = 0
_TEXT: Final = re.compile(r"(\d{1,19}):(\d{1,19})", re.ASCII)


@dataclass(frozen=True, slots=True)
class Position:
    """A position in a log.

    Attributes:
        epoch: The epoch in which the event at the offset was appended.
        offset: From 1 on; 0 is the position before the first event.
    """

    epoch: int
    offset: int

    def __str__(self) -> str:
        """Return the text that `parse` reads."""
        return f"{self.epoch}:{self.offset}"

    @classmethod
    def parse(cls, text: str, *, field: str) -> Self:
        """Read a position that a caller sends.

        Args:
            text: `EPOCH:OFFSET`.
            field: What the caller sent it as, for the error.

        Raises:
            InvalidInput: It is no position.
        """
        match = _TEXT.fullmatch(text)
        if match is None:
            raise invalid(field, got=text, want="EPOCH:OFFSET, as an acknowledgement of the events service has it")
        return cls(int(match[1]), int(match[2]))


#: The position before every event of every log.
START: Final = Position(LEGACY_EPOCH, 0)


@dataclass(frozen=True, slots=True)
class Epoch:
    """Consecutive offsets of a log, which end where the next epoch begins.

    Attributes:
        epoch: Random; `LEGACY_EPOCH` for what is older than epochs.
        first_offset: Its first offset.
    """

    epoch: int
    first_offset: int


class Lineage:
    """The epochs of one log; never changed.

    Args:
        epochs: In rising order of their first offsets.
    """

    def __init__(self, epochs: Iterable[Epoch] = ()) -> None:
        self._epochs = tuple(epochs)
        ends = [item.first_offset - 1 for item in self._epochs[1:]]
        #: The last offset of each epoch; the current one has no end.
        self._ends: dict[int, int | None] = dict(
            zip((item.epoch for item in self._epochs), [*ends, None], strict=False)
        )

    @classmethod
    def legacy(cls) -> Lineage:
        """Return the lineage of a log without epochs."""
        return cls([Epoch(LEGACY_EPOCH, 1)])

    def __iter__(self) -> Iterator[Epoch]:
        """Iterate over the epochs, oldest first."""
        return iter(self._epochs)

    def __eq__(self, other: object) -> bool:
        """Return whether two lineages have the same epochs."""
        return isinstance(other, Lineage) and self._epochs == other._epochs

    def __hash__(self) -> int:
        """Return a hash of the epochs."""
        return hash(self._epochs)

    @property
    def current(self) -> int:
        """The epoch of the newest event; `LEGACY_EPOCH` while there was none."""
        return self._epochs[-1].epoch if self._epochs else LEGACY_EPOCH

    def at(self, offset: int) -> Position:
        """Return the position of an offset of this log."""
        for item in reversed(self._epochs):
            if item.first_offset <= offset:
                return Position(item.epoch, offset)
        return Position(LEGACY_EPOCH, offset)

    def shared(self, position: Position) -> int:
        """Return up to which offset this log has the same events as the log of a position; 0 for none."""
        if position.epoch not in self._ends:
            return 0
        end = self._ends[position.epoch]
        return position.offset if end is None else min(position.offset, end)

    def has(self, position: Position) -> bool:
        """Return whether all events up to a position are the same in this log."""
        return position.offset <= 0 or self.shared(position) == position.offset
