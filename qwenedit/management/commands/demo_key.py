"""Print an API key of the demo user, for the edit that the local runner makes to show itself."""

from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from qwenedit.demo import demo_key


class Command(BaseCommand):
    help = "Prints a fresh API key of the user `demo`; older ones are revoked. For local use only."

    def handle(self, *args: Any, **options: Any) -> None:
        if not settings.DEBUG:
            raise CommandError("There is no demo user with DEBUG off.")
        self.stdout.write(demo_key(now=timezone.now()))
