"""Tokens that are revoked before they expire: listed in one small file next to the public key.

Verifiers check the file's state at most once a second and read it when it was replaced, so that a token is rejected
everywhere within seconds, without a call.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Final

from common.clock import Clock, SystemClock
from common.errors import InvalidInput, Unavailable, invalid
from common.logs import get_logger
from common.private_files import replace_private
from common.process.file_lock import hold_writer_lock

__all__ = ["Revocations", "Revoked"]

_FORMAT_VERSION = 1
_CHECK_SECONDS: Final = 1.0
_log = get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Revoked:
    """What is revoked.

    Attributes:
        tokens: By token id, when the token expires, in seconds since 1970-01-01 UTC; then its entry is not needed.
        subjects: By subject, the time, in seconds since 1970-01-01 UTC, up to which issued tokens are revoked.
    """

    tokens: Mapping[str, float] = field(default_factory=dict)
    subjects: Mapping[str, float] = field(default_factory=dict)


class Revocations:
    """The revoked tokens in one file; safe to share between threads, and between processes by the file's lock.

    Args:
        path: The file. It need not exist: no file means that nothing is revoked.
        clock: Source of the present time.
        monotonic: Seconds of a clock that never jumps.

    Raises:
        InvalidInput: The file exists and cannot be parsed.
        Unavailable: It cannot be read.
    """

    #: Its name in the folder of the public key.
    FILE_NAME: ClassVar[str] = "revoked.json"

    def __init__(
        self, path: Path, *, clock: Clock | None = None, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        self._path = path
        self._clock = clock or SystemClock()
        self._monotonic = monotonic
        self._lock = threading.Lock()
        self._stamp: tuple[int, ...] | None = _stamp(path)
        self._revoked = _read(path)
        self._checked_seconds = monotonic()
        self._is_failing = False

    def current(self) -> Revoked:
        """Return what is revoked, at most a second old.

        A file that becomes unreadable while the process runs changes nothing, and is logged: to fail requests, or to
        accept revoked tokens, would be worse.
        """
        now = self._monotonic()
        if now - self._checked_seconds >= _CHECK_SECONDS:
            with self._lock:
                self._reload(now)
        return self._revoked

    def revoke_token(self, token_id: str, *, ends_at: float) -> None:
        """Revoke one token.

        Args:
            token_id: Its `jti`.
            ends_at: When it expires, or later, in seconds since 1970-01-01 UTC.

        Raises:
            InvalidInput: The id is empty, or the file cannot be parsed.
            Unavailable: The file cannot be written.
        """
        if not token_id:
            raise invalid("token-id", got=token_id, want="the id of a token")
        self._update(lambda revoked: Revoked({**revoked.tokens, token_id: ends_at}, revoked.subjects))

    def revoke_subject(self, subject: str) -> None:
        """Revoke all tokens of a subject that were issued until now; later ones are valid. Errors as `revoke_token`."""
        if not subject:
            raise invalid("subject", got=subject, want="whose tokens to refuse")
        now = self._clock.now().timestamp()
        self._update(lambda revoked: Revoked(revoked.tokens, {**revoked.subjects, subject: now}))

    def _reload(self, now: float) -> None:
        self._checked_seconds = now
        try:
            stamp = _stamp(self._path)
            if stamp != self._stamp:
                self._revoked = _read(self._path)
                self._stamp = stamp
        except (InvalidInput, Unavailable) as error:
            # The stamp is not updated, so the next check tries again: too many open files, say, is transient.
            if not self._is_failing:
                _log.error("revocations_unreadable", message=error.message)
            self._is_failing = True
        else:
            self._is_failing = False

    def _update(self, edit: Callable[[Revoked], Revoked]) -> None:
        now = self._clock.now().timestamp()
        try:
            with hold_writer_lock(self._path):
                updated = edit(_read(self._path))
                document = {
                    "version": _FORMAT_VERSION,
                    "tokens": {key: ends for key, ends in updated.tokens.items() if ends > now},
                    "subjects": dict(updated.subjects),
                }
                replace_private(self._path, json.dumps(document, indent=2))
        except OSError as error:
            raise Unavailable(f"revocations: {self._path} cannot be written: {error.strerror}") from error
        self._checked_seconds = float("-inf")


def _stamp(path: Path) -> tuple[int, ...] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise Unavailable(f"revocations: {path} cannot be read: {error.strerror}") from error
    return status.st_ino, status.st_mtime_ns, status.st_size


def _read(path: Path) -> Revoked:
    try:
        document: Any = json.loads(path.read_text())
        if document["version"] != _FORMAT_VERSION:
            raise ValueError(document["version"])
        return Revoked(
            {str(key): float(value) for key, value in document["tokens"].items()},
            {str(key): float(value) for key, value in document["subjects"].items()},
        )
    except FileNotFoundError:
        return Revoked()
    except OSError as error:
        raise Unavailable(f"revocations: {path} cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidInput(
            f"revocations: got {path}, which cannot be understood ({type(error).__name__}), want a file written by "
            "`tailorbird keys revoke-token`"
        ) from error
