"""Maps string ids to the dense indexes that arrays are addressed by, and back, in memory-mapped files.

A look-up hashes the id, finds the hash by bisection in a sorted array and compares the actual bytes. So a process opens
a vocabulary of millions of ids at once, shares its pages with other processes, and looks an id up in microseconds.
"""

from __future__ import annotations

import hashlib
from bisect import bisect_left
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import orjson
from numpy.typing import NDArray

from common.arrays import create_array, map_array
from common.errors import CorruptArtifact, invalid

__all__ = ["Vocabulary"]

_PARTS = ("bytes", "offsets", "hashes", "order")
#: Ids whose bytes are compared at a time, and written at a time.
_COMPARED = 1 << 16
_WRITTEN = 1 << 14
#: Signs of JSON; what comes before the blank is escaped.
_QUOTE, _BACKSLASH, _COMMA, _FIRST_PLAIN = ord('"'), ord("\\"), ord(","), ord(" ")


class Vocabulary:
    """An immutable two-way map between unique string ids and the indexes 0 .. n - 1.

    Build one with `Vocabulary.build`, or open a saved one with `Vocabulary.load`; the constructor does not check
    its arrays.

    Args:
        text: uint8 [total], the UTF-8 bytes of all ids, in index order.
        offsets: int64 [n + 1], where each id begins in `text`.
        hashes: uint64 [n], the hashes of the ids, ascending.
        order: int32 [n], the index that each hash belongs to.
    """

    def __init__(
        self,
        text: NDArray[np.uint8],
        *,
        offsets: NDArray[np.int64],
        hashes: NDArray[np.uint64],
        order: NDArray[np.int32],
    ) -> None:
        self._text = text
        self._offsets = offsets
        self._hashes = hashes
        self._order = order
        # Single elements of arrays are many times as slow to read as those of memory views.
        self._hash_view, self._order_view, self._offset_view = hashes.data, order.data, offsets.data

    @classmethod
    def build(cls, ids: Iterable[str]) -> Vocabulary:
        """Build a vocabulary in which each id has the index of its position in `ids`.

        Raises:
            InvalidInput: An id occurs twice, or is not valid Unicode.
        """
        encoded = [_encode(identifier) for identifier in ids]
        lengths = np.fromiter((len(key) for key in encoded), np.int64, len(encoded))
        offsets = np.zeros(len(encoded) + 1, np.int64)
        np.cumsum(lengths, out=offsets[1:])
        unordered = np.fromiter((_hash(key) for key in encoded), np.uint64, len(encoded))
        order = np.argsort(unordered, kind="stable").astype(np.int32)
        hashes = unordered[order]
        for place in np.flatnonzero(hashes[1:] == hashes[:-1]):
            # Equal hashes are either one id twice or a collision; the bytes decide.
            for other in range(int(place) + 1, len(hashes)):
                if hashes[other] != hashes[place]:
                    break
                if encoded[order[place]] == encoded[order[other]]:
                    raise invalid("ids", got=encoded[order[place]].decode(), want="each id once")
        text = np.frombuffer(b"".join(encoded), np.uint8)
        return cls(text, offsets=offsets, hashes=hashes, order=order)

    def __len__(self) -> int:
        return len(self._order)

    def index(self, identifier: str) -> int | None:
        """Return the index of an id, or None for an unknown one."""
        key = identifier.encode(errors="surrogatepass")
        digest = _hash(key)
        return self._resolve(key, digest, bisect_left(self._hash_view, digest))

    def indexes(self, ids: Iterable[str]) -> NDArray[np.int32]:
        """Return the indexes of many ids.

        Returns:
            int32 [number of ids], -1 where an id is unknown.
        """
        keys = [identifier.encode(errors="surrogatepass") for identifier in ids]
        digests = np.fromiter((_hash(key) for key in keys), np.uint64, len(keys))
        places = self._hashes.searchsorted(digests)
        indexes = np.full(len(keys), -1, np.int32)
        for row, (key, digest, place) in enumerate(zip(keys, digests.tolist(), places.tolist(), strict=True)):
            index = self._resolve(key, digest, place)
            if index is not None:
                indexes[row] = index
        return indexes

    def indexes_of(self, vocabulary: Vocabulary) -> NDArray[np.int32]:
        """Return the index of each id of another vocabulary.

        Returns:
            int32 [ids of the other one], -1 where an id is unknown.
        """
        if not len(self):
            return np.full(len(vocabulary), -1, np.int32)
        if self._begins_with(vocabulary):  # a catalogue's ids and its model's often are the same
            return np.arange(len(vocabulary), dtype=np.int32)
        # In the order of their hashes, so that what is looked up one after the other lies side by side.
        places = np.minimum(self._hashes.searchsorted(vocabulary._hashes), len(self) - 1)
        indexes = np.empty(len(vocabulary), np.int32)
        indexes[vocabulary._order] = np.where(
            self._hashes[places] == vocabulary._hashes, self._order[places], np.int32(-1)
        )
        for begin in range(0, len(indexes), _COMPARED):
            theirs = begin + np.flatnonzero(indexes[begin : begin + _COMPARED] >= 0)
            for other in theirs[~self._equal(indexes[theirs], vocabulary, theirs)]:
                # Different ids of one hash: the right one may be among others that have it.
                index = self.index(vocabulary.id(int(other)))
                indexes[other] = -1 if index is None else index
        return indexes

    def id(self, index: int) -> str:
        """Return the id at an index.

        Raises:
            IndexError: The index is not one of 0 .. n - 1.
        """
        if not 0 <= index < len(self):
            raise IndexError(f"`index`: got {index}, want 0 to {len(self) - 1}")
        return self._bytes_at(index).decode()

    def ids(self, indexes: Iterable[int]) -> list[str]:
        """Return the ids at many indexes; raises as `id` does."""
        return [self.id(int(index)) for index in indexes]

    def json(self, indexes: NDArray[np.int32]) -> bytes:
        """Return the ids at many indexes, each in the range, as a JSON list in UTF-8.

        Some are written at a time, so that beside the list memory is bounded.
        """
        parts = [self._json(indexes[begin : begin + _WRITTEN]) for begin in range(0, len(indexes), _WRITTEN)]
        return b"[" + b",".join(parts) + b"]"

    def keys(self) -> NDArray[np.uint64]:
        """Return the hash of each id: uint64 [n], by index. It depends on nothing but the id."""
        keys = np.empty(len(self), np.uint64)
        keys[self._order] = self._hashes
        return keys

    def save(self, folder: Path, name: str) -> None:
        """Write `<name>.bytes.npy` and its three siblings into an existing folder."""
        arrays: tuple[NDArray[Any], ...] = (self._text, self._offsets, self._hashes, self._order)
        for part, array in zip(_PARTS, arrays, strict=True):
            np.save(folder / f"{name}.{part}.npy", array, allow_pickle=False)

    @staticmethod
    def write(folder: Path, name: str, batches: Iterable[Sequence[str]], *, count: int, size: int) -> None:
        """Write what `build` and `save` would, without holding the ids: 24 bytes of memory for each.

        Args:
            folder: Existing.
            name: As of `save`.
            batches: The ids, valid Unicode and all different, which is not checked.
            count: How many there are.
            size: Bytes of all ids in UTF-8.
        """
        text = create_array(folder, f"{name}.bytes", np.uint8, size)
        offsets = create_array(folder, f"{name}.offsets", np.int64, count + 1)
        unordered = np.empty(count, np.uint64)
        offsets[0] = place = end = 0
        for batch in batches:
            encoded = [identifier.encode() for identifier in batch]
            begin, place = place, place + len(encoded)
            lengths = np.fromiter((len(key) for key in encoded), np.int64, len(encoded))
            np.cumsum(lengths, out=offsets[begin + 1 : place + 1])
            offsets[begin + 1 : place + 1] += end
            unordered[begin:place] = np.fromiter((_hash(key) for key in encoded), np.uint64, len(encoded))
            joined = b"".join(encoded)
            text[end : end + len(joined)] = np.frombuffer(joined, np.uint8)
            end += len(joined)
        assert (place, end) == (count, size), "ids were counted before"
        order = np.argsort(unordered, kind="stable")
        np.save(folder / f"{name}.hashes.npy", unordered[order], allow_pickle=False)
        np.save(folder / f"{name}.order.npy", order.astype(np.int32), allow_pickle=False)

    @classmethod
    def load(cls, folder: Path, name: str) -> Vocabulary:
        """Map a saved vocabulary; its pages are read when they are first needed.

        Raises:
            CorruptArtifact: A file is missing or unreadable, or the files do not belong together.
        """
        text, offsets, hashes, order = (_map(folder / f"{name}.{part}.npy") for part in _PARTS)
        types = [array.dtype.name for array in (text, offsets, hashes, order)]
        if types != ["uint8", "int64", "uint64", "int32"]:
            raise CorruptArtifact(f"vocabulary `{name}`: got types {types}, want uint8, int64, uint64 and int32")
        if not len(offsets) == len(hashes) + 1 == len(order) + 1 or int(offsets[-1]) != len(text):
            raise CorruptArtifact(f"vocabulary `{name}`: got files of different vocabularies, want one's")
        return cls(text, offsets=offsets, hashes=hashes, order=order)

    def _json(self, indexes: NDArray[np.int32]) -> bytes:
        """Return ids, at least one, as the inside of a JSON list: `"a","b"`."""
        begins = self._offsets[indexes]
        lengths = self._offsets[indexes + 1] - begins
        ends = np.cumsum(lengths + 3)  # two quotes and a comma
        firsts = ends - lengths - 2
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        text = self._text[np.repeat(begins, lengths) + within]
        if ((text < _FIRST_PLAIN) | (text == _QUOTE) | (text == _BACKSLASH)).any():
            return orjson.dumps(self.ids(indexes.tolist()))[1:-1]
        written = np.full(int(ends[-1]), _QUOTE, np.uint8)
        written[np.repeat(firsts, lengths) + within] = text
        written[ends - 1] = _COMMA
        return written[:-1].tobytes()

    def _begins_with(self, vocabulary: Vocabulary) -> bool:
        """Return whether the first ids are all those of another vocabulary, in their order."""
        size, length = len(vocabulary), len(vocabulary._text)
        return (
            np.array_equal(self._offsets[: size + 1], vocabulary._offsets)
            and np.array_equal(self._text[:length], vocabulary._text)
        )  # fmt: skip

    def _equal(
        self, indexes: NDArray[np.int32], vocabulary: Vocabulary, others: NDArray[np.int64]
    ) -> NDArray[np.bool_]:
        """Return which ids are those of another vocabulary: bool [n].

        Args:
            indexes: int32 [n], here.
            vocabulary: The other one.
            others: int64 [n], there.
        """
        begins, their_begins = self._offsets[indexes], vocabulary._offsets[others]
        lengths = self._offsets[indexes + 1] - begins
        equal: NDArray[np.bool_] = lengths == vocabulary._offsets[others + 1] - their_begins
        lengths = np.where(equal, lengths, 0)
        ends = np.cumsum(lengths)
        within = np.arange(ends[-1] if len(ends) else 0) - np.repeat(ends - lengths, lengths)
        here = self._text[np.repeat(begins, lengths) + within]
        there = vocabulary._text[np.repeat(their_begins, lengths) + within]
        equal[np.searchsorted(ends, np.flatnonzero(here != there), side="right")] = False
        return equal

    def _resolve(self, key: bytes, digest: int, place: int) -> int | None:
        hashes = self._hash_view
        while place < len(hashes) and hashes[place] == digest:
            index = self._order_view[place]
            if self._bytes_at(index) == key:
                return index
            place += 1
        return None

    def _bytes_at(self, index: int) -> bytes:
        return self._text[self._offset_view[index] : self._offset_view[index + 1]].tobytes()


def _encode(identifier: str) -> bytes:
    try:
        return identifier.encode()
    except UnicodeEncodeError as error:
        raise invalid("ids", got=identifier, want="text without unpaired surrogates") from error


def _hash(key: bytes) -> int:
    return int.from_bytes(hashlib.blake2b(key, digest_size=8).digest(), "little")


def _map(path: Path) -> NDArray[Any]:
    try:
        return map_array(path)
    except (OSError, ValueError) as error:
        raise CorruptArtifact(f"vocabulary file {path.name}: {error}") from error
