"""The views: validate, call a service, serialise."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator
from typing import Any, ClassVar

import structlog
from django.db.models import BigIntegerField, Prefetch, QuerySet
from django.http import Http404, HttpResponse
from django.http.response import HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema, extend_schema_view
from rest_framework import status, viewsets
from rest_framework.decorators import action
from rest_framework.generics import ListAPIView, RetrieveAPIView
from rest_framework.parsers import MultiPartParser
from rest_framework.request import Request
from rest_framework.response import Response

from jobs import pictures
from jobs.models import Category, Job, JobImage, Preset, StaleState
from jobs.services import cancel_job, submit_job
from jobs.states import JobStatus
from jobs.wishes import InvalidRequest, Wish
from payments.models import LedgerEntry
from qwenedit.api import event_streams
from qwenedit.api.base import ApiView, owner
from qwenedit.api.serializers import (
    CategorySerializer,
    JobSerializer,
    LedgerEntrySerializer,
    MeSerializer,
    SubmissionSerializer,
    SubmittedJobSerializer,
)
from qwenedit.lib.compiled import Asked, Compiled
from qwenedit.users.models import Scope, User
from webhooks.services import check_url

LONGEST_IDEMPOTENCY_KEY = 200
IDEMPOTENCY_KEY = OpenApiParameter(
    "Idempotency-Key",
    {"type": "string", "minLength": 1, "maxLength": LONGEST_IDEMPOTENCY_KEY},
    OpenApiParameter.HEADER,
    description="Printable characters. The same key and body return the first answer and are charged once.",
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


@extend_schema(summary="The key's user and their balance")
class MeView(ApiView, RetrieveAPIView[User]):
    """Who the key belongs to, and their balance."""

    serializer_class = MeSerializer

    def get_object(self) -> User:
        """Return the key's user."""
        return owner(self.request)


@extend_schema(summary="Every movement of points")
class LedgerView(ApiView, ListAPIView[LedgerEntry]):
    """Every movement of the user's points, newest first."""

    serializer_class = LedgerEntrySerializer
    queryset = LedgerEntry.objects.none()
    problems: ClassVar[dict[str, tuple[int, ...]]] = {"get": (400,)}

    def get_queryset(self) -> QuerySet[LedgerEntry]:
        """Return the user's own entries."""
        return LedgerEntry.objects.filter(user=owner(self.request))


@extend_schema(summary="The catalogue")
class PresetsView(ApiView, ListAPIView[Category]):
    """All categories, each followed by those inside it, with the presets on offer."""

    serializer_class = CategorySerializer
    pagination_class = None
    queryset = Category.objects.select_related("parent").prefetch_related(
        Prefetch("presets", Preset.objects.on_offer().order_by("sort_order", "id"), to_attr="on_offer")
    )

    def list(self, request: Request, *args: Any, **kwargs: Any) -> Response:
        """Answer with the whole tree, shelf by shelf."""
        return Response(self.get_serializer(_depth_first(self.get_queryset()), many=True).data)


def _depth_first(categories: Iterable[Category]) -> list[Category]:
    children: dict[int | None, list[Category]] = defaultdict(list)
    for category in categories:
        children[category.parent_id].append(category)

    def walk(parent: int | None) -> Iterator[Category]:
        for category in children[parent]:
            yield category
            yield from walk(category.pk)

    return list(walk(None))


# Programs ask for a job every second until it is done.
_job = Compiled(lambda pk: Job.objects.filter(pk=pk).select_related("preset"))


