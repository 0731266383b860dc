"""The same key does the same thing once, for a day."""

from concurrent.futures import ThreadPoolExecutor

from tests.sandbox.yookassa.driving import Client, new_key, payment_body, refund_body

DAY = 86_400


def test_a_repetition_gets_the_first_answer_even_if_things_have_moved_on(alice: Client) -> None:
    key, body = new_key(), payment_body()
    first = alice.post("/payments", body, key)
    alice.server.do("pay", payment_id=first.json()["id"])
    again = alice.post("/payments", dict(reversed(body.items())), key)
    assert again.json() == first.json()
    assert len(alice.payments()["items"]) == 1
    assert [seen["replayed"] for seen in alice.server.requests_seen(key=key)] == [False, True]


def test_another_body_under_the_same_key_is_refused(alice: Client) -> None:
    key = new_key()
    payment = alice.create(key=key)
    answer = alice.post("/payments", payment_body(), key)
    assert answer.status_code == 400
    assert answer.json()["description"] == "Idempotence key duplicated"
    assert answer.json()["parameter"] == "Idempotence-Key"
    assert alice.post("/refunds", refund_body(payment["id"]), key).status_code == 400
    assert len(alice.payments()["items"]) == 1


def test_another_key_makes_another_payment(alice: Client) -> None:
    body = payment_body()
    assert alice.post("/payments", body).json()["id"] != alice.post("/payments", body).json()["id"]


def test_a_key_is_forgotten_after_a_day(alice: Client) -> None:
    key, body = new_key(), payment_body()
    first = alice.post("/payments", body, key).json()
    alice.server.do("advance", seconds=DAY - 60)
    assert alice.post("/payments", body, key).json() == first
    alice.server.do("advance", seconds=61)
    second = alice.post("/payments", body, key).json()
    assert second["id"] != first["id"]
    assert second["status"] == "pending"


def test_a_refused_request_does_not_use_its_key_up(alice: Client) -> None:
    key = new_key()
    assert alice.post("/payments", payment_body("1"), key).status_code == 400
    assert alice.post("/payments", payment_body(), key).status_code == 200


def test_one_of_many_at_once_is_carried_out(alice: Client) -> None:
    key, payment = new_key(), alice.paid()
    body = refund_body(payment["id"], "30.00")
    with ThreadPoolExecutor(16) as pool:
        answers = list(pool.map(lambda _: alice.post("/refunds", body, key), range(16)))
    assert {answer.status_code for answer in answers} == {200}
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert len(alice.refunds()["items"]) == 1
    assert alice.payment(payment["id"])["refunded_amount"]["value"] == "30.00"


def test_capture_and_cancel_have_keys_too(alice: Client) -> None:
    held, key = alice.paid(capture=False), new_key()
    first = alice.post(f"/payments/{held['id']}/capture", {}, key)
    assert first.json()["status"] == "succeeded"
    assert alice.post(f"/payments/{held['id']}/capture", {}, key).json() == first.json()
    assert alice.post(f"/payments/{held['id']}/cancel", {}, key).status_code == 400
