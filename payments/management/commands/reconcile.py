"""Compare the gateways' payments and refunds with ours: `reconcile --since 2026-11-01 [--until …]`."""

import argparse
from datetime import UTC, datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone

from payments.gateways.base import GatewayError
from payments.models import Discrepancy
from payments.reconcile import compare_each


def moment(text: str) -> datetime:
    """Read a date, or a date and a time, of ISO 8601; without a time zone it is UTC."""
    try:
        found = datetime.fromisoformat(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text} is neither 2026-11-01 nor 2026-11-01T20:00+03:00") from None
    return found if found.tzinfo else found.replace(tzinfo=UTC)


class Command(BaseCommand):
    help = (
        "Compares what was created in a period at each gateway and here, both ways: credits what was paid, "
        "and writes down what does not add up. Repeating it changes nothing."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--since", type=moment, required=True, metavar="DATE", help="UTC unless it says")
        parser.add_argument("--until", type=moment, metavar="DATE", help="not included; now unless given")

    def handle(self, *args: Any, **options: Any) -> None:
        began = timezone.now()
        since, until = options["since"], options["until"] or began
        if since >= until:
            raise CommandError("The period is empty: --since comes before --until.")
        try:
            compared = compare_each(since, until)
        except GatewayError as error:
            raise CommandError(f"{error.message} {error.detail} Run it again.") from error
        for gateway, seen in compared.items():
            self.stdout.write(
                f"{gateway.label}: {seen.payments} payments and {seen.refunds} refunds there, "
                f"{seen.credited} credited here"
            )
        waiting = Discrepancy.objects.filter(resolved_at__isnull=True).order_by("pk")
        for found in waiting:
            mark = self.style.ERROR("new" if found.found_at >= began else "old")
            self.stdout.write(f"{mark}  {found.kind}  {found.gateway_id}  {found.detail}")
        news = sum(seen.discrepancies for seen in compared.values())
        self.stdout.write(f"{news} new discrepancies, {len(waiting)} wait for a person")
