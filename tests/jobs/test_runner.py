"""One attempt after another against a ComfyUI that speaks the real contract, with every fault it has."""

import io
import logging
import threading
import time
import uuid
from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
import requests
from django.conf import settings as django_settings
from django.core.files.storage import default_storage
from django.db import IntegrityError, connections
from django.utils import timezone
from PIL import Image

from jobs import attempts, nodes, runner, scheduler
from jobs.attempts import AttemptRun
from jobs.comfy import follower
from jobs.comfy.client import ComfyClient
from jobs.comfy.events import EventStream
from jobs.leases import LeaseKeeper
from jobs.models import Attempt, Job, JobImage, Node, StaleState
from jobs.scheduler import Claim, Idle
from jobs.services import cancel_job, settle_success
from jobs.states import AttemptStatus, JobStatus
from payments.models import LedgerEntry
from qwenedit.lib.images import strip_result
from tests.factories import UserFactory
from tests.jobs.conftest import Submit
from tests.runners import run_claimed
from tests.servers import SandboxServer
from tests.waiting import wait_until

Run = Callable[[], Claim | Idle]

pytestmark = pytest.mark.django_db(transaction=True)


def ledger_of(job: Job) -> list[tuple[str, int]]:
    """Return what was moved for a job: cause and points, oldest first."""
    entries = LedgerEntry.objects.filter(key__startswith=f"job:{job.pk}:").order_by("id")
    return [(entry.key.rpartition(":")[2], entry.amount) for entry in entries]


def prompts_seen_by(sandbox: SandboxServer) -> list[str]:
    """Return the ids of all prompts the node has finished."""
    return list(requests.get(f"{sandbox.url}/history", timeout=30).json())


def result_files() -> list[str]:
    """Return every result in the storage, whoever's it is."""
    folder = django_settings.MEDIA_ROOT / "results"
    return [str(path) for path in folder.rglob("*.png")] if folder.exists() else []


@pytest.fixture
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give a node that executes nothing a second, and look at it often."""
    monkeypatch.setattr(follower, "STALL_GRACE", 1.0)
    monkeypatch.setattr(follower, "POLL_BESIDE_EVENTS", 0.2)


@pytest.fixture
def in_background(run: Run) -> Callable[[], threading.Thread]:
    """Run the next job in a thread of its own, as a worker does, and close the thread's connection."""

    def start() -> threading.Thread:
        def target() -> None:
            try:
                run()
            finally:
                connections.close_all()

        thread = threading.Thread(target=target)
        thread.start()
        return thread

    return start


def test_a_photo_and_a_wish_become_the_edited_picture(
    submit: Submit, run: Run, sandbox: SandboxServer
) -> None:
    job = submit("make it a pencil sketch")

    run()

    job.refresh_from_db()
    assert (job.status, job.progress, job.failures) == (JobStatus.SUCCEEDED, 100, 0)
    assert job.lease_token is None
    assert ledger_of(job) == [("charge", -job.price)]
    attempt = job.attempts.get()
    assert attempt.status == AttemptStatus.SUCCEEDED
    assert prompts_seen_by(sandbox) == [str(attempt.pk)]
    result = job.images.get(role=JobImage.Role.RESULT)
    with result.file.open() as file, Image.open(file) as picture:
        assert picture.size == (result.width, result.height) == (1024, 1024)
        assert picture.info == {}


def test_the_shape_of_the_photo_is_kept(submit: Submit, run: Run, sample_photo: bytes, alice: object) -> None:
    wide = io.BytesIO()
    with Image.open(io.BytesIO(sample_photo)) as photo:
        photo.resize((1600, 700)).save(wide, "PNG")
    from jobs.services import submit_job
    from jobs.wishes import Wish

    job = submit_job(user=alice, wish=Wish.parse(prompt="warm light"), images=[wide.getvalue()]).job

    run()

    result = job.images.get(role=JobImage.Role.RESULT)
    assert result.width / result.height == pytest.approx(1600 / 700, rel=0.02)


def test_three_pictures_reach_the_model_in_their_order(
    submit: Submit, run: Run, sandbox: SandboxServer
) -> None:
    job = submit(photos=3)

    run()

    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    (entry,) = requests.get(f"{sandbox.url}/history", timeout=30).json().values()
    encoder = entry["prompt"][2]["positive"]["inputs"]
    assert {"image1", "image2", "image3"} <= set(encoder)


