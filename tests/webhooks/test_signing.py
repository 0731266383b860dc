"""Signatures, against a vector that libraries of Standard Webhooks are tested with."""

import base64

from webhooks import signing

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
MESSAGE = {
    "webhook_id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
    "timestamp": 1614265330,
    "payload": b'{"test": 2432232314}',
}
SIGNATURE = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_message_is_signed_as_the_libraries_expect() -> None:
    assert signing.headers(**MESSAGE, signed_with=[SECRET]) == {  # type: ignore[arg-type]
        "webhook-id": "msg_p5jXN8AQM9LWM0D4loKWxJek",
        "webhook-timestamp": "1614265330",
        "webhook-signature": SIGNATURE,
    }


def test_two_secrets_sign_beside_each_other() -> None:
    headers = signing.headers(**MESSAGE, signed_with=[signing.new_secret(), SECRET])  # type: ignore[arg-type]
    first, second = headers["webhook-signature"].split(" ")
    assert first.startswith("v1,")
    assert first != second == SIGNATURE


def test_a_new_secret_is_long_and_like_no_other() -> None:
    secrets = {signing.new_secret() for _ in range(10)}
    assert len(secrets) == 10
    for secret in secrets:
        assert secret.startswith("whsec_")
        assert 24 <= len(base64.b64decode(secret.removeprefix("whsec_"), validate=True)) <= 64
