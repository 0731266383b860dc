"""What people do in their Telegram app, and what only a stand-in can do: POST /sandbox/act.

Owns: the list of actions, and the check of their arguments. The body is a JSON object of `action` and its
arguments; the answer is a JSON object, or 400 with {"error": …}. A person who is named for the first time is
created. `user_id` is that of a person, whose chat with the bot has the same number. A message has the number
of the event that brought it, so `after` takes either.

People:

    user            [user_id: drawn] [first_name] [last_name] [username] [language_code]
                    creates or changes a person -> the User object
    block, unblock  user_id: the bot hears of it by my_chat_member; what it sends then gets 403

Writing; the answer is {"message_id", "update_id"}; no update_id if the bot did not ask for such updates:

    message         user_id, text [reply_to]; commands, links and so on become entities
    photo           user_id, data (base64 of JPEG, PNG or WEBP) [caption] [reply_to]
                    turned upright, re-encoded to JPEG of long sides 90, 320, 800 and 1280, without EXIF
    document        user_id, data or size, file_name [mime_type] [caption] [reply_to]
                    `size` makes a file of so many zero bytes
    album           user_id, items: [{data, [caption], [as_document], [file_name]} …] [caption]
                    -> {"message_ids", "update_ids", "media_group_id"}
    sticker, voice, video, animation, video_note, audio
                    user_id [data] [caption] [duration] [file_name]
    contact         user_id [phone_number] [first_name]
    location        user_id [latitude] [longitude]
    poll            user_id [question] [options]
    dice            user_id [emoji] [value]
    edit            user_id, message_id, text (of a photo: its caption): an edited_message
    press           user_id, label: a button of the reply keyboard, which sends its text
    group           user_id, text [chat_id]: a message in a group of bot and people, titled "Group"
    delete_message  user_id, message_id [for: both]: the message is gone; no update tells the bot

Buttons and payments:

    tap             user_id, label or data [message_id: the newest that has it] [as_user] [times: 1]
                    [wait: true] -> {"update_id", "answer": {"text", "show_alert"}}; the answer is null if
                    the bot gave none within 10 s, or `wait` is false. `label` may be a part of it. `times`
                    taps come at once, and "answers" has them all. A url button gives {"url"}, a copy button
                    {"copied"}, and the bot hears nothing; a pay button does `pay`.
    pay             user_id [message_id: the newest unpaid invoice] or [link: of createInvoiceLink]
                    -> {"ok", "error", "telegram_payment_charge_id"}
    refund          telegram_payment_charge_id: Telegram itself gives Stars back -> {"update_id"}

The stand-in:

    wait            user_id [after] [contains] [has: photo, document, invoice or buttons] [button]
                    [timeout: 30]: until the bot has sent, or edited, a message into what fits -> that
                    message as GET /sandbox/chats/<id> shows it, the newest if several do; on time-out 400
                    with the transcript
    redeliver       [update_id: the newest]: sends an update again -> {"update_id"}
    send_update     update: any update as it is, numbered if it has no update_id -> {"update_id"}
    reset           everything is as at the start; only the numbers of updates go on
"""

import inspect
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, get_args

from qwenedit.sandbox.telegram.actions import Action, Answer, buttons, people, standin, writing

if TYPE_CHECKING:
    from qwenedit.sandbox.telegram.server import Sandbox

ACTIONS: dict[str, Action] = {
    **people.ACTIONS, **writing.ACTIONS, **buttons.ACTIONS, **standin.ACTIONS,
}  # fmt: skip


class Actions:
    """What can be done to one server."""

    def __init__(self, sandbox: "Sandbox") -> None:
        self._sandbox = sandbox

    async def perform(self, request: Mapping[str, Any]) -> Answer:
        """Carry out one action; the other fields of the request are its arguments.

        Raises ValueError or Refusal for what cannot be done.
        """
        arguments = dict(request)
        name = arguments.pop("action", None)
        action = ACTIONS.get(str(name))
        if action is None:
            raise ValueError(f"unknown action {name!r}; known are {', '.join(sorted(ACTIONS))}")
        # `for` is a word of Python's.
        arguments = {
            f"{key}_" if key == "for" else key: value for key, value in arguments.items() if value is not None
        }
        _check_arguments(inspect.signature(action), self._sandbox, arguments)
        try:
            return await action(self._sandbox, **arguments)
        finally:
            self._sandbox.flush()


def _check_arguments(signature: inspect.Signature, sandbox: "Sandbox", arguments: Mapping[str, Any]) -> None:
    try:
        signature.bind(sandbox, **arguments)
    except TypeError as error:
        raise ValueError(str(error)) from None
    for name, value in arguments.items():
        if not _fits(value, signature.parameters[name].annotation):
            raise ValueError(f"{name} cannot be {value!r}")


def _fits(value: object, kind: Any) -> bool:
    kinds = get_args(kind) or (kind,)
    if isinstance(value, bool):
        return bool in kinds
    if isinstance(value, int) and float in kinds:
        return True
    return isinstance(value, kinds)
