"""Which job next: priority, fairness, caps, leases; and the gate before a node that does not answer."""

import logging
from datetime import timedelta
from itertools import pairwise
from types import SimpleNamespace

import pytest
from django.db import OperationalError, connection
from django.utils import timezone

from jobs import nodes, scheduler
from jobs.models import Attempt, Job, Node, StaleState
from jobs.scheduler import Claim, Idle
from jobs.services import cancel_job
from jobs.states import AttemptStatus, JobStatus
from qwenedit.lib.compiled import Asked
from qwenedit.users.models import User
from tests.factories import NodeFactory
from tests.jobs.conftest import Submit
from tests.threads import at_once

pytestmark = pytest.mark.django_db(transaction=True)


@pytest.fixture
def roomy(settings: object, node: Node) -> Node:
    """A node that takes whatever comes, and users who may have many edits at work."""
    settings.COMFYUI_NODE_DEPTH = 100
    settings.MAX_RUNNING_JOBS_PER_USER = 100
    return node


def claimed_jobs() -> list[Job]:
    """Claim until nothing can be claimed; return the jobs in that order."""
    jobs = []
    while isinstance(claim := scheduler.claim_next(), Claim):
        jobs.append(claim.job)
    return jobs


def test_a_claim_takes_a_lease_and_commits_the_attempt(submit: Submit, node: Node) -> None:
    job = submit()

    claim = scheduler.claim_next()

    assert isinstance(claim, Claim)
    job.refresh_from_db()
    assert job.status == JobStatus.RUNNING
    assert job.lease_token == claim.lease.token
    assert job.lease_until > timezone.now()
    attempt = job.attempts.get()
    assert (attempt.pk, attempt.node, attempt.status) == (claim.attempt.pk, node, AttemptStatus.ACTIVE)


def test_nothing_due_is_said_without_asking_a_node(db: None) -> None:
    NodeFactory.create(url="http://127.0.0.1:1")

    assert scheduler.claim_next() is Idle.NOTHING_DUE


def test_older_jobs_come_first(submit: Submit, roomy: Node) -> None:
    jobs = [submit(), submit()]

    assert claimed_jobs() == jobs


def test_interactive_work_comes_before_batch_work(submit: Submit, roomy: Node) -> None:
    batch = submit(priority=Job.Priority.BATCH)
    interactive = submit()

    assert claimed_jobs() == [interactive, batch]


def test_users_take_turns(submit: Submit, roomy: Node, alice: User, bob: User) -> None:
    for user in (alice, alice, bob, bob):
        submit(user=user)

    owners = [job.user_id for job in claimed_jobs()]

    assert len(owners) == 4
    assert all(one != other for one, other in pairwise(owners))


def test_one_user_runs_only_so_many_at_once(submit: Submit, roomy: Node, bob: User, settings: object) -> None:
    settings.MAX_RUNNING_JOBS_PER_USER = 1
    first, second = submit(), submit()
    others = submit(user=bob)

    assert claimed_jobs() == [first, others]
    second.refresh_from_db()
    assert second.status == JobStatus.QUEUED


def test_a_node_takes_only_as_many_attempts_as_its_depth(
    submit: Submit, node: Node, bob: User, settings: object
) -> None:
    settings.COMFYUI_NODE_DEPTH = 2
    submit(), submit(), submit(user=bob)

    assert len(claimed_jobs()) == 2
    assert scheduler.claim_next() is Idle.NODES_FULL


def test_another_runner_is_of_use_where_a_node_has_room_and_an_edit_is_due(
    submit: Submit, node: Node, bob: User, settings: object
) -> None:
    settings.COMFYUI_NODE_DEPTH = 3
    submit(), submit(), submit(user=bob), submit(user=bob)

    useful = [scheduler.claim_next().useful_runners for _ in range(3)]

    assert useful == [3, 3, 1], "the third fills the node"
    settings.COMFYUI_NODE_DEPTH = 10
    assert scheduler.claim_next().useful_runners == 1, "no other is due"


