"""Catalogue, nodes and edits in the admin. Django imports this package to find them."""

from jobs.admin import catalogue, nodes
from jobs.admin import jobs as edits

__all__ = ["catalogue", "edits", "nodes"]
