"""The JetStream stream that holds a log's changes: writing behind a known last message, and reading in order."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.api import DiscardPolicy, RawStreamMsg, RetentionPolicy, StorageType
from nats.js.api import StreamConfig as NatsStreamConfig
from nats.js.errors import APIError, NotFoundError

from common.errors import InvalidInput, Unavailable
from common.logs import get_logger
from common.settings import TlsFiles
from events_service.log.stream_target import StreamTarget
from protos.tailorbird.internal.v1 import log_stream_pb2

__all__ = ["Conflict", "LogStream", "StreamMessage", "StreamState", "Write", "digest"]

_log = get_logger(__name__)
_CONNECT_SECONDS: Final = 5
_RECONNECT_SECONDS: Final = 0.2
_ANSWER_SECONDS: Final = 2.0
_HINT_SECONDS: Final = 2.0
_BATCH_MESSAGES: Final = 128
_EXPECTED_LAST: Final = "Nats-Expected-Last-Sequence"
_WRONG_LAST_SEQUENCE: Final = 10071
_STREAM_NAME_IN_USE: Final = 10058
#: "No suitable peers for placement", and "JetStream system temporarily unavailable": of a cluster that is being formed.
_NOT_YET: Final = frozenset({10005, 10008})
#: "No message found", and "failed to delete" one that is not there.
_NO_MESSAGE: Final = frozenset({10037, 10043, 10057})
_ERASED_AT_A_TIME: Final = 64


@dataclass(frozen=True, slots=True)
class StreamState:
    """The state of a stream.

    Attributes:
        created: When it was made; the name of this stream among those that had its name.
        last: Sequence of the last message that was ever written; 0 for none.
    """

    created: str
    last: int


@dataclass(frozen=True, slots=True)
class StreamMessage:
    """A message as it is in the stream.

    Attributes:
        sequence: Its number.
        message: The change.
    """

    sequence: int
    message: log_stream_pb2.LogMessage


@dataclass(frozen=True, slots=True)
class Write:
    """A message to be written.

    Attributes:
        subject: Behind the stream's name.
        message: The change.
        replaces: Whether the earlier messages of the subject are dropped.
    """

    subject: str
    message: log_stream_pb2.LogMessage
    replaces: bool = False


class Conflict(Exception):
    """Somebody else has written to the stream first: nothing was written."""


class _SecureClient(Client):
    """A client that says nothing to a server that speaks no TLS: the library's goes on in plain text then."""

    def _connect_command(self) -> bytes:
        if not self._server_info.get("tls_required"):
            raise NatsError("the server speaks no TLS, and the URL wants it")
        return super()._connect_command()


