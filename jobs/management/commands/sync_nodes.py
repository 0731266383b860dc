"""Make the rows of the nodes that COMFYUI_URL names."""

from typing import Any

from django.core.management.base import BaseCommand

from jobs.nodes import configured_urls, sync_nodes


class Command(BaseCommand):
    help = "Makes the node table follow COMFYUI_URL. Nodes added in the admin are left alone."

    def handle(self, *args: Any, **options: Any) -> None:
        for node in sync_nodes(configured_urls()):
            self.stdout.write(f"{node.name}  {node.shown_url}")
