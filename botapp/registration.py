"""What Telegram is told about the bot: its commands and descriptions in every language, and its webhook."""

from __future__ import annotations

from functools import partial

from django.conf import settings
from django.utils.crypto import salted_hmac
from telegram import Bot, BotCommand

from botapp import application, updates
from botapp.texts import DEFAULT_LANGUAGE, LANGUAGES, Texts
from qwenedit import bot_api

MOST_CONNECTIONS = 40


def webhook_secret() -> str:
    """Return what Telegram's calls must carry: as set, or made of SECRET_KEY: never empty."""
    return settings.TELEGRAM_WEBHOOK_SECRET or salted_hmac("botapp.webhook", bot_api.token()).hexdigest()


def register_texts() -> None:
    """Tell Telegram the commands and the bot's descriptions. Raises TelegramError."""
    for language in LANGUAGES:
        # Telegram shows what has no language of its own to everybody else.
        code = None if language == DEFAULT_LANGUAGE else language
        bot_api.call(partial(_register, texts=Texts(language), code=code))


async def _register(bot: Bot, *, texts: Texts, code: str | None) -> None:
    commands = [BotCommand(name, texts(f"commands.{name}")) for name in application.COMMANDS]
    await bot.set_my_commands(commands, language_code=code)
    await bot.set_my_description(texts("commands.description"), language_code=code)
    await bot.set_my_short_description(texts("commands.short_description"), language_code=code)


def set_webhook(url: str) -> None:
    """Ask Telegram to call `url` with every update. Raises TelegramError."""

    async def make(bot: Bot) -> bool:
        return await bot.set_webhook(
            url,
            secret_token=webhook_secret(),
            allowed_updates=updates.ALLOWED,
            max_connections=MOST_CONNECTIONS,
        )

    bot_api.call(make)


def delete_webhook() -> None:
    """Ask Telegram to keep updates for polling; what has not come yet is not lost. Raises TelegramError."""
    bot_api.call(lambda bot: bot.delete_webhook(drop_pending_updates=False))
