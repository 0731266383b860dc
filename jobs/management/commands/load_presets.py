"""Load the preset catalogue from its files; repeat it as often as you like."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from jobs.catalogue import CatalogueError, read_catalogue
from jobs.catalogue_sync import sync_catalogue
from jobs.models import Preset


class Command(BaseCommand):
    help = "Loads the preset catalogue. Presets that were edited in the admin are left alone."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changes = sync_catalogue(read_catalogue())
        except CatalogueError as error:
            raise CommandError("\n".join(error.problems)) from error
        self.stdout.write(
            f"{Preset.objects.on_offer().count()} presets on offer: {changes.created} new, "
            f"{changes.updated} updated, {changes.retired} retired (categories included)"
        )