def test_again_is_another_picture(submit: Submit, run: Run) -> None:
    first, second = submit(), submit()
    run()
    run()

    assert first.seed != second.seed
    digests = {JobImage.objects.get(job=job, role=JobImage.Role.RESULT).sha256 for job in (first, second)}
    assert len(digests) == 2


def test_out_of_memory_is_tried_again_and_charged_once(
    submit: Submit, run: Run, sandbox: SandboxServer
) -> None:
    job = submit()
    sandbox.control(out_of_memory=1)

    run()

    job.refresh_from_db()
    assert (job.status, job.failures) == (JobStatus.QUEUED, 1)
    assert job.next_attempt_at is not None
    delay = job.next_attempt_at - job.attempts.get().finished_at
    assert delay == pytest.approx(timedelta(seconds=5), abs=timedelta(seconds=0.5))
    assert ledger_of(job) == [("charge", -job.price)]

    run()

    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    first, second = job.attempts.all()
    assert (first.status, first.error_code) == (AttemptStatus.FAILED, "out_of_memory")
    assert first.pk != second.pk
    assert ledger_of(job) == [("charge", -job.price)]


def test_the_third_failure_ends_the_job_and_gives_the_points_back(
    submit: Submit, run: Run, sandbox: SandboxServer
) -> None:
    job = submit()
    sandbox.control(out_of_memory=3)
    delays = []

    for _ in range(3):
        run()
        job.refresh_from_db()
        if job.next_attempt_at:
            newest = job.attempts.order_by("-number").first()
            delays.append(round((job.next_attempt_at - newest.finished_at).total_seconds()))

    assert (job.status, job.failures, job.error_code) == (JobStatus.FAILED, 3, "out_of_memory")
    assert delays == [5, 10]
    assert job.error_message == "The GPU server ran out of memory. Your points are back."
    assert ledger_of(job) == [("charge", -job.price), ("refund", job.price)]
    assert run() is Idle.NOTHING_DUE
    assert result_files() == []


def test_a_missing_model_fails_at_once_and_alarms_the_operator(
    submit: Submit, run: Run, sandbox: SandboxServer, caplog: pytest.LogCaptureFixture
) -> None:
    job = submit()
    sandbox.control(missing_models=["qwen_image_vae.safetensors"])

    with caplog.at_level(logging.ERROR):
        run()

    job.refresh_from_db()
    assert (job.status, job.failures, job.error_code) == (JobStatus.FAILED, 1, "model_missing")
    assert "qwen_image_vae" not in job.error_message
    assert "qwen_image_vae.safetensors" in job.attempts.get().error_detail
    assert ledger_of(job) == [("charge", -job.price), ("refund", job.price)]
    assert any("Operator alarm" in record.getMessage() for record in caplog.records)


def test_a_lost_answer_to_the_submission_does_not_run_the_prompt_twice(
    submit: Submit, run: Run, sandbox: SandboxServer
) -> None:
    job = submit()
    sandbox.control(lose_answers=1)

    run()

    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    assert prompts_seen_by(sandbox) == [str(job.attempts.get().pk)]


def test_without_a_websocket_the_poll_brings_the_result(
    submit: Submit, run: Run, sandbox: SandboxServer
) -> None:
    job = submit()
    sandbox.control(refuse_websockets=60)

    run()

    job.refresh_from_db()
    assert (job.status, job.attempts.count()) == (JobStatus.SUCCEEDED, 1)


def test_a_websocket_that_breaks_in_the_middle_costs_nothing(
    submit: Submit, run: Run, sandbox: SandboxServer
) -> None:
    job = submit()
    sandbox.control(cut_websockets=1, refuse_websockets=2, seconds_per_step=0.2)

    run()

    job.refresh_from_db()
    assert (job.status, job.attempts.count()) == (JobStatus.SUCCEEDED, 1)


def test_a_restart_of_comfyui_is_tried_again(
    submit: Submit, run: Run, in_background: Callable[[], threading.Thread], sandbox: SandboxServer
) -> None:
    job = submit()
    sandbox.control(seconds_per_step=30)
    worker = in_background()
    wait_until(lambda: Attempt.objects.filter(executing_at__isnull=False).exists())

    sandbox.control(restart=True, seconds_per_step=0)
    worker.join(30)

    job.refresh_from_db()
    assert (job.status, job.failures) == (JobStatus.QUEUED, 1)
    assert job.attempts.get().error_code == "prompt_lost"
    run()
    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    assert ledger_of(job) == [("charge", -job.price)]