def test_runners_that_follow_edits_on_a_paused_node_are_not_taken_for_those_of_another(
    submit: Submit, node: Node, bob: User, settings: object
) -> None:
    settings.COMFYUI_NODE_DEPTH = 2
    submit(), submit(), submit(user=bob), submit(user=bob)
    assert [scheduler.claim_next().attempt.node for _ in range(2)] == [node, node]
    Node.objects.filter(pk=node.pk).update(tripped_until=timezone.now() + timedelta(minutes=1))
    other = NodeFactory.create(url=node.url.replace("127.0.0.1", "localhost"))

    claim = scheduler.claim_next()

    assert claim.attempt.node == other
    assert claim.useful_runners == 4, "two on the paused node, this one, and one more"


def test_a_retry_waits_for_its_time(submit: Submit, node: Node) -> None:
    job = submit()
    Job.objects.filter(pk=job.pk).update(next_attempt_at=timezone.now() + timedelta(seconds=30))

    assert scheduler.claim_next() is Idle.NOTHING_DUE


def test_draining_and_disabled_nodes_get_no_work(submit: Submit, node: Node) -> None:
    submit()
    Node.objects.filter(pk=node.pk).update(is_draining=True)

    assert scheduler.claim_next() is Idle.NO_HEALTHY_NODE


def test_many_workers_at_once_never_share_a_job_or_overfill_a_node(
    submit: Submit, sandbox: object, bob: User, settings: object, each_database: str
) -> None:
    NodeFactory.create(url=sandbox.url)
    settings.COMFYUI_NODE_DEPTH = 3
    settings.MAX_RUNNING_JOBS_PER_USER = 2
    for user in (None, None, bob, bob):
        submit(**({"user": user} if user else {}))

    outcomes = at_once(*[scheduler.claim_next] * 8)

    claims = [outcome for outcome in outcomes if isinstance(outcome, Claim)]
    assert len(claims) == 3
    assert len({claim.job.pk for claim in claims}) == 3
    assert Attempt.objects.filter(status=AttemptStatus.ACTIVE).count() == 3


def test_many_claims_at_once_never_run_more_of_a_user_than_may_run(
    submit: Submit, sandbox: object, settings: object, each_database: str
) -> None:
    NodeFactory.create(url=sandbox.url)
    settings.COMFYUI_NODE_DEPTH = 100
    settings.MAX_RUNNING_JOBS_PER_USER = 1
    for _ in range(2):
        submit()

    outcomes = at_once(*[scheduler.claim_next] * 8)

    assert outcomes.count(Idle.NOTHING_DUE) == 7
    assert sum(isinstance(outcome, Claim) for outcome in outcomes) == 1
    assert Job.objects.filter(status=JobStatus.RUNNING).count() == 1


def test_of_two_adopters_one_gets_the_job(submit: Submit, sandbox: object, each_database: str) -> None:
    NodeFactory.create(url=sandbox.url)
    submit()
    dead = scheduler.claim_next()
    assert isinstance(dead, Claim)
    Job.objects.update(lease_until=timezone.now() - timedelta(seconds=1))

    outcomes = at_once(*[scheduler.claim_next] * 4)

    (adopted,) = [outcome for outcome in outcomes if isinstance(outcome, Claim)]
    assert adopted.adopted
    assert adopted.attempt.pk == dead.attempt.pk
    with pytest.raises(StaleState):
        scheduler.renew(dead.lease, now=timezone.now())


def test_whoever_has_just_looked_around_leaves_abandoned_work_to_the_next_look(
    submit: Submit, node: Node
) -> None:
    abandoned, queued = submit(), submit()
    assert isinstance(scheduler.claim_next(), Claim)
    Job.objects.filter(pk=abandoned.pk).update(lease_until=timezone.now() - timedelta(seconds=1))

    claim = scheduler.claim_next(look_around=False)

    assert isinstance(claim, Claim)
    assert (claim.job, claim.adopted) == (queued, False)
    assert scheduler.claim_next(look_around=False) in {Idle.NOTHING_DUE, Idle.NODES_FULL}
    adopted = scheduler.claim_next()
    assert isinstance(adopted, Claim)
    assert (adopted.job, adopted.adopted) == (abandoned, True)


def test_a_renewed_lease_is_nobody_elses(submit: Submit, node: Node) -> None:
    submit()
    claim = scheduler.claim_next()
    assert isinstance(claim, Claim)

    scheduler.renew(claim.lease, now=timezone.now() + timedelta(seconds=100))

    assert scheduler.claim_next() is Idle.NOTHING_DUE


