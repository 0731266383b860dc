"""Print a new API key once: `create_api_key --telegram-id N | --username NAME [--scope read …]`."""

from typing import Any

from django.core.exceptions import ValidationError
from django.core.management.base import BaseCommand, CommandError, CommandParser

from qwenedit.users.models import Scope
from qwenedit.users.services import create_api_key, register_api_user, register_telegram_user


class Command(BaseCommand):
    help = (
        "Makes an API key, and its user where there is none yet. The key is printed once and stored nowhere."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        owner = parser.add_mutually_exclusive_group(required=True)
        owner.add_argument("--telegram-id", type=int, metavar="N")
        owner.add_argument("--username", metavar="NAME")
        parser.add_argument("--scope", action="append", choices=[str(scope) for scope in Scope], default=[])
        parser.add_argument("--name", default="", help="a note that helps to tell keys apart")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["telegram_id"] is not None:
            if not 0 < options["telegram_id"] < 2**63:
                raise CommandError("A Telegram id is a positive number of at most 63 bits.")
            user, created = register_telegram_user(telegram_id=options["telegram_id"])
        else:
            try:
                user, created = register_api_user(username=options["username"])
            except ValidationError as error:
                raise CommandError(" ".join(error.messages)) from error
        _, text = create_api_key(user=user, name=options["name"], scopes=options["scope"])
        self.stderr.write(
            f"{'New user' if created else 'User'} {user.username}, id {user.pk}. The key is shown once:"
        )
        self.stdout.write(text)
