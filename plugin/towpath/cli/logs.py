"""The log of the long-running processes: one line for each event on stderr, including those of libraries."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import MutableMapping
from enum import StrEnum
from functools import lru_cache
from typing import Any, BinaryIO, cast

import msgspec
import structlog

from towpath.serving.log_writer import LogWriter

# Twice as fast as the standard library: the webhook logs a line for each request.
_encode = msgspec.json.Encoder(enc_hook=repr).encode


class LogFormat(StrEnum):
    """The format of log lines."""

    JSON = "json"
    TEXT = "text"


def log_as(log_format: LogFormat) -> None:
    """Set up logging for this process and its libraries. A line that cannot be written is dropped
    (``LogWriter``).

    Call it before gRPC is imported: gRPC writes lines about lost connections and failed handshakes to stderr
    itself."""
    os.environ.setdefault("GRPC_VERBOSITY", "ERROR")  # set it to see them
    renderers: list[structlog.typing.Processor] = [_as_json]
    if log_format is LogFormat.TEXT:
        renderers = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty()), _encoded]
    writer = cast("BinaryIO", LogWriter(sys.stderr.fileno()))
    structlog.configure(
        processors=[
            structlog.processors.add_log_level,
            _stamped,
            structlog.processors.format_exc_info,
            *renderers,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.BytesLoggerFactory(writer),
        cache_logger_on_first_use=True,
    )
    logging.basicConfig(level=logging.WARNING, handlers=[_ToStructlog()], force=True)


def _stamped(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    """Add the time in RFC 3339 and UTC. The stamper of structlog takes a third of the time of a line."""
    second, of_second = divmod(time.time(), 1)
    event["timestamp"] = f"{_second(int(second))}.{int(of_second * 1_000_000):06d}Z"
    return event


@lru_cache(maxsize=1)
def _second(since_1970: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(since_1970))


def _as_json(_logger: object, _method: str, event: MutableMapping[str, Any]) -> bytes:
    return _encode(event)


def _encoded(_logger: object, _method: str, line: Any) -> bytes:
    return str(line).encode(errors="backslashreplace")


class _ToStructlog(logging.Handler):
    """Forwards the log records of libraries: uvicorn, asyncio, grpc."""

    def emit(self, record: logging.LogRecord) -> None:
        structlog.get_logger().log(
            record.levelno, record.getMessage().strip(), logger=record.name, exc_info=record.exc_info
        )
