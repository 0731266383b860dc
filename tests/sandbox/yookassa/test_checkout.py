"""The buyer's page, walked as a browser without scripts does."""

import html
import re
from typing import Any

import pytest
import requests

from tests.sandbox.yookassa.driving import RETURN_URL, Client


def open_page(payment: dict[str, Any]) -> requests.Response:
    return requests.get(payment["confirmation"]["confirmation_url"], timeout=10)


def choose(payment: dict[str, Any], choice: str) -> requests.Response:
    """Press a button of the page."""
    url = payment["confirmation"]["confirmation_url"]
    return requests.post(url, data={"choice": choice}, timeout=10)


def buttons(page: str) -> list[str]:
    return re.findall(r'<button[^>]* name="choice" value="(\w+)">', page)


def test_the_buyer_sees_what_is_paid_for_pays_and_goes_back(alice: Client) -> None:
    payment = alice.create("1299.50", description="Баллы & <b>бонус</b>")
    page = open_page(payment)
    assert page.status_code == 200
    assert page.headers["Content-Type"] == "text/html; charset=utf-8"
    for text in ("SANDBOX – no real money", "1299,50 ₽", "Баллы &amp; &lt;b&gt;бонус", "Оплатить картой"):
        assert text in page.text
    assert "Pay by SBP" in page.text
    assert '<form method="post">' in page.text
    assert "<script" not in page.text
    assert buttons(page.text) == ["bank_card", "sbp", "yoo_money", "decline", "expire"]

    done = choose(payment, "bank_card")
    assert done.history[0].status_code == 303
    assert "Оплачено" in done.text
    assert f'<a class="button" href="{html.escape(RETURN_URL)}">' in done.text
    assert f'content="2;url={html.escape(RETURN_URL)}"' in done.text
    assert buttons(done.text) == []
    assert alice.payment(payment["id"])["status"] == "succeeded"


@pytest.mark.parametrize(
    ("choice", "status", "text"),
    [
        ("sbp", "succeeded", "Paid"),
        ("yoo_money", "succeeded", "Paid"),
        ("decline", "canceled", "Insufficient funds"),
        ("expire", "canceled", "The time to pay has run out"),
    ],
)
def test_every_other_button(alice: Client, choice: str, status: str, text: str) -> None:
    payment = alice.create()
    assert text in choose(payment, choice).text
    assert alice.payment(payment["id"])["status"] == status


def test_only_what_is_possible_is_offered(alice: Client) -> None:
    by_sbp = alice.create(payment_method_data={"type": "sbp"})
    assert buttons(open_page(by_sbp).text) == ["sbp", "decline", "expire"]
    in_two_stages = alice.create(capture=False)
    assert "sbp" not in buttons(open_page(in_two_stages).text)
    assert choose(in_two_stages, "sbp").status_code == 409
    assert "on hold" in choose(in_two_stages, "bank_card").text


def test_a_second_choice_changes_nothing(alice: Client) -> None:
    payment = alice.create()
    choose(payment, "decline")
    late = choose(payment, "bank_card")
    assert late.status_code == 409
    assert "Insufficient funds" in late.text
    assert alice.payment(payment["id"])["status"] == "canceled"


def test_unknown_payments_and_choices(alice: Client) -> None:
    assert requests.get(f"{alice.server.url}/checkout/nope", timeout=10).status_code == 404
    assert requests.post(f"{alice.server.url}/checkout/nope", timeout=10).status_code == 404
    payment = alice.create()
    assert choose(payment, "steal").status_code == 400
    assert alice.payment(payment["id"])["status"] == "pending"


def test_a_return_to_the_bot_is_a_link_and_one_to_a_strange_place_is_not(alice: Client) -> None:
    bot = alice.create(confirmation={"type": "redirect", "return_url": "tg://resolve?domain=bot"})
    assert 'href="tg://resolve?domain=bot"' in choose(bot, "bank_card").text
    strange = alice.create(confirmation={"type": "redirect", "return_url": "file:///etc/passwd"})
    assert "/etc/passwd" not in choose(strange, "bank_card").text
