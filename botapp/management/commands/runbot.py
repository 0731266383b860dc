"""`manage.py runbot`: receive updates by polling, or register the webhook and end."""

from __future__ import annotations

import signal
import threading
from concurrent.futures import Executor, ThreadPoolExecutor
from typing import Any

import structlog
from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from telegram.error import Forbidden, InvalidToken, TelegramError

from botapp import polling, registration
from jobs import policy
from qwenedit import bot_api
from qwenedit.lib.garbage import pass_over_what_stays

logger = structlog.get_logger(__name__)

WEBHOOK = "/webhooks/telegram/"
THREADS = 16
FIRST_PAUSE, LONGEST_PAUSE = 0.5, 10.0


class Command(BaseCommand):
    """Run the Telegram bot."""

    _failure: TelegramError | None = None

    help = "Run the Telegram bot by polling; with --webhook, register the webhook of PUBLIC_URL and end."

    def add_arguments(self, parser: CommandParser) -> None:
        """Add `--webhook`."""
        parser.add_argument("--webhook", action="store_true", help="register the webhook instead of polling")

    def handle(self, *args: Any, **options: Any) -> None:
        """Poll until SIGINT or SIGTERM, or register the webhook."""
        try:
            if options["webhook"]:
                self._register_webhook()
            else:
                self._poll()
        except (InvalidToken, Forbidden) as error:
            raise CommandError(f"Telegram refuses BOT_TOKEN: {error.message}") from error

    def _register_webhook(self) -> None:
        if not settings.PUBLIC_URL:
            raise CommandError("Set PUBLIC_URL to the address that Telegram reaches this site at.")
        url = settings.PUBLIC_URL.rstrip("/") + WEBHOOK
        try:
            registration.set_webhook(url)
            registration.register_texts()
        except TelegramError as error:
            raise CommandError(f"Telegram did not take the webhook: {error.message}") from error
        self.stdout.write(f"Telegram sends updates of @{bot_api.identity().username} to {url}")

    def _poll(self) -> None:
        stop = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: stop.set())
        policy.rules()  # else the first wish waits until they are read
        pass_over_what_stays()
        with ThreadPoolExecutor(max_workers=THREADS, thread_name_prefix="telegram-update") as answering:
            # A daemon: a request for updates stays open for long, and must not hold the process up.
            receiving = threading.Thread(target=self._receive, args=(stop, answering), daemon=True)
            receiving.start()
            while receiving.is_alive() and not stop.wait(0.5):
                pass
            stop.set()
            answering.shutdown(cancel_futures=True)
        if self._failure is not None:
            raise self._failure

    def _receive(self, stop: threading.Event, answering: Executor) -> None:
        try:
            if self._announced(stop):
                polling.poll(stop, answering)
        except (InvalidToken, Forbidden) as error:
            self._failure = error
        except Exception:
            logger.exception("The bot stops by a mistake of ours")
            raise

    def _announced(self, stop: threading.Event) -> bool:
        """Sign in, leave webhook mode and register the texts, however long Telegram takes to answer."""
        pause = FIRST_PAUSE
        while not stop.is_set():
            try:
                me = bot_api.identity()
                registration.delete_webhook()
                registration.register_texts()
            except (InvalidToken, Forbidden):
                raise
            except TelegramError as error:
                logger.warning("Telegram does not answer, asked again", reason=error.message, seconds=pause)
                stop.wait(pause)
                pause = min(2 * pause, LONGEST_PAUSE)
            else:
                logger.info("Bot receives updates by polling", bot=me.username)
                return True
        return False