def test_an_attempt_that_hangs_is_given_up_after_its_time(
    submit: Submit, run: Run, sandbox: SandboxServer, settings: object
) -> None:
    job = submit()
    settings.COMFYUI_TIMEOUT = 2
    sandbox.control(hang=True)

    run()

    job.refresh_from_db()
    assert (job.status, job.failures) == (JobStatus.QUEUED, 1)
    assert job.attempts.get().error_code == "attempt_timeout"


@pytest.mark.usefixtures("impatient")
def test_a_node_that_executes_nothing_gives_its_job_back_for_any_other_at_once(
    submit: Submit, run: Run, sandbox: SandboxServer
) -> None:
    job = submit()
    sandbox.control(worker_dead=True)

    run()

    job.refresh_from_db()
    assert (job.status, job.failures) == (JobStatus.QUEUED, 0)
    assert job.attempts.get().error_code == "node_stalled"
    assert job.next_attempt_at <= timezone.now()


@pytest.mark.usefixtures("impatient")
def test_a_node_whose_thread_died_within_an_edit_is_found_out_by_the_next_attempt(
    submit: Submit, run: Run, sandbox: SandboxServer, settings: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "OVERDUE_AFTER", timedelta(0))
    settings.COMFYUI_TIMEOUT = 2
    job = submit()
    sandbox.control(hang=True)

    run()
    run()

    job.refresh_from_db()
    assert list(job.attempts.order_by("number").values_list("error_code", flat=True)) == [
        "attempt_timeout",
        "node_stalled",
    ]
    assert (job.status, job.failures) == (JobStatus.QUEUED, 1)
    row = Node.objects.get()
    assert row.tripped_until > row.tripped_at


@pytest.mark.parametrize("has_just_looked", [False, True])
def test_abandoned_work_comes_first_or_at_the_latest_before_a_runner_stops(
    submit: Submit,
    node: Node,
    monkeypatch: pytest.MonkeyPatch,
    has_just_looked: bool,
) -> None:
    monkeypatch.setattr(runner, "_next_look", time.monotonic() + 60 if has_just_looked else 0.0)
    abandoned, queued = submit(), submit()
    assert isinstance(scheduler.claim_next(), Claim)
    Job.objects.filter(pk=abandoned.pk).update(lease_until=timezone.now() - timedelta(seconds=1))

    assert runner.run_all() is Idle.NOTHING_DUE

    first, second = abandoned.attempts.order_by("number")
    assert first.error_code == "prompt_lost", "adopted, and never submitted"
    adopted_last = queued.attempts.get().created_at < first.finished_at
    assert adopted_last is has_just_looked
    assert first.finished_at < second.created_at
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.SUCCEEDED}


