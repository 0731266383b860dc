"""How rows look over the API, and how requests are read. Rules of the domain live in the services."""

from __future__ import annotations

from typing import Any

from django.urls import reverse
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from jobs.estimates import Estimate, estimate
from jobs.models import Category, Job, JobImage, Preset
from jobs.states import JobStatus
from jobs.wishes import MOST_PHOTOS
from payments.models import LedgerEntry
from qwenedit.users.models import User


class MeSerializer(serializers.ModelSerializer[User]):
    class Meta:
        model = User
        fields = ["id", "telegram_id", "username", "language", "balance"]


class LedgerEntrySerializer(serializers.ModelSerializer[LedgerEntry]):
    class Meta:
        model = LedgerEntry
        fields = ["id", "amount", "balance_after", "kind", "description", "created_at"]


class PresetSerializer(serializers.ModelSerializer[Preset]):
    price = serializers.IntegerField(source="cost", help_text="Points.")

    class Meta:
        model = Preset
        fields = ["slug", "title_ru", "title_en", "icon", "photos", "price"]


class CategorySerializer(serializers.ModelSerializer[Category]):
    parent = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    presets = PresetSerializer(many=True, source="on_offer", read_only=True)

    class Meta:
        model = Category
        fields = ["slug", "parent", "title_ru", "title_en", "icon", "presets"]


class JobRequestSerializer(serializers.Serializer[Any]):
    """The multipart body of a submission: 1-3 pictures, and either a preset or a prompt."""

    image = serializers.ListField(
        child=serializers.FileField(allow_empty_file=True, max_length=None),
        min_length=1,
        max_length=MOST_PHOTOS,
        help_text="JPEG, PNG, WEBP or HEIC. Repeat the field for a second and a third picture.",
    )
    preset = serializers.CharField(
        required=False, allow_blank=True, max_length=100, help_text="A preset's slug."
    )
    prompt = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=10_000,
        trim_whitespace=False,
        help_text="5-500 characters.",
    )
    seed = serializers.IntegerField(required=False, min_value=0, help_text="Drawn at random unless given.")
    webhook_url = serializers.URLField(required=False, max_length=500)


class ErrorSerializer(serializers.Serializer[Any]):
    code = serializers.CharField()
    message = serializers.CharField()


class ResultSerializer(serializers.Serializer[JobImage]):
    url = serializers.URLField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    bytes = serializers.IntegerField()


class JobSerializer(serializers.ModelSerializer[Job]):
    """A job as its owner sees it. Needs `context["request"]` for the address of the result."""

    preset = serializers.SlugRelatedField(slug_field="slug", read_only=True, allow_null=True)
    prompt = serializers.SerializerMethodField()
    position = serializers.SerializerMethodField()
    eta_seconds = serializers.SerializerMethodField()
    error = serializers.SerializerMethodField()
    results = serializers.SerializerMethodField()

    class Meta:
        model = Job
        fields = [
            "id", "status", "progress", "waiting_for_gpu", "position", "eta_seconds", "price", "preset",
            "prompt", "seed", "error", "results", "created_at", "started_at", "finished_at",
        ]  # fmt: skip

    def get_prompt(self, job: Job) -> str | None:
        """The user's own words; a preset's prompt is the house's secret sauce."""
        return None if job.preset_id else job.prompt

    def get_position(self, job: Job) -> int | None:
        place = self._estimate(job)
        return place.position if place else None

    def get_eta_seconds(self, job: Job) -> int | None:
        place = self._estimate(job)
        return place.eta_seconds if place else None

    @extend_schema_field(ErrorSerializer(allow_null=True))
    def get_error(self, job: Job) -> dict[str, str] | None:
        if not job.error_code:
            return None
        return {"code": job.error_code, "message": job.error_message}

    @extend_schema_field(ResultSerializer(many=True))
    def get_results(self, job: Job) -> list[dict[str, Any]]:
        if job.status != JobStatus.SUCCEEDED:
            return []
        url = self.context["request"].build_absolute_uri(reverse("api:job-result", args=[job.pk]))
        return [
            {"url": url, "width": image.width, "height": image.height, "bytes": image.bytes}
            for image in job.images.all()
            if image.role == JobImage.Role.RESULT
        ]

    def _estimate(self, job: Job) -> Estimate | None:
        known: dict[int, Estimate | None] = self.context.setdefault("estimates", {})
        if job.pk not in known:
            known[job.pk] = estimate(job)
        return known[job.pk]


class SubmittedJobSerializer(JobSerializer):
    """The answer to a submission: the job as it was queued, and the balance after the charge."""

    balance = serializers.IntegerField(source="receipt.balance", help_text="Points left.")

    class Meta(JobSerializer.Meta):
        fields = [*JobSerializer.Meta.fields, "balance"]

    def to_representation(self, job: Job) -> dict[str, Any]:
        """Return the first answer, however the job has fared since."""
        now = super().to_representation(job)
        as_queued = {
            "status": JobStatus.QUEUED,
            "progress": 0,
            "waiting_for_gpu": False,
            "position": job.receipt["position"],
            "eta_seconds": job.receipt["eta_seconds"],
            "error": None,
            "results": [],
            "started_at": None,
            "finished_at": None,
        }
        return now | as_queued
