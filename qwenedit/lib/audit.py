"""The shape of an audit's findings; each app says what to look at, one command prints it all."""

from dataclasses import dataclass
from typing import Any, Self

from django.db.models import QuerySet

MOST_EXAMPLES = 5


@dataclass(frozen=True)
class Finding:
    """One invariant, how many rows break it, and the first of them."""

    invariant: str
    broken: int
    examples: tuple[str, ...] = ()

    @classmethod
    def of(cls, invariant: str, broken: QuerySet[Any]) -> Self:
        """Count the rows of a query that selects what breaks the invariant."""
        count = broken.count()
        rows = broken.order_by("pk")[:MOST_EXAMPLES] if count else ()
        return cls(invariant, count, tuple(f"{row._meta.verbose_name} {row.pk}" for row in rows))
