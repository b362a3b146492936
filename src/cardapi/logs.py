"""Logs: one event a line, as text for people or as JSON for programs, and nothing in them that nobody may read (A6).

What may be printed is said by type. A number, a truth value and a text are printed, a text without the numbers of cards and
telephones in it; of everything else, a `Secret` and a `Pin` included, only the name of its type. An error of our own says its
detail; of any other only its type and place are told, since its words may quote what a request held.
"""

from __future__ import annotations

import logging
import re
import sys
import time
import traceback
from collections.abc import Iterator
from typing import Any, Literal, TextIO

import msgspec

from cardapi.ids import is_card_number
from cardcore.errors import CardcoreError

Format = Literal["text", "json"]
FRAMES_MAX = 12
_NAMES = frozenset({"client", "code", "operation"})  # our own words and slugs of the registry
_DIGITS = re.compile(r"(?<![0-9A-Za-z])[0-9]{8,32}(?![0-9A-Za-z])")
_PHONE = re.compile(r"(86)?1[3-9][0-9]{9}")
_encode = msgspec.json.Encoder().encode


def event(logger: logging.Logger, level: int, name: str, /, **facts: object) -> None:
    """Log an event with its facts."""
    if logger.isEnabledFor(level):
        logger.log(level, name, extra={"facts": facts})


def set_up(how: Format, stream: TextIO | None = None) -> None:
    """Make the process log so, to standard error unless told otherwise."""
    handler = logging.StreamHandler(stream) if stream is not None else _Stderr()
    handler.setFormatter(JsonLines() if how == "json" else TextLines())
    logging.basicConfig(level=logging.INFO, handlers=[handler], force=True)


class _Stderr(logging.StreamHandler[TextIO]):
    """Writes to what standard error is at that moment."""

    def __init__(self) -> None:
        logging.Handler.__init__(self)

    @property
    def stream(self) -> TextIO:  # type: ignore[override]  # it is nobody's to set
        return sys.stderr


class JsonLines(logging.Formatter):
    """`{"time": ..., "level": ..., "event": ..., ...}`"""

    def format(self, record: logging.LogRecord) -> str:
        return _encode(dict(_told(record))).decode()


class TextLines(logging.Formatter):
    """`<time> <level> <event> name=value ...`; a value with a blank or a quote in it is JSON."""

    def format(self, record: logging.LogRecord) -> str:
        told = dict(_told(record))
        words = [str(told.pop(name)) for name in ("time", "level", "event")]
        error = told.pop("error", None)
        words += [f"{name}={_word(value)}" for name, value in told.items()]
        if error is not None:
            words.append(f"error={error['type']} {error['detail']}".rstrip())
            words += [f"\n  at {place}" for place in error["at"]]
        return " ".join(words).replace(" \n", "\n")


def _word(value: object) -> str:
    text = str(value)
    return text if re.fullmatch(r"[!#-~]+", text) else _encode(text).decode()


def _told(record: logging.LogRecord) -> Iterator[tuple[str, Any]]:
    """What a line says, in order."""
    yield "time", time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created)) + f".{int(record.msecs):03d}Z"
    yield "level", record.levelname.lower()
    yield "event", scrubbed(record.getMessage())
    yield "logger", record.name
    for name, value in getattr(record, "facts", {}).items():
        yield name, value if name in _NAMES and isinstance(value, str) else shown(value)
    if record.exc_info and record.exc_info[1] is not None:
        yield "error", _error(record.exc_info[1])


def shown(value: object) -> object:
    """What may be printed of a value."""
    if value is None or isinstance(value, (bool, int, float)):
        return value
    return scrubbed(value) if isinstance(value, str) else f"<{type(value).__name__}>"


def scrubbed(text: str) -> str:
    """A text of one line, without numbers of cards (8 to 32 digits that end in their Luhn check digit) and of mobile telephones."""
    return _DIGITS.sub(_masked, text).replace("\n", " ").replace("\r", " ")


def _masked(found: re.Match[str]) -> str:
    digits = found[0]
    return "*" * (len(digits) - 4) + digits[-4:] if _PHONE.fullmatch(digits) or is_card_number(digits) else digits


def _error(error: BaseException) -> dict[str, Any]:
    frames = traceback.extract_tb(error.__traceback__)[-FRAMES_MAX:]
    detail = scrubbed(error.detail) if isinstance(error, CardcoreError) else ""
    return {"type": type(error).__name__, "detail": detail, "at": [f"{frame.filename}:{frame.lineno} {frame.name}" for frame in frames]}
