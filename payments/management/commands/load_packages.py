"""Load the top-up packages from their file; repeat it as often as you like."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from payments.models import Package
from payments.packages import PackagesError, read_packages, sync_packages


class Command(BaseCommand):
    help = "Loads the top-up packages. Packages that were edited in the admin are left alone."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changes = sync_packages(read_packages())
        except PackagesError as error:
            raise CommandError(error.message) from error
        self.stdout.write(
            f"{Package.objects.filter(is_active=True).count()} packages on offer: {changes.created} new, "
            f"{changes.updated} updated, {changes.retired} retired"
        )
