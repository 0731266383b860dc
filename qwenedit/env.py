"""Typed readers of the environment. Every bad value is reported at once, and none is guessed.

Owns reading variables (also from `.env` and from `NAME_FILE`, for secrets mounted as files) and
remembering what was declared, so that docs/configuration.md is generated rather than maintained.
Knows nothing of Django: the local runner reads settings without loading it.
"""

import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import time
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

T = TypeVar("T")

TRUE = {"1", "true", "yes", "on"}
PERIODS = {word for period in ("second", "minute", "hour", "day") for word in (period, period[0])}
FALSE = {"0", "false", "no", "off"}


class BadEnvironment(SystemExit):
    """Some variables can not be read. Ends the start with a list of all of them, without a traceback."""


@dataclass(frozen=True)
class Variable:
    """One declared variable, as docs/configuration.md lists it."""

    name: str
    default: str
    help: str


@dataclass
class Environment:
    """Readers over `source`. Call `check()` once everything has been read."""

    source: Mapping[str, str]
    declared: list[Variable] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)

    def text(self, name: str, default: str = "", help: str = "", *, shown: str | None = None) -> str:
        """Read a string. `shown` is what the documentation prints in place of a computed default."""
        return self._read(name, default, help, str, shown)

    def secret(self, name: str, help: str = "") -> str:
        """Read a string from the variable, or from the file that `NAME_FILE` points to."""
        path = self.source.get(f"{name}_FILE", "").strip()
        if path and not self.source.get(name):
            self.declared.append(Variable(name, "–", help))
            try:
                return Path(path).read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                reason = error.strerror if isinstance(error, OSError) else "it is not text"
                self.problems.append(f"{name}_FILE={path}: the file can not be read ({reason})")
                return ""
        return self._read(name, "", help, str, "–")

    def boolean(self, name: str, default: bool, help: str = "", *, shown: str | None = None) -> bool:  # noqa: FBT001
        """Read true/false, yes/no, on/off or 1/0."""

        def parse(raw: str) -> bool:
            if raw.lower() in TRUE:
                return True
            if raw.lower() in FALSE:
                return False
            raise ValueError("use true or false")

        return self._read(name, default, help, parse, shown or str(default).lower())

    def integer(
        self, name: str, default: int, help: str = "", *, minimum: int = 0, maximum: int | None = None
    ) -> int:
        """Read a whole number within the bounds."""

        def parse(raw: str) -> int:
            try:
                value = int(raw)
            except ValueError:
                raise ValueError("use a whole number") from None
            if value < minimum or (maximum is not None and value > maximum):
                upper = "" if maximum is None else f" and at most {maximum}"
                raise ValueError(f"must be at least {minimum}{upper}")
            return value

        return self._read(name, default, help, parse, None)

    def number(self, name: str, default: float, help: str = "", *, minimum: float = 0) -> float:
        """Read a decimal number, at least `minimum`."""

        def parse(raw: str) -> float:
            try:
                value = float(raw)
            except ValueError:
                raise ValueError("use a number") from None
            if not minimum <= value < float("inf"):
                raise ValueError(f"must be at least {minimum}")
            return value

        return self._read(name, default, help, parse, None)

    def clock(self, name: str, default: str, help: str = "") -> time:
        """Read a time of day such as 20:00 (UTC)."""

        def parse(raw: str) -> time:
            try:
                return time.fromisoformat(raw)
            except ValueError:
                raise ValueError("use a time such as 20:00") from None

        return self._read(name, time.fromisoformat(default), help, parse, default)

    def rate(self, name: str, default: str, help: str = "") -> str:
        """Read a rate such as 5/minute; returned in django-ratelimit's spelling, `5/m`."""

        def parse(raw: str) -> str:
            count, _, period = raw.partition("/")
            if not count.strip().isdecimal() or int(count) < 1 or period.strip().lower() not in PERIODS:
                raise ValueError("use a rate such as 5/minute (second, minute, hour, day)")
            return f"{int(count)}/{period.strip().lower()[0]}"

        return self._read(name, parse(default), help, parse, default)

    def choice(
        self, name: str, default: str, choices: tuple[str, ...], help: str = "", *, shown: str | None = None
    ) -> str:
        """Read one of `choices`."""

        def parse(raw: str) -> str:
            if raw.lower() not in choices:
                raise ValueError("use one of " + ", ".join(choices))
            return raw.lower()

        return self._read(name, default, help, parse, shown)

    def words(self, name: str, default: str = "", help: str = "") -> list[str]:
        """Read a comma-separated list; empty entries are dropped."""
        raw = self._read(name, default, help, str, None)
        return [word.strip() for word in raw.split(",") if word.strip()]

    def url(
        self,
        name: str,
        default: str = "",
        help: str = "",
        *,
        schemes: tuple[str, ...] = ("http", "https"),
        shown: str | None = None,
    ) -> str:
        """Read one address with one of `schemes` and no trailing slash."""
        return self._read(name, default, help, lambda raw: _address(raw, schemes), shown)

    def urls(self, name: str, help: str = "", *, shown: str | None = None) -> list[str]:
        """Read comma-separated http(s) addresses, in order, each once."""

        def parse(raw: str) -> list[str]:
            words = [word.strip() for word in raw.split(",") if word.strip()]
            return list(dict.fromkeys(_address(word, ("http", "https")) for word in words))

        return self._read(name, [], help, parse, shown)

    def check(self) -> None:
        """Stop the start if any variable was bad, naming every one of them."""
        if self.problems:
            lines = "".join(f"\n  {problem}" for problem in self.problems)
            raise BadEnvironment(f"The environment has {len(self.problems)} bad value(s):{lines}")

    def _read(self, name: str, default: T, help: str, parse: Callable[[str], T], shown: str | None) -> T:
        self.declared.append(Variable(name, _shown(default) if shown is None else shown, help))
        raw = self.source.get(name, "").strip()
        if not raw:
            return default
        try:
            return parse(raw)
        except ValueError as error:
            self.problems.append(f"{name}={_redacted(name, raw)}: {error}")
            return default


