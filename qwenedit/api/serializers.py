"""How rows look over the API, and how requests are read. Rules of the domain live in the services."""

from __future__ import annotations

from typing import Any

from django.core.validators import URLValidator
from django.urls import reverse
from django.utils.functional import cached_property
from rest_framework import serializers

from jobs.estimates import Estimate, estimates
from jobs.models import Category, Job, JobImage, Preset
from jobs.states import JobStatus
from jobs.wishes import LONGEST_PROMPT, MOST_PHOTOS, SEED_BITS, SHORTEST_PROMPT
from payments.models import LedgerEntry
from qwenedit.users.models import User

LARGEST_SEED = 2**SEED_BITS - 1
# Space around a prompt is not counted, and its length is judged by the service: this only bounds the work.
LONGEST_TEXT = 10_000

HOW_MANY_PICTURES = f"Send 1 to {MOST_PHOTOS} pictures, each as a part named “image”."
PROMPT_LENGTH = f"A prompt has {SHORTEST_PROMPT} to {LONGEST_PROMPT} characters."
SEED_RANGE = f"A seed is a whole number from 0 to {LARGEST_SEED}."
NO_SUCH_PRESET = "There is no such preset."
WEB_ADDRESS = "Give an address that begins with http:// or https://."


class MeSerializer(serializers.ModelSerializer[User]):
    """The key's user."""

    class Meta:
        model = User
        fields = ["id", "telegram_id", "username", "language", "balance"]
        read_only_fields = fields


class LedgerEntrySerializer(serializers.ModelSerializer[LedgerEntry]):
    """One movement of points: `amount` is negative where points were spent."""

    class Meta:
        model = LedgerEntry
        fields = ["id", "amount", "balance_after", "kind", "description", "created_at"]
        read_only_fields = fields


class PresetSerializer(serializers.ModelSerializer[Preset]):
    """A ready-made wish. It needs exactly `photos` pictures."""

    price = serializers.IntegerField(source="cost", read_only=True, help_text="Points.")

    class Meta:
        model = Preset
        fields = ["slug", "title_ru", "title_en", "icon", "photos", "price"]
        read_only_fields = fields


class CategorySerializer(serializers.ModelSerializer[Category]):
    """A shelf of the catalogue."""

    parent: serializers.SlugRelatedField[Category] = serializers.SlugRelatedField(  # type: ignore[assignment]
        slug_field="slug", read_only=True, allow_null=True
    )
    presets = PresetSerializer(many=True, source="on_offer", read_only=True)

    class Meta:
        model = Category
        fields = ["slug", "parent", "title_ru", "title_en", "icon", "presets"]
        read_only_fields = fields


class PicturesField(serializers.ListField):
    """The uploaded files; what is wrong with one is said by its place, in one list."""

    default_error_messages = {
        "required": HOW_MANY_PICTURES,
        "min_length": HOW_MANY_PICTURES,
        "max_length": HOW_MANY_PICTURES,
    }

    def run_child_validation(self, data: Any) -> list[Any]:
        """Return the files. Raises ValidationError with one text a picture."""
        files, problems = [], []
        for place, file in enumerate(data, start=1):
            try:
                files.append(self.child.run_validation(file))
            except serializers.ValidationError as error:
                problems += [f"Picture {place}: {text}" for text in error.detail]
        if problems:
            raise serializers.ValidationError(problems)
        return files


class SubmissionSerializer(serializers.Serializer[Any]):
    """The multipart body of a submission: 1-3 pictures, and either a preset or a prompt."""

    image = PicturesField(
        child=serializers.FileField(
            allow_empty_file=True,
            error_messages={"invalid": "This is text, not a file: the part needs a file name."},
        ),
        min_length=1,
        max_length=MOST_PHOTOS,
        help_text="JPEG, PNG, WEBP or HEIC. Repeat the field for a second and a third picture.",
    )
    preset = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=100,
        error_messages={"max_length": NO_SUCH_PRESET},
        help_text="A preset's slug.",
    )
    prompt = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=LONGEST_TEXT,
        trim_whitespace=False,
        error_messages={"max_length": PROMPT_LENGTH},
        help_text=f"{SHORTEST_PROMPT}-{LONGEST_PROMPT} characters.",
    )
    seed = serializers.IntegerField(
        required=False,
        min_value=0,
        max_value=LARGEST_SEED,
        error_messages=dict.fromkeys(["invalid", "min_value", "max_value", "max_string_length"], SEED_RANGE),
        help_text="Drawn at random unless given.",
    )
    webhook_url = serializers.CharField(
        required=False,
        allow_blank=True,
        max_length=500,
        validators=[URLValidator(schemes=["http", "https"], message=WEB_ADDRESS)],
        help_text="An http or https address.",
    )


