"""Structured logs: one event name and fields, with the id of the request that caused it.

Every process calls `configure_logging` once, from its `__main__`. Lines go to standard error, as JSON or as
aligned text. User ids are personal data and stay out of INFO and above.
"""

from __future__ import annotations

import logging
import sys
from contextvars import ContextVar
from typing import Any, Final, Literal, TextIO

import structlog

__all__ = ["configure_logging", "get_logger", "request_id"]

#: Id of the request being served in this thread or task; empty outside of one.
request_id: ContextVar[str] = ContextVar("request_id", default="")

#: One list for the life of the process: loggers that have been used keep it, so a later configuration reaches them too.
_PROCESSORS: Final[list[structlog.typing.Processor]] = []
_REDACTED = frozenset(
    {"authorization", "token", "secret", "password", "secret_access_key", "lease_token", "private_key", "master_key"}
)


def _add_request_id(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    if (current := request_id.get()) and "request_id" not in event:
        event["request_id"] = current
    return event


def _redact(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
    for key in event:
        if key.lower() in _REDACTED:
            event[key] = "***"
    return event


def configure_logging(
    service: str, *, level: str = "INFO", form: Literal["json", "text"] = "json", stream: TextIO | None = None
) -> None:
    """Send this process's logs to `stream` (standard error by default).

    Args:
        service: Name of the process, on every line.
        level: Lowest level that is written: DEBUG, INFO, WARNING or ERROR.
        form: `json` for machines, `text` for a person at a terminal.
        stream: Where to write.
    """

    def add_service(_: Any, __: str, event: structlog.typing.EventDict) -> structlog.typing.EventDict:
        event["service"] = service
        return event

    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        add_service,
        _add_request_id,
        _redact,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    last: structlog.typing.Processor = (
        structlog.processors.JSONRenderer() if form == "json" else structlog.dev.ConsoleRenderer(colors=False)
    )
    # Libraries log through the standard library; they get the same form.
    formatter = structlog.stdlib.ProcessorFormatter(
        foreign_pre_chain=shared,
        processors=[
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.format_exc_info,
            last,
        ],
    )
    handler = logging.StreamHandler(stream or sys.stderr)
    handler.setFormatter(formatter)
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    _PROCESSORS[:] = [
        structlog.stdlib.filter_by_level,
        *shared,
        structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
    ]
    structlog.configure(
        processors=_PROCESSORS,
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )


def get_logger(name: str) -> structlog.stdlib.BoundLogger:
    """Return the logger of a module; pass `__name__`."""
    logger: structlog.stdlib.BoundLogger = structlog.stdlib.get_logger(name)
    return logger
