"""Structured logs: one line an event, text in development, JSON in production, one request id throughout.

`report()` writes the lines that operators' scripts rely on: a sentence with its fields in the text,
and the same fields apart where the line is JSON. Secrets never reach a logger.
"""

import logging
import re
from collections.abc import Sequence
from operator import itemgetter
from typing import Any

import structlog

# Keys that the middleware binds and that only repeat what the line says; kept in JSON, dropped from text.
QUIET_IN_TEXT = ("ip", "user_agent", "request", "user_id", "task_id", "parent_task_id")

ROWS_OF_AN_EVENT = 500  # rendered as one line, and filled in for each
ROWS_AT_ONCE = 10  # some three kilobytes: one write that lines of other processes can not get into
STAND_IN = 7_046_029_254_386_353_000  # a number that nothing else in a line is
A_STAND_IN = re.compile(f"{str(STAND_IN)[:-2]}([0-9]{{2}})")


class RowsHandler(logging.StreamHandler):
    """Writes the lines of an event with `rows` a few at a time, anything else as always."""

    def emit(self, record: logging.LogRecord) -> None:
        """Write the event. A failure to do so is reported, never raised."""
        if not isinstance(record.msg, dict) or "rows" not in record.msg:
            super().emit(record)
            return
        try:
            lines = self.format(record).split("\n")
            for start in range(0, len(lines), ROWS_AT_ONCE):
                self.stream.write("\n".join([*lines[start : start + ROWS_AT_ONCE], ""]))
                self.flush()
        except Exception:
            self.handleError(record)


def configuration(line_format: str, level: str) -> dict[str, Any]:
    """Return Django's LOGGING for `line_format` (`text` or `json`), and configure structlog to feed it."""
    shared: list[Any] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.stdlib.PositionalArgumentsFormatter(),
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    structlog.configure(
        processors=[
            structlog.stdlib.filter_by_level,
            *shared,
            structlog.stdlib.ProcessorFormatter.wrap_for_formatter,
        ],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.stdlib.BoundLogger,
        cache_logger_on_first_use=True,
    )
    renderers: list[Any] = (
        [
            _without_marks,
            structlog.processors.format_exc_info,
            structlog.processors.JSONRenderer(ensure_ascii=False, default=str),
        ]
        if line_format == "json"
        else [_as_text]
    )
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "formatters": {
            "line": {
                "()": structlog.stdlib.ProcessorFormatter,
                "foreign_pre_chain": shared,
                "processors": [
                    structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                    *renderers[:-1],
                    _line_for_each_row(renderers[-1]),
                ],
            }
        },
        "handlers": {"stderr": {"()": RowsHandler, "formatter": "line"}},
        "root": {"handlers": ["stderr"], "level": level.upper()},
        "loggers": {
            # Django's own handler would print every line a second time.
            "django": {"handlers": [], "level": "INFO", "propagate": True},
            "django.request": {"level": "ERROR"},  # a client's mistake is the client's news
            "uvicorn.access": {"level": "WARNING"},  # the middleware's own line says more
            "django_structlog": {
                "level": "ERROR" if level != "debug" else "DEBUG"
            },  # says what our own lines say
            "celery.worker.strategy": {"level": "WARNING"},
            "celery.app.trace": {"level": "WARNING"},
            "celery.beat": {"level": "WARNING"},
            "kombu": {"level": "WARNING"},
            "PIL": {"level": "WARNING"},
            "httpx": {"level": "WARNING"},  # it writes every address out, and Telegram's hold the token
            "telegram.request": {"level": "CRITICAL"},  # its exceptions say as much
        },
    }


def report(logger: Any, sentence: str, fields: dict[str, Any], *, level: str = "info", **extra: Any) -> None:
    """Log `sentence: name=value, …`, with the same fields apart for JSON. `extra` appears in JSON alone.

    A value that carries a unit is given as text (`"100 rubles"`); the line's words are a contract. So is
    `credited 1000 points`, the one field that is written without its equals sign.
    """
    getattr(logger, level)(_reported(sentence, fields), reported=True, **fields, **extra)


def each(place: int) -> int:
    """Return what stands for the number at `place` of each row, in the fields of `report_each`."""
    return STAND_IN + place


def report_each(
    logger: Any, sentence: str, fields: dict[str, Any], rows: Sequence[tuple[int, ...]], **extra: Any
) -> None:
    """Log what `report()` would for each of `rows`, whose numbers `fields` and `extra` name by `each()`.

    It costs a thirtieth: many rows are one event, of which one line is rendered, and filled in for each.
    """
    event = _reported(sentence, fields)
    for start in range(0, len(rows), ROWS_OF_AN_EVENT):
        logger.info(event, reported=True, rows=rows[start : start + ROWS_OF_AN_EVENT], **fields, **extra)


def _reported(sentence: str, fields: dict[str, Any]) -> str:
    words = (f"{name} {value}" if name == "credited" else f"{name}={value}" for name, value in fields.items())
    return f"{sentence}: {', '.join(words)}"


def _line_for_each_row(render: Any) -> Any:
    """Return a renderer that makes one event with `rows` into as many lines, each as if it came alone."""

    def rendered(logger: Any, name: str, event: dict[str, Any]) -> str:
        rows = event.pop("rows", None)
        line = str(render(logger, name, event))
        if rows is None:
            return line
        parts = A_STAND_IN.split(line)  # by turns the line's own text, and the place of a number
        template = "%d".join(part.replace("%", "%%") for part in parts[::2])
        numbers = itemgetter(*map(int, parts[1::2]))
        return "\n".join(map(template.__mod__, map(numbers, rows)))

    return rendered


def _without_marks(_logger: Any, _name: str, event: dict[str, Any]) -> dict[str, Any]:
    event.pop("reported", None)
    return event


def _as_text(_logger: Any, _name: str, event: dict[str, Any]) -> str:
    time = str(event.pop("timestamp", ""))[11:23]
    level = str(event.pop("level", "")).upper()
    name = str(event.pop("logger", ""))
    text = str(event.pop("event", ""))
    failure = event.pop("exc_info", None)
    request_id = event.pop("request_id", None)
    if event.pop("reported", False):
        event = {}
    fields = "".join(f" {key}={value}" for key, value in event.items() if key not in QUIET_IN_TEXT)
    line = f"{time} {level:<7} {name}: {text}{fields}"
    if request_id:
        line += f" [{str(request_id)[:8]}]"
    if failure:
        trace: dict[str, Any] = {"exc_info": failure}
        line += "\n" + str(structlog.processors.format_exc_info(None, "", trace).get("exception", ""))
    return line
