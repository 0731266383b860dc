"""Make the installation ready to serve: database, presets, packages, articles, nodes, static files.

Safe to repeat.
"""

from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand
from django.db import DEFAULT_DB_ALIAS, connections
from django.db.migrations.executor import MigrationExecutor


class Command(BaseCommand):
    help = "Applies migrations, loads the files of data, takes over COMFYUI_URL, collects static files."

    def handle(self, *args: Any, **options: Any) -> None:
        executor = MigrationExecutor(connections[DEFAULT_DB_ALIAS])
        missing = len(executor.migration_plan(executor.loader.graph.leaf_nodes()))
        if missing:
            self.stdout.write(f"Database: {missing} migrations to apply")
            call_command("migrate", interactive=False, verbosity=0)
        self.stdout.write("Database: up to date")
        call_command("load_presets", stdout=self.stdout)
        call_command("load_packages", stdout=self.stdout)
        call_command("load_articles", stdout=self.stdout)
        call_command("sync_nodes", stdout=self.stdout)
        if not settings.DEBUG:
            call_command("collectstatic", interactive=False, verbosity=0)
            self.stdout.write("Static files: collected")
