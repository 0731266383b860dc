"""The OpenAPI schema: complete without a warning, and true under thousands of strange requests.

That every answer of the other tests is as documented is seen to by this folder's conftest.
"""

import subprocess
import sys
from collections.abc import Iterator
from typing import Any

import pytest
import schemathesis
from django.conf import settings
from django.core.wsgi import get_wsgi_application
from hypothesis import HealthCheck, Phase
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from schemathesis import Case
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    ignored_auth,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
    unsupported_method,
)

from jobs.models import Job, JobImage
from jobs.states import JobStatus
from payments.ledger import broken_balances
from qwenedit.users.services import create_api_key
from tests.api import contract, photos
from tests.api.traces import stored_files
from tests.factories import JobFactory, PresetFactory, UserFactory

EXAMPLES = 40
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    unsupported_method,
    ignored_auth,
]

PICTURES = st.sampled_from([photos.jpeg(), photos.png(), photos.jpeg()[:200], b"", b"words"])
schemathesis.openapi.format("binary", PICTURES | st.binary(max_size=64))


def test_the_schema_is_made_and_validated_without_a_warning() -> None:
    done = subprocess.run(
        [sys.executable, "manage.py", "spectacular", "--validate", "--fail-on-warn", "--file", "/dev/null"],
        cwd=settings.BASE_DIR,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


def test_the_contracts_addresses_are_all_there() -> None:
    listed = {
        (method.upper(), path)
        for path, operations in contract.schema()["paths"].items()
        for method in operations
    }
    assert listed == {
        ("GET", "/api/v1/me/"),
        ("GET", "/api/v1/me/ledger/"),
        ("GET", "/api/v1/presets/"),
        ("GET", "/api/v1/jobs/"),
        ("POST", "/api/v1/jobs/"),
        ("GET", "/api/v1/jobs/{id}/"),
        ("GET", "/api/v1/jobs/{id}/result/"),
        ("POST", "/api/v1/jobs/{id}/cancel/"),
    }


def test_every_operation_asks_for_a_key_and_documents_its_problems() -> None:
    for operations in contract.schema()["paths"].values():
        for operation in operations.values():
            assert operation["security"] == [{"ApiKey": []}]
            assert operation["summary"]
            assert {"401", "403"} <= set(operation["responses"])


def test_nothing_that_is_always_answered_is_called_optional() -> None:
    components = contract.schema()["components"]["schemas"]
    for name in ("Me", "LedgerEntry", "Category", "Preset", "Job", "SubmittedJob", "Result", "Error"):
        assert set(components[name]["required"]) == set(components[name]["properties"]), name


@pytest.fixture
def rich_key(transactional_db: None) -> Iterator[str]:
    """The key of a user whose points outlast the examples, with an edit in every state."""
    user = UserFactory.create(balance=10**9)
    PresetFactory.create(slug="pencil")
    for status in JobStatus:
        JobFactory.create(user=user, status=status)
    yield create_api_key(user=user)[1]
    assert not broken_balances().exists()
    named = JobImage.objects.values_list("file", flat=True)
    assert sorted(named) == stored_files()


fuzzed = schemathesis.openapi.from_wsgi("/api/schema/?format=json", get_wsgi_application())


@fuzzed.parametrize()
@hypothesis_settings(
    max_examples=EXAMPLES,
    deadline=None,
    derandomize=True,
    database=None,
    phases=[Phase.explicit, Phase.generate],
    suppress_health_check=list(HealthCheck),
)
def test_no_request_breaks_the_api_or_its_promises(case: Case, rich_key: str) -> None:
    if case.path_parameters.get("id") in range(len(JobStatus)):
        jobs = Job.objects.order_by("id").values_list("id", flat=True)
        case.path_parameters["id"] = jobs[case.path_parameters["id"]]
    headers: dict[str, Any] = {"Authorization": f"Bearer {rich_key}"}
    case.call_and_validate(headers=headers, checks=CHECKS)
