"""What tests of the API share: an eye on every answer, an edit to submit, and the site over real HTTP."""

import shutil
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from django.core.files.uploadedfile import SimpleUploadedFile
from django.http import HttpResponseBase
from rest_framework.test import APIClient

from tests.api import contract, photos
from tests.api.server import WebServer

JOBS = "/api/v1/jobs/"
PROMPT = "make it a pencil sketch"

Submit = Callable[..., Any]


@pytest.fixture(autouse=True)
def _every_answer_keeps_the_contract(monkeypatch: pytest.MonkeyPatch) -> None:
    send = APIClient.request

    def send_and_judge(client: APIClient, **request: Any) -> HttpResponseBase:
        answer: HttpResponseBase = send(client, **request)
        contract.check(
            request["REQUEST_METHOD"],
            request["PATH_INFO"],
            answer.status_code,
            answer.headers.get("Content-Type", ""),
            getattr(answer, "content", b""),
        )
        return answer

    monkeypatch.setattr(APIClient, "request", send_and_judge)


@pytest.fixture(autouse=True)
def _empty_storage(settings: Any) -> None:
    shutil.rmtree(settings.MEDIA_ROOT, ignore_errors=True)


def upload(data: bytes, name: str = "photo.jpg", content_type: str = "image/jpeg") -> SimpleUploadedFile:
    """Return a file of a form."""
    return SimpleUploadedFile(name, data, content_type)


@pytest.fixture
def submit(api: APIClient) -> Submit:
    """Submit an edit as alice: `submit(fields…, key="…")`; a photo and a prompt unless told otherwise."""

    def submit(*, client: APIClient = api, key: str | None = None, **fields: Any) -> Any:
        if "prompt" not in fields and "preset" not in fields:
            fields["prompt"] = PROMPT
        form = {"image": upload(photos.jpeg()), **fields}
        headers = {} if key is None else {"HTTP_IDEMPOTENCY_KEY": key}
        given = {name: value for name, value in form.items() if value is not None}
        return client.post(JOBS, given, format="multipart", **headers)

    return submit


@pytest.fixture(scope="session")
def _site(django_db_setup: None) -> Iterator[WebServer]:
    with WebServer() as server:
        yield server


@pytest.fixture
def site(transactional_db: None, _site: WebServer) -> str:
    """The address of the site, served by uvicorn from the same database."""
    return _site.url


@pytest.fixture
def problem() -> Callable[..., dict[str, Any]]:
    """Assert that an answer is a problem with the code, and return its body."""

    def problem(answer: Any, status: int, code: str) -> dict[str, Any]:
        assert answer.status_code == status, answer.content
        assert answer.headers["Content-Type"] == "application/problem+json"
        body: dict[str, Any] = answer.json()
        assert {"type", "title", "status", "detail", "code"} <= set(body)
        assert (body["status"], body["code"]) == (status, code)
        assert body["type"].endswith(f":{code}")
        assert body["title"]
        assert body["detail"]
        if code == "invalid_request":
            assert isinstance(body["errors"], dict)
        return body

    return problem
