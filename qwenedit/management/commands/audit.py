"""Check every invariant on the live database; exit 1 if one is broken."""

import sys
from typing import Any

from django.core.management.base import BaseCommand
from django.db import connection, transaction

import botapp.audit
import jobs.audit
import payments.audit
import webhooks.audit


class Command(BaseCommand):
    help = "Checks every invariant on the live database and prints each count. Exit 1 if one is broken."

    def handle(self, *args: Any, **options: Any) -> None:
        # One snapshot for every query: a job submitted between two of them must not look like a fault.
        with transaction.atomic():
            if connection.vendor == "postgresql":
                with connection.cursor() as cursor:
                    cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
            findings = [
                finding for app in (payments, jobs, webhooks, botapp) for finding in app.audit.findings()
            ]
        for finding in findings:
            more = ", …" if finding.broken > len(finding.examples) else ""
            examples = f"  ({', '.join(finding.examples)}{more})" if finding.examples else ""
            mark = self.style.ERROR("broken") if finding.broken else self.style.SUCCESS("holds ")
            self.stdout.write(f"{mark} {finding.broken:>8}  {finding.invariant}{examples}")
        broken = sum(1 for finding in findings if finding.broken)
        self.stdout.write(f"{len(findings) - broken} of {len(findings)} invariants hold")
        if broken:
            sys.exit(1)