@extend_schema_view(
    list=extend_schema(summary="Your edits", description="Newest first, whatever their status."),
    retrieve=extend_schema(summary="One edit", description="Ask every second or two, or follow its events."),
)
class JobViewSet(ApiView, viewsets.ReadOnlyModelViewSet[Job]):
    """Edits: submit, follow, fetch, cancel. Only the owner's exist."""

    serializer_class = JobSerializer
    parser_classes = [MultiPartParser]
    queryset = Job.objects.none()
    write_scope = Scope.EDIT
    lookup_value_converter = "int"
    problems: ClassVar[dict[str, tuple[int, ...]]] = {
        "list": (400,),
        "create": (400, 402, 409, 413, 415, 429),
        "result": (409,),
        "events": (429,),
    }

    def get_queryset(self) -> QuerySet[Job]:
        """Return the user's own jobs."""
        jobs = Job.objects.filter(user=owner(self.request))
        return jobs.select_related("preset").prefetch_related("images")

    def ask_along(self) -> Asked[list[Job]] | None:
        """Ask for the job that the address names."""
        pk = self.kwargs.get("pk")
        # A greater number is none to the database; the greatest is nobody's.
        return None if pk is None else _job.of(min(pk, BigIntegerField.MAX_BIGINT))

    def get_object(self) -> Job:
        """Return the one that the address names. Raises Http404 where it is not the user's."""
        found: list[Job] = self.along
        for job in found:
            if job.user_id == owner(self.request).pk:
                return job
        raise Http404

    @extend_schema(
        summary="Submit an edit",
        request={"multipart/form-data": SubmissionSerializer},
        responses={201: SubmittedJobSerializer},
        parameters=[IDEMPOTENCY_KEY],
    )
    def create(self, request: Request) -> Response:
        """Submit an edit: it is charged and queued."""
        key = idempotency_key(request)
        body = SubmissionSerializer(data=request.data)
        body.is_valid(raise_exception=True)
        fields = body.validated_data
        if fields.get("webhook_url"):
            check_url(fields["webhook_url"], field="webhook_url")
        submission = submit_job(
            user=owner(request),
            wish=Wish.parse(
                preset=fields.get("preset"), prompt=fields.get("prompt"), seed=fields.get("seed")
            ),
            images=fields["image"],
            idempotency_key=key,
            priority=Job.Priority.BATCH,  # a program waits more patiently than a person
            webhook_url=fields.get("webhook_url", ""),
            request_id=structlog.contextvars.get_contextvars().get("request_id", ""),
        )
        answer = SubmittedJobSerializer(submission.job, context=self.get_serializer_context())
        return Response(answer.data, status=status.HTTP_201_CREATED)

    @extend_schema(
        summary="The edited picture",
        responses={
            (200, "image/png"): OpenApiResponse(OpenApiTypes.BINARY, description="The picture's bytes"),
        },
    )
    @action(detail=True)
    def result(self, request: Request, pk: int) -> HttpResponse:
        """Fetch the edited picture, once the edit has succeeded."""
        job = self.get_object()
        if job.status != JobStatus.SUCCEEDED:
            raise StaleState(f"The job is {job.status}: there is no result.")
        image = next((row for row in job.images.all() if row.role == JobImage.Role.RESULT), None)
        if image is None:
            raise StaleState("The result is past its retention time and was deleted.")
        # Whole rather than streamed: the server would collect a stream of Django's before it sends it.
        answer = HttpResponse(pictures.read(image), content_type="image/png")
        answer["Content-Disposition"] = f'inline; filename="edit-{job.pk}.png"'
        return answer

    @extend_schema(
        summary="An edit as it happens",
        description=event_streams.DESCRIPTION,
        responses={
            (200, event_streams.MEDIA_TYPE): OpenApiResponse(event_streams.EVENT, description="Each event"),
        },
        parameters=[event_streams.LAST_EVENT_ID],
    )
    @action(detail=True)
    def events(self, request: Request, pk: int) -> HttpResponseBase:
        """Follow an edit by server-sent events."""
        return event_streams.answer(request, self.get_object())

    @extend_schema(summary="Cancel an edit", request=None, responses={200: JobSerializer})
    @action(detail=True, methods=["post"])
    def cancel(self, request: Request, pk: int) -> Response:
        """Cancel an edit; points come back unless it had succeeded. Repeating it changes nothing."""
        return Response(self.get_serializer(cancel_job(job=self.get_object())).data)
