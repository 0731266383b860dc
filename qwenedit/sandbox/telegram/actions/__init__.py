"""The actions of POST /sandbox/act, by subject, each a coroutine that takes the sandbox; see `act`."""

from collections.abc import Awaitable, Callable
from typing import Any

Answer = dict[str, Any]
Action = Callable[..., Awaitable[Answer]]
