"""The published OpenAPI schema as a judge: does an answer look as the schema promises?"""

import json
import re
from functools import cache
from typing import Any

from drf_spectacular.generators import SchemaGenerator
from jsonschema import Draft202012Validator, FormatChecker

# The schema lists the methods that exist; that the others do not is HTTP's own answer.
NEVER_LISTED = {405}


@cache
def schema() -> dict[str, Any]:
    """Return the schema as `/api/schema/` serves it."""
    document: dict[str, Any] = json.loads(
        json.dumps(SchemaGenerator().get_schema(request=None, public=True), default=str)
    )
    return document


def operation(method: str, path: str) -> dict[str, Any] | None:
    """Return the operation at an address, or None where the schema has none."""
    for template, operations in schema()["paths"].items():
        if re.fullmatch(re.sub(r"\{\w+\}", r"[0-9]+", template), path):
            found: dict[str, Any] | None = operations.get(method.lower())
            return found
    return None


def check(method: str, path: str, status: int, content_type: str, body: bytes) -> None:
    """Fail unless the schema documents the answer; addresses that it does not list are nobody's promise."""
    listed = operation(method, path)
    if listed is None or status in NEVER_LISTED:
        return
    answers = listed["responses"]
    assert str(status) in answers, f"{method} {path} does not document {status}: {body[:300]!r}"
    media_type = content_type.partition(";")[0]
    contents = answers[str(status)].get("content")
    if contents is None:
        assert body == b"", f"{method} {path} documents an empty {status}"
        return
    assert media_type in contents, f"{method} {path} {status} documents {list(contents)}, not {media_type}"
    if "json" not in media_type:
        return
    rules = contents[media_type]["schema"]
    answer = json.loads(body)
    validator = Draft202012Validator(
        {**rules, "components": schema()["components"]}, format_checker=FormatChecker()
    )
    problems = [f"{error.json_path}: {error.message}" for error in validator.iter_errors(answer)]
    assert not problems, f"{method} {path} {status}: {problems}"
    if status < 400 and "$ref" in rules:
        component = schema()["components"]["schemas"][rules["$ref"].rpartition("/")[2]]
        assert set(answer) == set(component["properties"]), f"{method} {path} is not documented in full"
