"""The methods of the Bot API, by subject; `METHODS` names them all.

    common      what they share: which chat, which message, what comes along
    receiving   getUpdates and webhooks                 messages   texts, copies, deletions, chat actions
    media       photos, documents, albums, files        edits      changes of messages
    callbacks   answers to buttons and inline queries   payments   Telegram Stars
    profile     names, commands, the menu button        members    chats and those in them

A method is a coroutine that takes the sandbox and the parameters, and returns the result as JSON types or as
`common.Said`. It raises Refusal for what Telegram would refuse.
"""

from qwenedit.sandbox.telegram.methods import (
    callbacks,
    edits,
    media,
    members,
    messages,
    payments,
    profile,
    receiving,
)
from qwenedit.sandbox.telegram.methods.common import Method

_PARTS = (receiving, messages, media, edits, callbacks, payments, profile, members)
# Telegram does not mind the case of a method's name.
METHODS: dict[str, Method] = {
    name.lower(): method for part in _PARTS for name, method in part.METHODS.items()
}
NAMES: dict[str, str] = {name.lower(): name for part in _PARTS for name in part.METHODS}
