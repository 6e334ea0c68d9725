"""Logging: structlog, one line per event, for people on a terminal and as JSON elsewhere.

Event names are snake_case in the past tense, values are fields, ids not objects, and never a
prompt, an answer, a token or a key. Libraries' own records pass through the same renderer.
"""

import logging
import re
import sys
from typing import Literal

import structlog
from structlog.types import EventDict, Processor, WrappedLogger

LogFormat = Literal["auto", "console", "json"]

_SECRET_QUERY = re.compile(r"((?:^|[?&\s])(?:token|ticket)=)[^&\s\"']+")
_SECRET_HEADER = re.compile(r"(?i)((?:bearer|x-api-key:?)\s+)[A-Za-z0-9._~+/=-]{8,}")


def redact(text: str) -> str:
    """Blank out what looks like a token in a query string or a header."""
    return _SECRET_HEADER.sub(r"\1[redacted]", _SECRET_QUERY.sub(r"\1[redacted]", text))


def _redact_values(_: WrappedLogger, __: str, event: EventDict) -> EventDict:
    for key, value in event.items():
        if isinstance(value, str):
            event[key] = redact(value)
    return event


def configure_logging(*, log_format: LogFormat = "auto", level: str = "INFO") -> None:
    """Set up structlog and the standard library's root logger to write to standard error.

    Args:
        log_format: `json` for machines, `console` for people, `auto` by whether it is a terminal.
        level: the lowest level that is written, a name such as `INFO`.
    """
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
        _redact_values,
    ]
    renderer: Processor = (
        structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    )
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            structlog.stdlib.PositionalArgumentsFormatter(),
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=True,
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[structlog.stdlib.ExtraAdder(), *shared],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(level)
    for noisy in ("uvicorn.access", "aiohttp.access", "sqlalchemy.engine"):
        logging.getLogger(noisy).setLevel(logging.WARNING)