def test_a_runner_hears_of_edit_after_edit_by_one_socket(
    submit: Submit, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []

    def connect(stream: EventStream, really: Callable[[EventStream], bool] = EventStream.connect) -> bool:
        opened.append(stream.client_id)
        return really(stream)

    monkeypatch.setattr(EventStream, "connect", connect)
    monkeypatch.setattr(follower, "POLL_BESIDE_EVENTS", 600.0)
    jobs = [submit(user=UserFactory()) for _ in range(3)]

    assert runner.run_all() is Idle.NOTHING_DUE

    first, *others = [job.attempts.get() for job in jobs]
    assert opened == [first.pk.hex]
    assert [first.client_id, *(attempt.client_id for attempt in others)] == [None, first.pk, first.pk]
    assert set(Job.objects.values_list("status", flat=True)) == {JobStatus.SUCCEEDED}


def test_a_socket_whose_edit_was_taken_over_is_not_used_again(
    submit: Submit, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = submit(), submit()

    def lose(run: AttemptRun, outputs: Any, really: Any = AttemptRun._collect) -> Any:
        if run.job.pk == first.pk:  # as where another runner, which listens by the same id, has adopted it
            Job.objects.filter(pk=first.pk).update(lease_token=uuid.uuid4())
        return really(run, outputs)

    monkeypatch.setattr(AttemptRun, "_collect", lose)
    runner.run_all()

    second.refresh_from_db()
    assert second.status == JobStatus.SUCCEEDED
    assert second.attempts.get().client_id is None, "it has opened one of its own"


@pytest.mark.parametrize("adopted", [True, False])
def test_a_socket_that_can_not_be_kept_is_closed_before_the_result_is_fetched(
    submit: Submit, run: Run, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch, adopted: bool
) -> None:
    streams: list[EventStream] = []
    is_open: list[bool] = []

    def connect(stream: EventStream, really: Callable[[EventStream], bool] = EventStream.connect) -> bool:
        streams.append(stream)
        return really(stream)

    def collect(run: AttemptRun, outputs: Any, really: Any = AttemptRun._collect) -> Any:
        is_open.extend(stream.is_connected for stream in streams)
        return really(run, outputs)

    monkeypatch.setattr(EventStream, "connect", connect)
    monkeypatch.setattr(AttemptRun, "_collect", collect)
    job = submit()
    if adopted:
        submit_to_node(claim())
        expire_lease(job)

    run()

    assert is_open == [not adopted]


def test_an_edit_whose_socket_broke_since_the_last_one_is_done_all_the_same(
    submit: Submit, node: Node, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    jobs = [submit(user=UserFactory()) for _ in range(3)]

    def break_sockets(run: AttemptRun, really: Callable[[AttemptRun], None] = AttemptRun.submit) -> None:
        sandbox.control(drop_websockets=True)
        really(run)

    monkeypatch.setattr(AttemptRun, "submit", break_sockets)

    assert runner.run_all() is Idle.NOTHING_DUE

    assert set(Job.objects.values_list("status", "failures")) == {(JobStatus.SUCCEEDED, 0)}
    assert [job.attempts.count() for job in jobs] == [1, 1, 1]
    assert len(prompts_seen_by(sandbox)) == 3


def test_whoever_adopts_an_edit_hears_of_it_by_the_socket_it_was_posted_for(
    submit: Submit, in_background: Callable[[], threading.Thread], node: Node, sandbox: SandboxServer
) -> None:
    job = submit()
    sandbox.control(seconds_per_step=0.5)
    kept = uuid.uuid4()  # of a runner that dies now
    died = scheduler.claim_next(client_ids={node.url: kept})
    assert isinstance(died, Claim)
    assert died.attempt.client_id == kept
    submit_to_node(died)
    expire_lease(job)

    worker = in_background()

    # A poll does not tell of steps.
    wait_until(lambda: Job.objects.filter(pk=job.pk, progress__range=(10, 99)).exists())
    worker.join(60)
    job.refresh_from_db()
    assert (job.status, job.attempts.count()) == (JobStatus.SUCCEEDED, 1)


def test_a_cancelled_job_leaves_the_node_and_keeps_nothing(
    submit: Submit,
    in_background: Callable[[], threading.Thread],
    sandbox: SandboxServer,
) -> None:
    job = submit()
    sandbox.control(seconds_per_step=3)
    worker = in_background()
    wait_until(lambda: Attempt.objects.filter(executing_at__isnull=False).exists())

    assert cancel_job(job=job).status == JobStatus.CANCELLED
    worker.join(30)

    attempt = job.attempts.get()
    assert attempt.status == AttemptStatus.CANCELLED
    address = f"{sandbox.url}/api/jobs/{attempt.pk}"
    wait_until(lambda: requests.get(address, timeout=30).json()["status"] == "cancelled")
    assert ledger_of(job) == [("charge", -job.price), ("refund", job.price)]
    assert result_files() == []


def test_progress_is_told_while_the_sampler_runs(
    submit: Submit,
    in_background: Callable[[], threading.Thread],
    sandbox: SandboxServer,
    settings: object,
) -> None:
    settings.COMFYUI_STEPS = 20  # a machine that stands still meets several steps at once, and tells of one
    job = submit()
    sandbox.control(seconds_per_step=0.3)
    worker = in_background()
    seen = set()

    def finished() -> bool:
        job.refresh_from_db()
        seen.add(job.progress)
        return job.status == JobStatus.SUCCEEDED

    wait_until(finished)
    worker.join(30)
    assert len([percent for percent in seen if 5 <= percent <= 95]) >= 2


def expire_lease(job: Job) -> None:
    """Let the lease run out, as it does when its runner is gone."""
    Job.objects.filter(pk=job.pk).update(lease_until=timezone.now() - timedelta(seconds=1))


def claim() -> Claim:
    """Claim the next job as a runner does that will die."""
    claimed = scheduler.claim_next()
    assert isinstance(claimed, Claim)
    return claimed


def submit_to_node(claim: Claim) -> None:
    """Take the first steps of an attempt, up to the prompt on its node, and no more."""
    AttemptRun(claim, LeaseKeeper(claim.lease, longest=60)).submit()


def test_a_job_whose_runner_died_after_submitting_is_adopted_and_done_once(
    submit: Submit, run: Run, sandbox: SandboxServer
) -> None:
    job = submit()
    submit_to_node(claim())
    expire_lease(job)

    run()

    job.refresh_from_db()
    assert (job.status, job.failures) == (JobStatus.SUCCEEDED, 0)
    assert prompts_seen_by(sandbox) == [str(job.attempts.get().pk)]
    assert ledger_of(job) == [("charge", -job.price)]


def test_an_edit_that_runners_die_of_is_given_up_after_ten_adoptions(
    submit: Submit, run: Run, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit()
    submit_to_node(claim())

    def die(attempt: AttemptRun, outputs: object) -> None:
        raise SystemExit

    with monkeypatch.context() as deadly:
        deadly.setattr(AttemptRun, "_collect", die)
        for adoptions in range(1, 11):
            expire_lease(job)
            with pytest.raises(SystemExit):
                run()
            assert job.attempts.get().adoptions == adoptions
        expire_lease(job)
        run()

    job.refresh_from_db()
    assert (job.status, job.error_code) == (JobStatus.FAILED, "internal_error")
    given_up = job.attempts.get()
    assert given_up.status == AttemptStatus.FAILED
    assert given_up.error_detail == "TooManyAdoptions: 11 runners died or stopped with it"
    assert ledger_of(job) == [("charge", -job.price), ("refund", job.price)]


def test_a_job_whose_runner_died_before_submitting_gets_a_new_attempt_that_costs_no_try(
    submit: Submit, run: Run, sandbox: SandboxServer
) -> None:
    job = submit()
    claim()
    expire_lease(job)

    run()

    job.refresh_from_db()
    assert (job.status, job.failures) == (JobStatus.QUEUED, 0)
    assert job.attempts.get().status == AttemptStatus.LOST
    run()
    job.refresh_from_db()
    assert job.status == JobStatus.SUCCEEDED
    assert prompts_seen_by(sandbox) == [str(job.attempts.get(number=2).pk)]


def test_a_job_that_kills_every_runner_ends_at_last(submit: Submit, run: Run) -> None:
    job = submit()

    for _ in range(30):
        if scheduler.claim_next() is Idle.NOTHING_DUE:
            break
        expire_lease(job)
        run()

    job.refresh_from_db()
    assert job.status == JobStatus.FAILED
    assert ledger_of(job) == [("charge", -job.price), ("refund", job.price)]


def test_a_runner_that_was_too_slow_changes_nothing(submit: Submit, run: Run, sample_photo: bytes) -> None:
    job = submit()
    slow = claim()
    submit_to_node(slow)
    expire_lease(job)
    run()
    before = Job.objects.values().get(pk=job.pk)
    files = result_files()

    with pytest.raises(StaleState):
        settle_success(lease=slow.lease, attempt=slow.attempt, result=strip_result(sample_photo))
    with pytest.raises(StaleState):
        scheduler.renew(slow.lease, now=timezone.now())
    runner.leave(slow.attempt)

    assert Job.objects.values().get(pk=job.pk) == before
    assert result_files() == files
    assert job.images.filter(role=JobImage.Role.RESULT).count() == 1


def test_a_result_that_can_not_be_inserted_under_a_lease_that_holds_is_an_error(
    submit: Submit, node: Node, sample_photo: bytes
) -> None:
    job = submit()
    held = claim()
    place = {"job": job, "role": JobImage.Role.RESULT, "position": 1}
    JobImage.objects.create(**place, file="x.png", width=1, height=1, bytes=1)

    with pytest.raises(IntegrityError):
        settle_success(lease=held.lease, attempt=held.attempt, result=strip_result(sample_photo))

    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING
    assert job.attempts.get().status == AttemptStatus.ACTIVE
    assert job.images.get(role=JobImage.Role.RESULT).file == "x.png"


def test_a_worker_that_stops_hands_its_job_on_at_once(
    submit: Submit,
    run: Run,
    in_background: Callable[[], threading.Thread],
    sandbox: SandboxServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    job = submit()
    sandbox.control(seconds_per_step=1)
    worker = in_background()
    wait_until(lambda: Attempt.objects.filter(executing_at__isnull=False).exists())

    stopping = threading.Event()
    stopping.set()
    with monkeypatch.context() as patch:
        patch.setattr(attempts, "stopping", stopping)
        worker.join(10)
        assert not worker.is_alive()
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING
    assert job.lease_until <= timezone.now()

    run()

    job.refresh_from_db()
    assert (job.status, job.attempts.count(), job.failures) == (JobStatus.SUCCEEDED, 1, 0)


def test_an_edit_may_be_handed_on_by_any_number_of_workers_that_stop(
    submit: Submit, run: Run, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit()
    submit_to_node(claim())
    expire_lease(job)
    stopping = threading.Event()
    stopping.set()

    for _ in range(attempts.MOST_ADOPTIONS + 2):
        adopted = claim()
        with monkeypatch.context() as patch:
            patch.setattr(attempts, "stopping", stopping)
            run_claimed(adopted)
        assert job.attempts.get().adoptions == 0

    run()

    job.refresh_from_db()
    assert (job.status, job.attempts.count()) == (JobStatus.SUCCEEDED, 1)
    assert prompts_seen_by(sandbox) == [str(job.attempts.get().pk)]


def test_a_node_that_dies_costs_nobody_a_try(
    submit: Submit, run: Run, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "HEALTHY_FOR", 600)
    first, second = submit(), submit()
    run()
    sandbox.kill()  # the gate's answer of a moment ago still says that it is well

    third = submit(user=UserFactory.create())
    outcomes = [run(), run()]

    assert isinstance(outcomes[0], Claim)
    assert outcomes[1] is Idle.NO_HEALTHY_NODE
    others = Job.objects.exclude(pk=first.pk)
    assert sorted(job.attempts.count() for job in others) == [0, 1]
    assert [job.failures for job in others] == [0, 0], "what had not begun did not take the node away"
    assert {second.pk, third.pk} == set(
        Job.objects.filter(status=JobStatus.QUEUED).values_list("pk", flat=True)
    )


def test_a_silent_node_is_not_asked_to_cancel_for_it_would_keep_the_job_from_the_others(
    submit: Submit, run: Run, node: Node, sandbox: SandboxServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nodes, "HEALTHY_FOR", 600)
    asked: list[str] = []
    monkeypatch.setattr(ComfyClient, "cancel", lambda _client, prompt_id: asked.append(prompt_id))
    assert nodes.is_healthy(node)
    sandbox.kill()
    lost = submit()
    run()
    cancelled = submit(user=UserFactory.create())
    attempt = Attempt.objects.create(job=cancelled, node=node, number=1)
    cancel_job(job=cancelled)

    runner.leave(attempt)

    assert asked == []
    assert lost.attempts.get().error_code == "comfy_unreachable"
    assert cancelled.attempts.get().status == AttemptStatus.CANCELLED


def test_a_result_that_is_no_picture_is_not_delivered(
    submit: Submit, run: Run, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    job = submit()
    # No server serves half a file on demand: the one fault here that has to be made in our own process.
    monkeypatch.setattr(ComfyClient, "view", lambda *args, **options: b"\x89PNG\r\n\x1a\nhalf a pic")

    run()

    job.refresh_from_db()
    assert (job.status, job.failures) == (JobStatus.QUEUED, 1)
    assert job.attempts.get().error_code == "execution_failed"
    assert result_files() == []


def test_pictures_lie_in_the_storage_under_names_nobody_can_guess(submit: Submit, run: Run) -> None:
    job = submit()
    run()

    names = [image.file.name for image in job.images.all()]
    assert len(names) == 2
    assert all(default_storage.exists(name) for name in names)
    assert all(len(name.rpartition("/")[2].partition(".")[0]) == 32 for name in names)