class LogStream:
    """A connection to the stream; every method is called on one event loop.

    Args:
        target: Which stream.
        on_reconnect: Called when the connection was lost and is there again.
    """

    def __init__(self, target: StreamTarget, *, on_reconnect: Callable[[], None]) -> None:
        self._target = target
        self._on_reconnect = on_reconnect
        self._is_secure = target.url.startswith("tls:")
        self._client = _SecureClient() if self._is_secure else Client()
        self._last_error: Exception | None = None
        self._has_begun = False
        self._context: JetStreamContext = self._client.jetstream(timeout=_ANSWER_SECONDS)

    @property
    def max_bytes(self) -> int:
        """Size of the largest message that the server takes."""
        return self._client.max_payload

    @property
    def context(self) -> JetStreamContext:
        """The connection's JetStream, for what is beside the stream."""
        return self._context

    async def open(self) -> StreamState:
        """Connect, and make the stream if there is none; errors of `connect` and `ensure`."""
        await self.connect()
        return await self.ensure()

    async def connect(self) -> None:
        """Connect to the server.

        Raises:
            InvalidInput: There are no credentials in their file.
            Unavailable: The server cannot be reached.
        """
        options: dict[str, Any] = {}
        if self._target.credentials_file is not None:
            options["user"], options["password"] = _credentials(self._target.credentials_file)
        if self._is_secure:
            options["tls"] = _tls_context(self._target.tls or TlsFiles())
        self._has_begun = True
        connecting = self._client.connect(
            self._target.url.split(","),
            name="tailorbird events_service",
            connect_timeout=_CONNECT_SECONDS,
            reconnect_time_wait=_RECONNECT_SECONDS,  # type: ignore[arg-type] # it is given to asyncio.sleep
            max_reconnect_attempts=-1,
            allow_reconnect=True,
            error_cb=self._failed,
            reconnected_cb=self._reconnected,
            **options,
        )
        try:
            # It would try for ever.
            await asyncio.wait_for(connecting, self._target.connect_seconds)
        except TimeoutError as error:
            reason = _text(self._last_error or error)
            raise Unavailable(f"event log: {self._target.url} cannot be reached: {reason}") from error
        except (NatsError, OSError) as error:
            raise Unavailable(f"event log: {self._target.url} cannot be reached: {_text(error)}") from error

    async def ensure(self) -> StreamState:
        """Return the state of the stream, which is made if there is none.

        Raises:
            InvalidInput: The server has no JetStream.
            Unavailable: The server does not answer.
        """
        try:
            return await self.state()
        except NotFoundError:
            pass
        config = NatsStreamConfig(
            name=self._target.stream,
            subjects=[f"{self._target.stream}.>"],
            retention=RetentionPolicy.LIMITS,
            storage=StorageType.FILE,
            discard=DiscardPolicy.NEW,
            num_replicas=self._target.replicas,
            allow_rollup_hdrs=True,
        )
        try:
            await self._context.add_stream(config)
        except APIError as error:
            if error.err_code in _NOT_YET:
                raise Unavailable(f"event log: no stream could be made yet: {_text(error)}") from error
            if error.err_code != _STREAM_NAME_IN_USE:
                raise InvalidInput(
                    f"`event_log_url`: got a server that makes no stream ({_text(error)}), want one with JetStream"
                ) from error
        except NatsError as error:
            raise Unavailable(f"event log: no stream could be made: {_text(error)}") from error
        return await self.state()

    async def state(self) -> StreamState:
        """Return the state of the stream.

        Raises:
            NotFoundError: There is no such stream.
            Unavailable: The server does not answer.
        """
        try:
            info = await self._context.stream_info(self._target.stream)
        except NotFoundError:
            raise
        except NatsError as error:
            raise Unavailable(f"event log: the stream cannot be reached: {_text(error)}") from error
        assert info.created is not None
        return StreamState(info.created.isoformat(), info.state.last_seq)

    async def write(self, writes: Sequence[Write], *, after: int) -> tuple[list[int], Exception | None]:
        """Write messages behind a known last one: each only if all before it were written.

        Args:
            writes: In their order.
            after: Sequence of the last message of the stream.

        Returns:
            The sequences of those that were certainly written, and why there are not more: `Conflict` when somebody
            else wrote first, another exception when it is not known whether more were written.
        """
        written: list[int] = []
        for write in writes:
            # One after another: if somebody else took the first one's place, the second one would fit behind that.
            try:
                written.append(await self._publish(write, after=written[-1] if written else after))
            except (NatsError, OSError) as error:
                return written, _write_error(error)
        return written, None

    async def next_after(self, sequence: int) -> StreamMessage | None:
        """Return the first message behind a sequence; None when there is none. Errors of `read`."""
        return await self._get(sequence + 1, is_first=True)

    async def read(self, after: int, *, last: int) -> list[StreamMessage]:
        """Return the next messages behind a sequence; an empty list when there are none up to `last`.

        Messages are asked for by their numbers: in nats-server 2.9 a consumer passes over messages when a subject is
        purged or rolled up.

        Raises:
            Unavailable: The server does not answer.
        """
        first = await self.next_after(after)
        if first is None:
            return []
        numbers = range(first.sequence + 1, min(last, first.sequence + _BATCH_MESSAGES) + 1)
        others = await asyncio.gather(*(self._get(number) for number in numbers))
        return [first, *(item for item in others if item is not None)]

    async def last_of(self, subject: str) -> StreamMessage | None:
        """Return the last message of a subject; None for none. Errors of `read`."""
        try:
            raw = await self._context.get_last_msg(self._target.stream, f"{self._target.stream}.{subject}")
        except NotFoundError:
            return None
        except NatsError as error:
            raise _unreadable(error) from error
        return _message(raw)

    async def hints(self) -> AsyncIterator[int]:
        """Yield the sequences that messages will have which anybody is writing just now; 0 after a while without."""
        subscription = await self._client.subscribe(f"{self._target.stream}.>")
        while True:
            try:
                message = await subscription.next_msg(timeout=_HINT_SECONDS)
            except NatsError:
                yield 0
                # A connection that is closed for good would spin here.
                await asyncio.sleep(_RECONNECT_SECONDS)
            else:
                yield int((message.headers or {}).get(_EXPECTED_LAST, "-1")) + 1

    async def clear(self) -> None:
        """Remove all messages; the numbers go on. Errors as of `state`."""
        try:
            await self._context.purge_stream(self._target.stream)
        except NatsError as error:
            raise Unavailable(f"event log: the stream could not be emptied: {_text(error)}") from error

    async def purge(self, subject: str, *, up_to: int | None = None, keep: int | None = None) -> None:
        """Remove the messages of a subject, up to a sequence, or all but the newest; errors as of `state`."""
        try:
            await self._context.purge_stream(
                self._target.stream,
                subject=f"{self._target.stream}.{subject}",
                seq=None if up_to is None else up_to + 1,
                keep=keep,
            )
        except NatsError as error:
            raise Unavailable(f"event log: nothing could be removed from the stream: {_text(error)}") from error

    async def erase(self, sequences: Sequence[int]) -> None:
        """Overwrite messages in the server's files and remove them; a purge leaves the bytes. Errors as of `state`."""
        for start in range(0, len(sequences), _ERASED_AT_A_TIME):
            part = sequences[start : start + _ERASED_AT_A_TIME]
            results = await asyncio.gather(
                *(self._context.delete_msg(self._target.stream, sequence) for sequence in part), return_exceptions=True
            )
            for result in results:
                if isinstance(result, APIError) and result.err_code in _NO_MESSAGE:
                    continue  # it is gone
                if isinstance(result, NatsError):
                    raise Unavailable(
                        f"event log: nothing could be erased from the stream: {_text(result)}"
                    ) from result
                if isinstance(result, BaseException):
                    raise result

    async def close(self) -> None:
        """Close the connection."""
        if self._has_begun:  # a client that never was asked to connect fails at that
            await self._client.close()

    async def _get(self, sequence: int, *, is_first: bool = False) -> StreamMessage | None:
        """Return the message with a sequence, or the first one from there on; None when there is none."""
        subject = f"{self._target.stream}.>" if is_first else None
        try:
            raw = await self._context.get_msg(self._target.stream, seq=sequence, subject=subject, next=is_first)
        except NotFoundError:
            return None
        except NatsError as error:
            raise _unreadable(error) from error
        return _message(raw)

    async def _publish(self, write: Write, *, after: int) -> int:
        headers = {"Nats-Expected-Stream": self._target.stream, _EXPECTED_LAST: str(after)}
        if write.replaces:
            headers["Nats-Rollup"] = "sub"
        payload = write.message.SerializeToString()
        ack = await self._context.publish(f"{self._target.stream}.{write.subject}", payload, headers=headers)
        return ack.seq

    async def _failed(self, error: Exception) -> None:
        self._last_error = error
        _log.debug("nats_error", message=_text(error))

    async def _reconnected(self) -> None:
        self._on_reconnect()


def digest(text: str) -> str:
    """Return a part of a subject that stands for any text."""
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _message(raw: RawStreamMsg) -> StreamMessage:
    assert raw.seq is not None
    return StreamMessage(raw.seq, log_stream_pb2.LogMessage.FromString(raw.data or b""))


def _unreadable(error: Exception) -> Unavailable:
    return Unavailable(f"event log: the stream cannot be read: {_text(error)}")


def _write_error(error: Exception) -> Exception:
    if isinstance(error, APIError) and error.err_code == _WRONG_LAST_SEQUENCE:
        return Conflict()
    return Unavailable(
        f"event log: got no acknowledgement ({_text(error)}); records may or may not be kept, so repeat the call: "
        "what is kept already is not added again"
    )


def _text(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _credentials(file: Path) -> tuple[str, str]:
    user, separator, password = file.read_text().strip().partition(":")
    if not separator:
        raise InvalidInput(f"`event_log_credentials_file`: got {file} without a colon, want one line, USER:PASSWORD")
    return user, password


def _tls_context(files: TlsFiles) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=files.ca_file)
    if files.cert_file is not None:
        context.load_cert_chain(files.cert_file, files.key_file)
    return context
