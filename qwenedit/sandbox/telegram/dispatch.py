"""A call of the bot, from its name to the body of its answer.

Owns: the envelope, the journal, and what faults and limits do to a call.
"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from qwenedit.sandbox.telegram.errors import Refusal, error_body
from qwenedit.sandbox.telegram.faults import TOO_MANY_REQUESTS, Fault
from qwenedit.sandbox.telegram.methods import METHODS, NAMES
from qwenedit.sandbox.telegram.methods.common import Said
from qwenedit.sandbox.telegram.parameters import Parameters

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

BAD_GATEWAY = 502
# Methods whose person stands in user_id.
BY_USER = ("refundstarpayment",)


@dataclass(frozen=True)
class Answer:
    """What the bot gets; no `status` closes the connection without an answer."""

    status: int | None
    body: dict[str, Any]


async def perform(sandbox: "Sandbox", name: str, given: Parameters) -> Answer:
    """Carry out a method as the bot called it."""
    method = NAMES.get(name.lower(), name)
    chat_id = _chat_id(given, "user_id" if name.lower() in BY_USER else "chat_id")
    entry = sandbox.journal.add(method, given.readable(), chat_id)
    fault = sandbox.faults.take(method, chat_id)
    if fault is None:
        answer = await _carry_out(sandbox, method, given, chat_id)
    else:
        answer = await _suffer(sandbox, fault, method, given, chat_id)
    sandbox.journal.finish(entry, answer.status, answer.body)
    return answer


async def _carry_out(sandbox: "Sandbox", name: str, given: Parameters, chat_id: int | str | None) -> Answer:
    method = METHODS.get(name.lower())
    if method is None:
        return Answer(404, error_body(404, "Not Found"))
    try:
        if refusal := sandbox.limits.check(name, chat_id):
            raise refusal
        result = await method(sandbox, given)
    except Refusal as refusal:
        return Answer(refusal.code, refusal.body())
    finally:
        sandbox.flush()
    if isinstance(result, Said):
        return Answer(200, {"ok": True, "result": result.result, "description": result.description})
    return Answer(200, {"ok": True, "result": result})


async def _suffer(
    sandbox: "Sandbox", fault: Fault, name: str, given: Parameters, chat_id: int | str | None
) -> Answer:
    done = None
    if fault.processed or not fault.replaces:
        done = await _carry_out(sandbox, name, given, chat_id)
    if fault.delay:
        await asyncio.sleep(fault.delay)
    if fault.drop:
        return Answer(None, {})
    if done is not None and not fault.replaces:
        return done
    retry_after = fault.retry_after if fault.code == TOO_MANY_REQUESTS else None
    return Answer(fault.code, error_body(fault.code, fault.text, retry_after))


def _chat_id(given: Parameters, name: str) -> int | str | None:
    text = given.text(name)
    return int(text) if text.lstrip("-").isdecimal() else text or None
