"""The views: validate, call a service, serialise."""

from __future__ import annotations

from typing import Any, ClassVar

import structlog
from django.db.models import Prefetch, QuerySet
from django.http import FileResponse, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.negotiation import BaseContentNegotiation
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.renderers import JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from jobs.models import Category, Job, JobImage, Preset, StaleState
from jobs.services import cancel_job, submit_job
from jobs.states import JobStatus
from jobs.wishes import InvalidRequest, Wish
from payments.models import LedgerEntry
from qwenedit.api.serializers import (
    CategorySerializer,
    JobRequestSerializer,
    JobSerializer,
    LedgerEntrySerializer,
    MeSerializer,
    SubmittedJobSerializer,
)
from qwenedit.users.models import Scope, User

LONGEST_IDEMPOTENCY_KEY = 200
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    location=OpenApiParameter.HEADER,
    description=f"Up to {LONGEST_IDEMPOTENCY_KEY} characters. The same key and body are charged once.",
)


def idempotency_key(request: Request) -> str | None:
    """Return the header's value, or None. Raises InvalidRequest where it can not be a key."""
    key = request.headers.get("Idempotency-Key")
    if key is None:
        return None
    key = key.strip()
    if not 1 <= len(key) <= LONGEST_IDEMPOTENCY_KEY or not key.isprintable():
        raise InvalidRequest(
            **{"Idempotency-Key": f"The header has 1 to {LONGEST_IDEMPOTENCY_KEY} printable characters."}
        )
    return key


class MeView(RetrieveAPIView[User]):
    """Who the key belongs to, and their balance."""

    serializer_class = MeSerializer

    def get_object(self) -> User:
        """Return the key's user."""
        assert isinstance(self.request.user, User)  # noqa: S101  (narrows the type; HasScope saw to it)
        return self.request.user


class LedgerView(ListAPIView[LedgerEntry]):
    """Every movement of the user's points, newest first."""

    serializer_class = LedgerEntrySerializer
    queryset = LedgerEntry.objects.none()

    def get_queryset(self) -> QuerySet[LedgerEntry]:
        """Return the user's own entries."""
        return LedgerEntry.objects.filter(user_id=self.request.user.pk)


class PresetsView(ListAPIView[Category]):
    """All categories, parents before children, with the presets on offer."""

    serializer_class = CategorySerializer
    pagination_class = None
    queryset = Category.objects.select_related("parent").prefetch_related(
        Prefetch("presets", Preset.objects.on_offer().order_by("sort_order", "id"), to_attr="on_offer")
    )


class ResultNegotiation(BaseContentNegotiation):
    """A picture is sent as it is, whatever the client says it accepts."""

    def select_parser(self, request: Request, parsers: Any) -> Any:
        """Return the first parser: there is no body."""
        return parsers[0]

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        """Return JSON, for the errors."""
        return JSONRenderer(), JSONRenderer.media_type


class JobViewSet(viewsets.ReadOnlyModelViewSet[Job]):
    """Edits: submit, follow, fetch, cancel. Only the owner's exist."""

    serializer_class = JobSerializer
    queryset = Job.objects.none()
    write_scope = Scope.EDIT
    lookup_value_converter = "int"
    problems: ClassVar[dict[str, tuple[int, ...]]] = {
        "list": (404,),
        "create": (400, 402, 409, 413, 415, 429),
        "result": (409,),
    }

    def get_queryset(self) -> QuerySet[Job]:
        """Return the user's own jobs."""
        return (
            Job.objects.filter(user_id=self.request.user.pk)
            .select_related("preset")
            .prefetch_related("images")
        )

    def get_parsers(self) -> list[Any]:
        """Take multipart bodies where pictures are sent."""
        return [MultiPartParser(), FormParser()]

    @extend_schema(
        request={"multipart/form-data": JobRequestSerializer},
        responses={201: SubmittedJobSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def create(self, request: Request) -> Response:
        """Submit an edit: it is charged and queued."""
        body = JobRequestSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        fields = body.validated_data
        assert isinstance(request.user, User)  # noqa: S101  (narrows the type; HasScope saw to it)
        submission = submit_job(
            user=request.user,
            wish=Wish.parse(
                preset=fields.get("preset"), prompt=fields.get("prompt"), seed=fields.get("seed")
            ),
            images=fields["image"],
            idempotency_key=idempotency_key(request),
            webhook_url=fields.get("webhook_url", ""),
            request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
        )
        answer = SubmittedJobSerializer(submission.job, context=self.get_serializer_context())
        return Response(answer.data, status=status.HTTP_201_CREATED)

    @extend_schema(
        responses={
            (200, "image/png"): OpenApiResponse(OpenApiTypes.BINARY, description="The picture's bytes"),
        }
    )
    @action(detail=True, content_negotiation_class=ResultNegotiation)
    def result(self, request: Request, pk: int) -> HttpResponseBase:
        """Fetch the edited picture."""
        job = self.get_object()
        image = next((row for row in job.images.all() if row.role == JobImage.Role.RESULT), None)
        if job.status != JobStatus.SUCCEEDED:
            raise StaleState(f"The job is {job.status}: there is no result.")
        if image is None:
            raise StaleState("The result is past its retention time and was deleted.")
        name = f"edit-{job.pk}.{image.file.name.rpartition('.')[2]}"
        response = FileResponse(image.file.open("rb"), filename=name)
        response["Cache-Control"] = "private, max-age=3600"
        return response

    @extend_schema(request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: int) -> Response:
        """Cancel an edit; points come back unless it had succeeded. Repeating it changes nothing."""
        cancel_job(job=self.get_object())
        return Response(self.get_serializer(self.get_object()).data)
