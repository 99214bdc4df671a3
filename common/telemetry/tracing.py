"""Traces: which call belongs to which request, and how long its steps took. Null objects where tracing is off.

The span of the call that is being served is bound to the task or thread that serves it, like its request id. A step
names itself by `with span("filters"):`, which costs next to nothing where no trace is made, and outgoing calls carry
`traceparent()` in their metadata, as the W3C has it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from contextvars import ContextVar, Token
from typing import Final, Protocol

__all__ = ["NO_TRACER", "TRACEPARENT", "Span", "Tracer", "bind", "bound", "span", "traceparent", "unbind"]

#: Name of the header and of the metadata that carry a trace from one process to another.
TRACEPARENT: Final = "traceparent"
_NOTHING: Final = nullcontext()


class Span(Protocol):
    """A stretch of time within a trace."""

    @property
    def traceparent(self) -> str:
        """What tells another process of it; empty for no trace."""
        ...

    def child(self, name: str) -> Span:
        """Begin a span within this one."""
        ...

    def end(self, *, error: str = "", **attributes: str) -> None:
        """End it.

        Args:
            error: What went wrong inside of the service; empty for nothing.
            attributes: Facts, none about a user.
        """


class Tracer(Protocol):
    """Makes spans that lie in no other of this process."""

    def begin(self, name: str, *, parent: str = "", serves: bool = False) -> Span:
        """Begin a span.

        Args:
            name: One of few.
            parent: The `traceparent` of the caller; a new trace begins where it is empty or malformed.
            serves: Whether it is a request from another process.
        """
        ...

    def close(self) -> None:
        """Send what is not sent yet, for a bounded time."""


class _NoSpan:
    traceparent = ""

    def child(self, name: str) -> Span:  # noqa: ARG002 - the interface's signature
        """Return nothing."""
        return self

    def end(self, *, error: str = "", **attributes: str) -> None:
        """Do nothing."""


class _NoTracer:
    def __init__(self) -> None:
        self._nothing = _NoSpan()

    def begin(self, name: str, *, parent: str = "", serves: bool = False) -> Span:  # noqa: ARG002 - the interface's
        """Return nothing."""
        return self._nothing

    def close(self) -> None:
        """Do nothing."""


NO_TRACER: Final[Tracer] = _NoTracer()
_current: ContextVar[Span | None] = ContextVar("span", default=None)


def bind(current: Span) -> Token[Span | None]:
    """Make a span that of the present task or thread; return what `unbind` needs."""
    return _current.set(current)


def unbind(token: Token[Span | None]) -> None:
    """Undo `bind`, in the same task or thread."""
    _current.reset(token)


@contextmanager
def bound(current: Span) -> Iterator[None]:
    """Make a span that of the block, and end it with the block; an exception is its error."""
    token, error = bind(current), ""
    try:
        yield
    except BaseException as raised:
        error = type(raised).__name__
        raise
    finally:
        unbind(token)
        current.end(error=error)


def span(name: str) -> AbstractContextManager[None]:
    """Return a step of what is being served, as a context; nothing where no trace is made."""
    current = _current.get()
    return _NOTHING if current is None else bound(current.child(name))


def traceparent() -> str:
    """Return what an outgoing call carries; empty where there is no trace."""
    current = _current.get()
    return "" if current is None else current.traceparent
