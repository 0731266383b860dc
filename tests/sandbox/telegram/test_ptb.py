"""python-telegram-bot cannot tell the sandbox from Telegram: its Bot, and an Application that polls."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
import telegram
from telegram import (
    Bot,
    BotCommand,
    BotCommandScopeAllPrivateChats,
    CopyTextButton,
    InlineKeyboardButton,
    InlineKeyboardMarkup,
    InputMediaDocument,
    InputMediaPhoto,
    LabeledPrice,
    LinkPreviewOptions,
    MenuButtonCommands,
    ReplyKeyboardMarkup,
    ReplyKeyboardRemove,
    ReplyParameters,
    Update,
)
from telegram.constants import KeyboardButtonStyle, ParseMode
from telegram.error import BadRequest, Conflict, Forbidden, InvalidToken, NetworkError, RetryAfter
from telegram.ext import (
    Application,
    CallbackQueryHandler,
    CommandHandler,
    ContextTypes,
    MessageHandler,
    PreCheckoutQueryHandler,
    filters,
)
from telegram.request import HTTPXRequest

from tests.sandbox.telegram.driving import as_text, picture
from tests.sandbox.telegram.test_payments import INVOICE
from tests.servers import TelegramServer

Work = Callable[[Bot], Awaitable[Any]]
PATIENCE = 60.0  # seconds; the library's own 5 are fewer than a busy machine may need
PRICES = [LabeledPrice("points", 50)]


def patient() -> HTTPXRequest:
    return HTTPXRequest(
        read_timeout=PATIENCE, write_timeout=PATIENCE, connect_timeout=PATIENCE, pool_timeout=PATIENCE,
        media_write_timeout=PATIENCE,
    )  # fmt: skip


def new_bot(server: TelegramServer, token: str) -> Bot:
    return Bot(
        token,
        base_url=server.api_url,
        base_file_url=server.file_url,
        request=patient(),
        get_updates_request=patient(),
    )


def run(server: TelegramServer, work: Work) -> Any:
    """Run a coroutine with an initialised Bot; return what it returns."""

    async def with_bot() -> Any:
        async with new_bot(server, server.token) as bot:
            return await work(bot)

    return asyncio.run(with_bot())


async def act(server: TelegramServer, action: str, **arguments: Any) -> dict[str, Any]:
    """Let a person act while the bot goes on."""
    return await asyncio.to_thread(server.act, action, **arguments)


def test_messages(server: TelegramServer, alice: int) -> None:
    async def work(bot: Bot) -> None:
        markup = InlineKeyboardMarkup(
            [
                [
                    InlineKeyboardButton("Go", callback_data="go", style=KeyboardButtonStyle.SUCCESS),
                    InlineKeyboardButton("Site", url="https://example.com/"),
                    InlineKeyboardButton("Code", copy_text=CopyTextButton("GIFT")),
                ]
            ]
        )
        sent = await bot.send_message(
            alice, "<b>hi</b>", ParseMode.HTML, reply_markup=markup,
            link_preview_options=LinkPreviewOptions(is_disabled=True),
        )  # fmt: skip
        assert sent.chat.type == "private"
        assert sent.text_html == "<b>hi</b>"
        assert sent.reply_markup == markup
        reply = await bot.send_message(
            alice, "re", reply_parameters=ReplyParameters(sent.message_id), protect_content=True
        )
        assert reply.reply_to_message
        assert reply.reply_to_message.message_id == sent.message_id
        edited = await sent.edit_text("bye", reply_markup=markup)
        assert edited.edit_date
        await edited.edit_reply_markup(None)
        assert await sent.pin()
        assert (await bot.get_chat(alice)).pinned_message == sent
        assert await sent.unpin()
        assert await reply.set_reaction("👍")
        assert await bot.send_chat_action(alice, "typing")
        await bot.send_message(alice, "menu", reply_markup=ReplyKeyboardMarkup([["a", "b"]]))
        await bot.send_message(alice, "none", reply_markup=ReplyKeyboardRemove())
        copy = await bot.copy_message(alice, alice, sent.message_id)
        forwarded = await bot.forward_message(alice, alice, sent.message_id)
        assert forwarded.forward_origin
        assert await bot.delete_messages(alice, [copy.message_id, forwarded.message_id])
        assert await reply.delete()

    run(server, work)
    assert [item["text"] for item in server.chat(alice)["messages"]] == ["/start", "bye", "menu", "none"]


def test_media(server: TelegramServer, alice: int) -> None:
    server.act("photo", user_id=alice, data=as_text(picture()))
    server.act("document", user_id=alice, size=21 * 1024 * 1024, file_name="a.tif")

    async def work(bot: Bot) -> None:
        photo, document = await bot.get_updates(timeout=5)
        assert photo.message
        assert document.message
        file = await photo.message.photo[-1].get_file()
        assert len(await file.download_as_bytearray()) == file.file_size
        assert document.message.document
        with pytest.raises(BadRequest, match="File is too big"):
            await document.message.document.get_file()
        sent = await bot.send_photo(alice, picture(), caption="<i>c</i>", parse_mode="HTML", filename="x.jpg")
        again = await bot.send_photo(alice, sent.photo[-1])
        assert again.photo == sent.photo
        whole = await bot.send_document(alice, picture(kind="PNG"), filename="full.png")
        assert whole.document
        assert whole.document.file_name == "full.png"
        await sent.edit_caption("new")
        changed = await sent.edit_media(InputMediaPhoto(picture(colour="red"), caption="red"))
        assert isinstance(changed, telegram.Message)
        assert changed.photo != sent.photo
        progress = await bot.send_message(alice, "working")
        done = await progress.edit_media(InputMediaDocument(picture(), filename="r.jpg"))
        assert isinstance(done, telegram.Message)
        assert done.document
        group = await bot.send_media_group(
            alice, [InputMediaPhoto(picture()), InputMediaPhoto(sent.photo[-1])], caption="two"
        )
        assert len({item.media_group_id for item in group}) == 1
        assert group[0].caption == "two"
        assert (await bot.send_video(alice, b"film", width=64, height=48, duration=2)).video
        assert (await bot.send_animation(alice, b"gif")).animation
        assert (await bot.get_user_profile_photos(alice)).total_count == 0

    run(server, work)


def test_errors_become_their_classes(server: TelegramServer, alice: int) -> None:
    async def work(bot: Bot) -> None:
        sent = await bot.send_message(alice, "x")
        with pytest.raises(BadRequest, match="Message is not modified"):
            await sent.edit_text("x")
        with pytest.raises(BadRequest, match="Chat not found"):
            await bot.send_message(404, "x")
        server.fault(method="sendMessage", code=429, retry_after=7)
        with pytest.raises(RetryAfter, match="Flood control exceeded"):
            await bot.send_message(alice, "x")
        for code in (500, 502):
            server.fault(method="sendMessage", code=code)
            with pytest.raises(NetworkError):
                await bot.send_message(alice, "x")
        await act(server, "block", user_id=alice)
        with pytest.raises(Forbidden, match="bot was blocked by the user"):
            await bot.send_message(alice, "x")
        await bot.set_webhook("http://127.0.0.1:9/")
        with pytest.raises(Conflict):
            await bot.get_updates()
        stranger = new_bot(server, "1:x")
        with pytest.raises(InvalidToken):
            await stranger.initialize()
        await stranger.shutdown()

    run(server, work)


def test_settings_and_members(server: TelegramServer, alice: int) -> None:
    async def work(bot: Bot) -> None:
        assert bot.username == "qwenedit_bot"
        commands = [BotCommand("start", "begin"), BotCommand("help", "help")]
        scope = BotCommandScopeAllPrivateChats()
        assert await bot.set_my_commands(commands, scope=scope, language_code="en")
        assert await bot.get_my_commands(scope=scope, language_code="en") == tuple(commands)
        assert await bot.delete_my_commands(scope=scope, language_code="en")
        assert await bot.set_chat_menu_button(menu_button=MenuButtonCommands())
        assert isinstance(await bot.get_chat_menu_button(alice), MenuButtonCommands)
        assert await bot.set_my_name("Editor")
        assert (await bot.get_my_name()).name == "Editor"
        assert await bot.set_my_description("Long")
        assert (await bot.get_my_description()).description == "Long"
        assert await bot.set_my_short_description("Short")
        assert (await bot.get_my_short_description()).short_description == "Short"
        assert (await bot.get_chat(alice)).first_name == "Alice"
        assert (await bot.get_chat_member(alice, alice)).status == "member"
        assert await bot.set_webhook("http://127.0.0.1:9/x", secret_token="abc", allowed_updates=["message"])
        info = await bot.get_webhook_info()
        assert (info.url, info.allowed_updates) == ("http://127.0.0.1:9/x", ("message",))
        assert await bot.delete_webhook(drop_pending_updates=True)
        assert await bot.log_out()
        assert await bot.close()

    run(server, work)


def test_payments(server: TelegramServer, alice: int) -> None:
    invoice = INVOICE | {"prices": PRICES}

    async def work(bot: Bot) -> None:
        sent = await bot.send_invoice(alice, **invoice)
        assert sent.invoice
        assert sent.invoice.total_amount == 50
        link = await bot.create_invoice_link(**invoice)
        payment = asyncio.create_task(act(server, "pay", user_id=alice, link=link))
        (update,) = await bot.get_updates(timeout=10, allowed_updates=Update.ALL_TYPES)
        assert update.pre_checkout_query
        await update.pre_checkout_query.answer(ok=True)
        charge = (await payment)["telegram_payment_charge_id"]
        (told,) = await bot.get_updates(timeout=10, offset=update.update_id + 1)
        assert told.message
        assert told.message.successful_payment
        assert told.message.successful_payment.telegram_payment_charge_id == charge
        assert (await bot.get_my_star_balance()).amount == 50
        assert await bot.refund_star_payment(alice, charge)
        with pytest.raises(BadRequest, match=r"(?i)charge_already_refunded"):
            await bot.refund_star_payment(alice, charge)
        payment_in, refund = (await bot.get_star_transactions()).transactions
        assert payment_in.id == refund.id == charge
        assert payment_in.source
        assert refund.receiver

    run(server, work)


def test_every_kind_of_update_is_read(server: TelegramServer, alice: int) -> None:
    kinds = (
        "sticker",
        "voice",
        "video",
        "animation",
        "video_note",
        "audio",
        "contact",
        "location",
        "poll",
        "dice",
    )
    for kind in kinds:
        server.act(kind, user_id=alice)
    number = server.act("message", user_id=alice, text="/x@qwenedit_bot y")["message_id"]
    server.act("edit", user_id=alice, message_id=number, text="z")
    server.act("group", user_id=alice, text="hello")
    server.act("block", user_id=alice)

    async def work(bot: Bot) -> tuple[Update, ...]:
        return await bot.get_updates(timeout=5)

    *others, message, edited, group, block = run(server, work)
    for kind, update in zip(kinds, others, strict=True):
        assert getattr(update.message, kind), kind
    assert message.message.parse_entities()
    assert edited.edited_message.edit_date
    assert group.effective_chat.type == "supergroup"
    assert block.my_chat_member.new_chat_member.status == "kicked"


def test_an_application_polls_and_serves_a_person(server: TelegramServer, alice: int) -> None:
    async def start(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message
        button = InlineKeyboardButton("Buy", callback_data="buy")
        await update.message.reply_text(f"ref {context.args}", reply_markup=InlineKeyboardMarkup([[button]]))

    async def edit(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message
        progress = await update.message.reply_text("working")
        file = await update.message.photo[-1].get_file()
        data = bytes(await file.download_as_bytearray())
        await progress.edit_media(InputMediaPhoto(data, caption="done"))

    async def buy(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.callback_query
        await update.callback_query.answer("one moment")
        await context.bot.send_invoice(alice, **(INVOICE | {"prices": PRICES}))

    async def check(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.pre_checkout_query
        await update.pre_checkout_query.answer(ok=True)

    async def thank(update: Update, context: ContextTypes.DEFAULT_TYPE) -> None:
        assert update.message
        await update.message.reply_text("thank you")

    def live() -> None:
        asked = server.act("message", user_id=alice, text="/start abc")["message_id"]
        answer = server.act("wait", user_id=alice, after=asked)
        assert answer["text"] == "ref ['abc']"
        asked = server.act("photo", user_id=alice, data=as_text(picture()))["message_id"]
        assert server.act("wait", user_id=alice, after=asked, has="photo")["caption"] == "done"
        assert server.act("tap", user_id=alice, label="Buy")["answer"]["text"] == "one moment"
        assert server.act("wait", user_id=alice, has="invoice")
        assert server.act("pay", user_id=alice)["ok"] is True
        assert server.act("wait", user_id=alice, contains="thank you")

    async def serve() -> None:
        builder = Application.builder().token(server.token)
        builder = builder.base_url(server.api_url).base_file_url(server.file_url)
        application = builder.request(patient()).get_updates_request(patient()).build()
        application.add_handler(CommandHandler("start", start))
        application.add_handler(MessageHandler(filters.PHOTO, edit))
        application.add_handler(CallbackQueryHandler(buy, "buy"))
        application.add_handler(PreCheckoutQueryHandler(check))
        application.add_handler(MessageHandler(filters.SUCCESSFUL_PAYMENT, thank))
        async with application:
            await application.start()
            assert application.updater
            await application.updater.start_polling(allowed_updates=Update.ALL_TYPES)
            try:
                await asyncio.to_thread(live)
            finally:
                await application.updater.stop()
                await application.stop()

    asyncio.run(serve())