class ErrorSerializer(serializers.Serializer[Any]):
    """Why a job failed: `code` is for machines, `message` for people."""

    code = serializers.CharField()
    message = serializers.CharField()


class ResultSerializer(serializers.Serializer[JobImage]):
    """Where a result is, and how large."""

    url = serializers.URLField()
    width = serializers.IntegerField()
    height = serializers.IntegerField()
    bytes = serializers.IntegerField()


class JobSerializer(serializers.ModelSerializer[Job]):
    """An edit, as its owner sees it."""

    # The fields say what is shown; `to_representation` shows it, as making DRF's fields for every answer
    # costs more than reading the edit.
    preset = serializers.CharField(read_only=True, allow_null=True, help_text="A preset's slug.")
    prompt = serializers.CharField(
        read_only=True, allow_null=True, help_text="The user's own words; null for a preset."
    )
    position = serializers.IntegerField(
        read_only=True, allow_null=True, help_text="Place in the queue, from 1, while queued."
    )
    eta_seconds = serializers.IntegerField(
        read_only=True,
        allow_null=True,
        help_text="Time until the result, while queued; from a node's return where that is waited for.",
    )
    error = ErrorSerializer(read_only=True, allow_null=True)
    results = ResultSerializer(read_only=True, many=True)

    class Meta:
        model = Job
        fields = [
            "id", "status", "progress", "waiting_for_gpu", "position", "eta_seconds", "price", "preset",
            "prompt", "seed", "error", "results", "created_at", "started_at", "finished_at",
        ]  # fmt: skip
        read_only_fields = fields

    def to_representation(self, instance: Job) -> dict[str, Any]:
        """Return how the job looks. Needs `context["request"]`."""
        job = instance
        place = self._estimates.get(job.pk)
        return {
            "id": job.pk,
            "status": job.status,
            "progress": job.progress,
            "waiting_for_gpu": job.waiting_for_gpu,
            "position": place.position if place else None,
            "eta_seconds": place.eta_seconds if place else None,
            "price": job.price,
            "preset": job.preset.slug if job.preset else None,
            # A preset's prompt stays with the house.
            "prompt": None if job.preset else job.prompt,
            "seed": job.seed,
            "error": {"code": job.error_code, "message": job.error_message} if job.error_code else None,
            "results": self._results(job),
            "created_at": job.created_at,
            "started_at": job.started_at,
            "finished_at": job.finished_at,
        }

    def _results(self, job: Job) -> list[dict[str, Any]]:
        """Return the results; none is left after the retention time."""
        if job.status != JobStatus.SUCCEEDED:
            return []
        url = self.context["request"].build_absolute_uri(reverse("api:job-result", args=[job.pk]))
        return [
            {"url": url, "width": image.width, "height": image.height, "bytes": image.bytes}
            for image in job.images.all()
            if image.role == JobImage.Role.RESULT
        ]

    @cached_property
    def _estimates(self) -> dict[int, Estimate]:
        """Estimates of all the jobs of the answer, so that a page costs no more queries than one job."""
        shown: Any = self.root.instance
        return estimates([shown] if isinstance(shown, Job) else shown)


class SubmittedJobSerializer(JobSerializer):
    """The answer to a submission: the job as it was queued, and the balance after the charge.

    A replay is given the first answer, however the job has fared since.
    """

    balance = serializers.IntegerField(read_only=True, help_text="Points left.")

    class Meta(JobSerializer.Meta):
        fields = [*JobSerializer.Meta.fields, "balance"]
        read_only_fields = fields

    def to_representation(self, instance: Job) -> dict[str, Any]:
        """Return the first answer."""
        return super().to_representation(instance) | {
            "status": JobStatus.QUEUED,
            "progress": 0,
            "waiting_for_gpu": False,
            **instance.receipt,  # position, eta_seconds and balance
            "error": None,
            "results": [],
            "started_at": None,
            "finished_at": None,
        }

    @cached_property
    def _estimates(self) -> dict[int, Estimate]:
        """No estimates: the receipt has the first one."""
        return {}
