"""Ids of recommendations, which say under a secret key which campaign or recommender answered, and when.

An id has the form of a random UUID. Of its 122 free bits 20 are the hour, 40 the first bits of
HMAC-SHA256(key, hour, random bits, ARN), and 62 are random. Whoever has the key and the ARNs that come into question
finds the one that answered; for everybody else the ids cannot be guessed. So no table of answers is shared between the
processes that answer and those that count. A guessed id is taken for one of an ARN with a probability of 2^-40; of 3.6
million ids that an ARN gives in an hour two are equal with a probability of about 10^-6.
"""

from __future__ import annotations

import hashlib
import hmac
import struct
import uuid
from collections.abc import Iterable
from datetime import timedelta
from pathlib import Path
from typing import Final

from common.errors import InvalidInput
from common.master_keys import MasterKeyFile, MasterKeys
from common.random_blocks import random_block
from common.settings import AttributionSettings

__all__ = ["RecommendationIds", "recommendation_ids", "recommendation_keys"]

_PREFIX: Final = "RID-"
_HOUR_SECONDS: Final = 3600
_RANDOM_BITS: Final = 62
#: Random bits of an id's head, where there is no key, lie above these of a block.
_BELOW_HEAD: Final = 68
_TAG_BYTES: Final = 5
_SIGNED: Final = struct.Struct(">IQ")
_MASK: Final = (1 << _RANDOM_BITS) - 1
#: Clocks of two hosts may differ by as much, and so does the moment of an answer from its hour.
_TOLERANCE_HOURS: Final = 1


def recommendation_keys(path: Path | None) -> MasterKeys | None:
    """Return the keys of a file; None without a file.

    Raises:
        InvalidInput: The file is missing, malformed, or can be read by others.
        Unavailable: It cannot be read.
    """
    if path is None:
        return None
    keys = MasterKeyFile(path).read()
    if keys is None:
        raise InvalidInput(f"`recommendation_key_file`: got {path}, which does not exist, want a file with a key")
    return keys


def recommendation_ids(settings: AttributionSettings) -> RecommendationIds:
    """Return what resolves ids of recommendations by a process's settings; errors of `recommendation_keys`."""
    valid = timedelta(hours=settings.recommendation_hours)
    return RecommendationIds(recommendation_keys(settings.recommendation_key_file), valid=valid)


class RecommendationIds:
    """Makes ids, and finds what they are of.

    Args:
        keys: The first makes ids, all are tried to find what one is of; None makes ids of which nothing can be found.
        valid: How long after the answer an id is resolved.
    """

    def __init__(self, keys: MasterKeys | None, *, valid: timedelta = timedelta(days=1)) -> None:
        # Not the keys themselves: the same bytes may encrypt something elsewhere.
        self._keys = [] if keys is None else [_derived(key.key_bytes) for key in keys.keys]
        self.valid = valid

    def make(self, arn: str, *, now: float) -> str:
        """Return a new id.

        Args:
            arn: Of what answers.
            now: Seconds since 1970.
        """
        drawn = int.from_bytes(random_block())
        number = drawn & _MASK
        if self._keys:
            hour = int(now) // _HOUR_SECONDS
            head = hour << 40 | int.from_bytes(_tag(self._keys[0], hour, number, arn))
        else:
            head = drawn >> _BELOW_HEAD
        # The version and the variant of a random UUID lie between. Written here: `uuid.UUID` takes 3 us more.
        text = f"{head >> 12 << 80 | 4 << 76 | (head & 0xFFF) << 64 | 2 << 62 | number:032x}"
        return f"{_PREFIX}{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"

    def resolve(self, recommendation_id: str, arns: Iterable[str], *, at: float) -> str | None:
        """Return which of some ARNs an id is of; None when it is of none of them, or too old.

        Args:
            recommendation_id: As an event carries it.
            arns: What may have answered.
            at: When it is referred to, in seconds since 1970.
        """
        try:
            number = uuid.UUID(recommendation_id.removeprefix(_PREFIX)).int
        except ValueError:
            return None
        head = number >> 80 << 12 | number >> 64 & 0xFFF
        hour, tag = head >> 40, (head & (1 << 40) - 1).to_bytes(_TAG_BYTES)
        age_hours = at / _HOUR_SECONDS - hour
        if not -_TOLERANCE_HOURS <= age_hours <= self.valid.total_seconds() / _HOUR_SECONDS + _TOLERANCE_HOURS:
            return None
        for arn in arns:
            if any(hmac.compare_digest(tag, _tag(key, hour, number & _MASK, arn)) for key in self._keys):
                return arn
        return None


def _derived(key: bytes) -> bytes:
    return hmac.digest(key, b"tailorbird recommendation ids", hashlib.sha256)


def _tag(key: bytes, hour: int, number: int, arn: str) -> bytes:
    return hmac.digest(key, _SIGNED.pack(hour, number) + arn.encode(), hashlib.sha256)[:_TAG_BYTES]