def read_dotenv(path: Path) -> dict[str, str]:
    """Read `NAME=value` lines; comments, `export` and matching quotes are understood, nothing is expanded."""
    values: dict[str, str] = {}
    if not path.exists():
        return values
    try:
        text = path.read_text(encoding="utf-8-sig")  # some editors put a byte order mark first
    except (OSError, UnicodeDecodeError) as error:
        raise BadEnvironment(f"{path} can not be read: {error}") from None
    for line in text.splitlines():
        name, separator, value = line.strip().removeprefix("export ").partition("=")
        if not separator or name.startswith("#"):
            continue
        value = value.strip()
        if len(value) >= 2 and value[0] == value[-1] and value[0] in "\"'":
            value = value[1:-1]
        else:
            value = value.split(" #", 1)[0].rstrip()
        values[name.strip()] = value
    return values


def load(base: Path) -> Environment:
    """Return the process environment over what `.env` under `base` says: the process wins."""
    return Environment({**read_dotenv(base / ".env"), **os.environ})


def _address(raw: str, schemes: tuple[str, ...]) -> str:
    try:
        parts = urlsplit(raw)
        valid = parts.scheme in schemes and bool(parts.hostname) and parts.port != 0
    except ValueError:
        valid = False
    if not valid:
        raise ValueError("use an address such as " + schemes[0] + "://host:port")
    return raw.rstrip("/")


def _redacted(name: str, raw: str) -> str:
    hidden = any(word in name for word in ("SECRET", "TOKEN", "PASSWORD", "KEY", "DSN")) or "@" in raw
    return "(hidden)" if hidden else raw


def _shown(default: Any) -> str:
    return "–" if default in ("", [], None) else str(default)
