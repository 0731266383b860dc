"""Load the knowledge base from its files; repeat it as often as you like."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError

from botapp.knowledge import KnowledgeError, read_articles, sync_articles
from botapp.models import Article


class Command(BaseCommand):
    help = "Loads the articles of the knowledge base. Articles that were edited in the admin are left alone."

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            changes = sync_articles(read_articles())
        except KnowledgeError as error:
            raise CommandError(error.message) from error
        self.stdout.write(
            f"{Article.objects.filter(is_active=True).count()} articles shown: {changes.created} new, "
            f"{changes.updated} updated, {changes.retired} hidden"
        )