def test_while_no_node_answers_jobs_stay_queued_and_say_so(
    submit: Submit, caplog: pytest.LogCaptureFixture
) -> None:
    NodeFactory.create(url="http://127.0.0.1:1")
    job = submit()

    with caplog.at_level(logging.WARNING):
        assert scheduler.claim_next() is Idle.NO_HEALTHY_NODE

    job.refresh_from_db()
    assert (job.status, job.waiting_for_gpu, job.attempts.count()) == (JobStatus.QUEUED, True, 0)
    line = f"ComfyUI health check failed for job {job.pk}, returning to queue"
    assert any(line in record.getMessage() for record in caplog.records)


def test_a_node_is_asked_outside_the_transaction_of_the_claim(
    submit: Submit, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = []
    is_healthy = nodes.is_healthy

    def watched(node: Node) -> bool:
        asked.append((node, connection.in_atomic_block))
        return is_healthy(node)

    monkeypatch.setattr(nodes, "is_healthy", watched)
    submit()

    assert isinstance(scheduler.claim_next(), Claim)
    assert asked == [(node, False)]


def test_a_node_that_turns_out_silent_leaves_the_job_to_the_next_one(submit: Submit, sandbox: object) -> None:
    NodeFactory.create(url="http://127.0.0.1:1")
    answers = NodeFactory.create(url=sandbox.url)
    submit()

    claim = scheduler.claim_next()

    assert isinstance(claim, Claim)
    assert claim.attempt.node == answers


def test_jobs_that_wait_for_a_full_node_do_not_wait_for_a_silent_one(
    submit: Submit, node: Node, settings: object
) -> None:
    settings.COMFYUI_NODE_DEPTH = 1
    NodeFactory.create(url="http://127.0.0.1:1")
    submit()
    waiting = submit()
    assert isinstance(scheduler.claim_next(), Claim)
    Job.objects.filter(pk=waiting.pk).update(waiting_for_gpu=True)  # by a look that was overtaken

    assert scheduler.claim_next() is Idle.NODES_FULL
    waiting.refresh_from_db()
    assert not waiting.waiting_for_gpu


@pytest.mark.postgres
def test_a_job_that_is_cancelled_under_a_claim_leaves_it_to_the_next_job(
    submit: Submit, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled, queued = submit(), submit()
    begin = scheduler._begin

    def overtaken(pk: int, *arguments: object) -> Asked[int]:
        if pk == cancelled.pk:
            at_once(lambda: cancel_job(job=cancelled))
        return begin.of(pk, *arguments)

    monkeypatch.setattr(scheduler, "_begin", SimpleNamespace(of=overtaken))

    claim = scheduler.claim_next()

    assert isinstance(claim, Claim)
    assert claim.job == queued
    assert list(Attempt.objects.values_list("job", flat=True)) == [queued.pk]


def test_a_marked_job_that_is_claimed_takes_the_mark_off_the_others(submit: Submit, node: Node) -> None:
    first, other = submit(), submit()
    Job.objects.update(waiting_for_gpu=True)

    claim = scheduler.claim_next(look_around=False)

    assert isinstance(claim, Claim)
    assert claim.job == first
    other.refresh_from_db()
    assert not other.waiting_for_gpu


def test_a_claim_stands_though_the_marks_of_others_can_not_be_taken_off(
    submit: Submit, node: Node, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail() -> None:
        raise OperationalError("deadlock detected")

    job = submit()
    Job.objects.update(waiting_for_gpu=True)
    monkeypatch.setattr(scheduler, "open_gate", fail)  # two statements that wait for each other

    claim = scheduler.claim_next(look_around=False)

    assert isinstance(claim, Claim)
    job.refresh_from_db()
    assert (job.status, job.lease_token) == (JobStatus.RUNNING, claim.lease.token)


def test_the_job_no_longer_waits_once_a_node_answers(submit: Submit, sandbox: object) -> None:
    silent = NodeFactory.create(url="http://127.0.0.1:1")
    waiting, other = submit(), submit()
    scheduler.claim_next()
    silent.delete()
    NodeFactory.create(url=sandbox.url)

    claim = scheduler.claim_next()

    assert isinstance(claim, Claim)
    waiting.refresh_from_db()
    other.refresh_from_db()
    assert not waiting.waiting_for_gpu
    assert not other.waiting_for_gpu
