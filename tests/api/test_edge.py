"""The edge in front of Django, over real HTTP: large bodies, chunked bodies, clients that wait or vanish."""

import json
import socket
from collections.abc import Callable, Iterator
from contextlib import closing
from http.client import HTTPConnection, HTTPResponse
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests
from django.conf import settings

from jobs.models import Job
from tests.api import photos
from tests.api.conftest import JOBS, PROMPT
from tests.api.traces import nothing_left

pytestmark = [pytest.mark.processes, pytest.mark.django_db(transaction=True)]

MB = 1 << 20
TIMEOUT = 60


def form(*pictures: bytes, **fields: str) -> tuple[bytes, str]:
    """Return a multipart body and its content type."""
    files = [("image", ("photo.jpg", picture, "image/jpeg")) for picture in pictures]
    request = requests.Request("POST", "http://x/", files=files, data=fields).prepare()
    assert isinstance(request.body, bytes)
    return request.body, request.headers["Content-Type"]


def connect(site: str) -> HTTPConnection:
    """Open a connection."""
    parts = urlsplit(site)
    return HTTPConnection(parts.hostname or "", parts.port, timeout=TIMEOUT)


def too_large(answer: HTTPResponse) -> bool:
    """Return whether it is the problem that tells of a body beyond the limit."""
    body = json.loads(answer.read())
    return (
        answer.status == 413
        and answer.headers["Content-Type"] == "application/problem+json"
        and body["code"] == "too_large"
        and body["limit_bytes"] == settings.MAX_REQUEST_BYTES
    )


@pytest.fixture
def post(site: str, alice_key: str) -> Callable[..., requests.Response]:
    """Submit an edit over HTTP as alice."""

    def post(*pictures: bytes, **options: Any) -> requests.Response:
        body, content_type = form(*pictures, prompt=PROMPT)
        headers = {"Authorization": f"Bearer {alice_key}", "Content-Type": content_type}
        return requests.post(f"{site}{JOBS}", data=body, headers=headers, timeout=TIMEOUT, **options)

    return post


def test_three_pictures_of_the_largest_size_are_accepted(post: Callable[..., requests.Response]) -> None:
    padding = b"\0" * (settings.MAX_UPLOAD_BYTES - len(photos.jpeg()))
    answer = post(*[photos.jpeg() + padding] * 3)
    assert answer.status_code == 201, answer.text
    assert Job.objects.get().images.count() == 3


def test_a_picture_of_50_mb_is_too_large(post: Callable[..., requests.Response]) -> None:
    with nothing_left():
        answer = post(photos.jpeg() + b"\0" * (50 * MB))
    assert (answer.status_code, answer.json()["code"]) == (413, "too_large")
    assert answer.json()["limit_bytes"] == settings.MAX_UPLOAD_BYTES


def test_a_client_that_sends_all_of_a_body_beyond_the_limit_learns_why_it_is_refused(site: str) -> None:
    # Unlike requests, this client reads no answer before its whole body is sent.
    with nothing_left(), closing(connect(site)) as connection:
        connection.request("POST", JOBS, b"\0" * (settings.MAX_REQUEST_BYTES + 20 * MB))
        assert too_large(connection.getresponse())


def test_a_body_beyond_the_limit_needs_no_key_to_be_refused(site: str) -> None:
    with closing(connect(site)) as connection:
        connection.putrequest("POST", JOBS)
        connection.putheader("Content-Length", str(10**15))
        connection.endheaders()
        assert too_large(connection.getresponse())


def test_a_client_that_waits_for_leave_is_refused_before_it_sends(site: str) -> None:
    with closing(connect(site)) as connection:
        connection.putrequest("POST", JOBS)
        connection.putheader("Content-Length", str(settings.MAX_REQUEST_BYTES + 1))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        answer = connection.getresponse()
        assert too_large(answer)
        assert answer.headers["Connection"] == "close"


def test_a_chunked_body_is_counted_as_it_comes(site: str) -> None:
    blocks = (b"\0" * MB for _ in range(settings.MAX_REQUEST_BYTES // MB + 20))
    with nothing_left(), closing(connect(site)) as connection:
        connection.request(
            "POST", JOBS, blocks, encode_chunked=True, headers={"Transfer-Encoding": "chunked"}
        )
        assert too_large(connection.getresponse())


def test_a_chunked_form_is_read_like_any_other(site: str, alice_key: str) -> None:
    body, content_type = form(photos.jpeg(), prompt=PROMPT)

    def chunks() -> Iterator[bytes]:
        for start in range(0, len(body), 700):
            yield body[start : start + 700]

    headers = {"Authorization": f"Bearer {alice_key}", "Content-Type": content_type}
    answer = requests.post(f"{site}{JOBS}", data=chunks(), headers=headers, timeout=TIMEOUT)
    assert answer.status_code == 201, answer.text


def test_a_client_that_vanishes_in_the_middle_leaves_nothing_and_the_site_up(
    site: str, alice_key: str
) -> None:
    body, content_type = form(photos.jpeg(), prompt=PROMPT)
    with nothing_left():
        for sent in (0, 100, len(body) - 1):
            with closing(connect(site)) as connection:
                connection.putrequest("POST", JOBS)
                connection.putheader("Authorization", f"Bearer {alice_key}")
                connection.putheader("Content-Type", content_type)
                connection.putheader("Content-Length", str(len(body)))
                connection.endheaders(body[:sent])
                assert connection.sock is not None
                connection.sock.shutdown(socket.SHUT_RDWR)
        assert requests.get(f"{site}/healthz", timeout=TIMEOUT).status_code == 200


def test_a_small_refused_request_keeps_the_connection_usable(site: str) -> None:
    with requests.Session() as session:
        for _ in range(2):
            assert session.post(f"{site}{JOBS}", data=b"x" * 1000, timeout=TIMEOUT).status_code == 401


@pytest.mark.parametrize("address", ["/", "/admin/login/", "/api/v1/me/", "/nothing"])
def test_the_limit_is_the_same_everywhere(site: str, address: str) -> None:
    with closing(connect(site)) as connection:
        connection.putrequest("POST", address)
        connection.putheader("Content-Length", str(settings.MAX_REQUEST_BYTES + 1))
        connection.putheader("Expect", "100-continue")
        connection.endheaders()
        assert too_large(connection.getresponse())
