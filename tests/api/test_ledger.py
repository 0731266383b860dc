"""`GET /api/v1/me/ledger/`: every movement of points, newest first, in cursor pages."""

from base64 import b64encode
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from rest_framework.test import APIClient

from qwenedit.users.models import User
from tests.factories import UserFactory, give_points

LEDGER = "/api/v1/me/ledger/"


def pages(api: APIClient, address: str = LEDGER) -> Iterator[list[dict[str, Any]]]:
    """Follow `next` to the end."""
    following: str | None = address
    while following:
        body = api.get(following).json()
        yield body["results"]
        following = body["next"]


def test_lists_every_movement_newest_first(api: APIClient, alice: User) -> None:
    give_points(alice, 25)
    entries = api.get(LEDGER).json()["results"]
    assert [(entry["amount"], entry["balance_after"], entry["kind"]) for entry in entries] == [
        (25, 85, "grant"),
        (60, 60, "initial"),
    ]
    assert set(entries[0]) == {"id", "amount", "balance_after", "kind", "description", "created_at"}
    assert entries[0]["description"] == "A test"


def test_pages_lead_from_one_to_the_next_and_miss_nothing(api: APIClient, alice: User) -> None:
    for _ in range(45):
        give_points(alice, 1)
    sizes, ids = [], []
    for page in pages(api):
        sizes.append(len(page))
        ids += [entry["id"] for entry in page]
    assert sizes == [20, 20, 6]
    assert ids == sorted(ids, reverse=True)
    assert len(set(ids)) == 46


def test_a_page_stays_in_place_while_new_entries_arrive(api: APIClient, alice: User) -> None:
    for _ in range(8):
        give_points(alice, 1)
    known = [entry["id"] for page in pages(api, f"{LEDGER}?page_size=3") for entry in page]
    first = api.get(f"{LEDGER}?page_size=3").json()
    give_points(alice, 100)
    rest = [entry["id"] for page in pages(api, first["next"]) for entry in page]
    assert [entry["id"] for entry in first["results"]] + rest == known


def test_previous_leads_back(api: APIClient, alice: User) -> None:
    for _ in range(5):
        give_points(alice, 1)
    first = api.get(f"{LEDGER}?page_size=2").json()
    second = api.get(first["next"]).json()
    assert api.get(second["previous"]).json()["results"] == first["results"]
    assert first["previous"] is None


@pytest.mark.parametrize(
    ("asked", "given"), [("1", 1), ("100", 100), ("5000", 100), ("0", 20), ("-3", 20), ("x", 20)]
)
def test_a_page_has_at_most_a_hundred_entries(api: APIClient, alice: User, asked: str, given: int) -> None:
    for _ in range(104):
        give_points(alice, 1)
    assert len(api.get(LEDGER, {"page_size": asked}).json()["results"]) == given


def test_holds_nothing_of_other_users(api: APIClient) -> None:
    give_points(UserFactory.create(), 500)
    assert [entry["amount"] for entry in api.get(LEDGER).json()["results"]] == [60]


@pytest.mark.parametrize(
    "inside",
    [
        "p=abc",
        "p=-1",
        "p=1.5",
        "p=",
        "p=" + "9" * 19,
        "p=" + "9" * 5000,
        "p=1%00",
        "o=x",
        "r=" + "9" * 5000,
    ],
)
def test_a_cursor_of_somebodys_own_making_is_refused(
    api: APIClient, problem: Callable[..., dict[str, Any]], inside: str
) -> None:
    cursor = b64encode(inside.encode()).decode()
    body = problem(api.get(LEDGER, {"cursor": cursor}), 400, "invalid_request")
    assert list(body["errors"]) == ["cursor"]


@pytest.mark.parametrize("cursor", ["é", "AAA", "////", "a" * 4001])
def test_a_cursor_that_is_none_is_refused(
    api: APIClient, problem: Callable[..., dict[str, Any]], cursor: str
) -> None:
    body = problem(api.get(LEDGER, {"cursor": cursor}), 400, "invalid_request")
    assert body["errors"] == {"cursor": ["No page has this cursor. Follow `next` and `previous`."]}
