"""Log lines on their way out."""

import io
import logging

from qwenedit.logs import ROWS_AT_ONCE, RowsHandler


class Stream(io.StringIO):
    """Remembers what it was given in one piece."""

    def __init__(self) -> None:
        super().__init__()
        self.pieces: list[str] = []

    def write(self, text: str) -> int:
        self.pieces.append(text)
        return len(text)


class Lines(logging.Formatter):
    """A line for each row."""

    def format(self, record: logging.LogRecord) -> str:
        assert isinstance(record.msg, dict)
        return "\n".join(f"row {row}" for row in record.msg["rows"])


def handler_of(stream: Stream) -> RowsHandler:
    handler = RowsHandler(stream)
    handler.setFormatter(Lines())
    return handler


def test_many_rows_are_written_a_few_whole_lines_at_a_time() -> None:
    stream = Stream()
    handler_of(stream).emit(logging.makeLogRecord({"msg": {"rows": range(2 * ROWS_AT_ONCE + 3)}}))

    assert [piece.count("\n") for piece in stream.pieces] == [ROWS_AT_ONCE, ROWS_AT_ONCE, 3]
    assert all(piece.endswith("\n") for piece in stream.pieces)
    assert "".join(stream.pieces).splitlines() == [f"row {row}" for row in range(2 * ROWS_AT_ONCE + 3)]


def test_rows_that_can_not_be_written_are_reported_and_stop_nobody() -> None:
    reported: list[logging.LogRecord] = []
    handler = handler_of(Stream())
    handler.handleError = reported.append  # type: ignore[method-assign]
    record = logging.makeLogRecord({"msg": {"rows": None}})

    handler.emit(record)

    assert reported == [record]
