"""Invitations: whose code it is, who came by it, and the reward that comes once."""

import re
from datetime import timedelta
from functools import partial
from itertools import pairwise
from typing import Any

import pytest
from django.db import transaction
from django.utils import timezone

import payments.audit
from payments import ledger
from payments.models import LedgerEntry
from payments.referrals import earned, reward_first_edit
from payments.signals import friend_rewarded
from qwenedit.users.models import Referral, User
from qwenedit.users.referrals import NEW_FOR, code_of, record, user_of
from tests.factories import UserFactory
from tests.threads import at_once, errors

pytestmark = pytest.mark.django_db


def balance(user: User) -> int:
    """Return a user's balance as it is now."""
    return User.objects.values_list("balance", flat=True).get(pk=user.pk)


def adds_up() -> bool:
    """Tell whether the audit of money finds nothing."""
    return not [finding for finding in payments.audit.findings() if finding.broken]


@pytest.fixture
def invited(alice: User, bob: User) -> Referral:
    """Bob, who came by alice's link."""
    referral = record(bob, code_of(alice))
    assert referral is not None
    return referral


class TestTheCode:
    """Short, opaque, and nobody's guess."""

    def test_it_says_whose_it_is(self, alice: User, bob: User) -> None:
        assert user_of(code_of(alice)) == alice
        assert user_of(code_of(bob)) == bob
        assert code_of(alice) == code_of(alice)

    def test_it_fits_a_link_and_shows_no_number(self) -> None:
        codes = [code_of(User(pk=number)) for number in (1, 2, 3, 2**40 - 1)]
        assert all(re.fullmatch(r"[A-Za-z0-9_-]{16}", code) for code in codes)
        assert len({code[9:] for code in codes}) == len(codes)

    def test_another_secret_makes_other_codes(self, alice: User, settings: Any) -> None:
        code = code_of(alice)
        settings.SECRET_KEY = "another secret"
        assert code_of(alice) != code
        assert user_of(code) is None

    @pytest.mark.parametrize("code", ["", "topup", "A" * 16, "ä" * 16, "A" * 15, "A" * 64, "\0", "=" * 16])
    def test_what_is_no_code_is_nobodys(self, alice: User, code: str) -> None:
        assert user_of(code) is None

    def test_a_changed_letter_breaks_it(self, alice: User) -> None:
        code = code_of(alice)
        for place in range(len(code)):
            other = "B" if code[place] == "A" else "A"
            assert user_of(code[:place] + other + code[place + 1 :]) is None


class TestTheFriend:
    """Who counts as one."""

    def test_somebody_new_is_their_friend_once(self, alice: User, bob: User, charlie: User) -> None:
        first = record(charlie, code_of(alice))
        assert first is not None
        assert (first.friend, first.inviter) == (charlie, alice)
        assert record(charlie, code_of(bob)) == first
        assert Referral.objects.count() == 1

    def test_nobody_is_their_own_friend(self, alice: User) -> None:
        assert record(alice, code_of(alice)) is None

    def test_somebody_who_was_here_before_is_none(self, alice: User, bob: User) -> None:
        assert record(bob, code_of(alice), now=timezone.now() + NEW_FOR + timedelta(seconds=1)) is None

    def test_two_can_not_invite_each_other(self, alice: User, invited: Referral) -> None:
        assert record(alice, code_of(invited.friend)) is None

    def test_a_broken_code_is_none(self, bob: User) -> None:
        assert record(bob, "broken") is None
        assert not Referral.objects.exists()


class TestTheReward:
    """After the first successful edit, once, for both."""

    def test_both_get_it_once(self, alice: User, bob: User, invited: Referral) -> None:
        assert reward_first_edit(bob.pk)
        assert not reward_first_edit(bob.pk)
        assert (balance(alice), balance(bob)) == (90, 90)
        assert set(
            LedgerEntry.objects.filter(kind=LedgerEntry.Kind.REFERRAL).values_list("key", flat=True)
        ) == {f"referral:{bob.pk}:friend", f"referral:{bob.pk}:inviter"}
        assert (earned(alice), earned(bob)) == (30, 0)
        assert adds_up()

    def test_somebody_who_came_alone_gets_none(self, alice: User) -> None:
        assert not reward_first_edit(alice.pk)
        assert balance(alice) == 60

    def test_the_news_of_it_is_sent_inside_the_transaction(
        self, alice: User, bob: User, invited: Referral
    ) -> None:
        heard: list[tuple[User, User | None, int, bool]] = []

        def hear(*, friend: User, inviter: User | None, points: int, **_signal: object) -> None:
            heard.append((friend, inviter, points, transaction.get_connection().in_atomic_block))

        friend_rewarded.connect(hear)
        try:
            reward_first_edit(bob.pk)
        finally:
            friend_rewarded.disconnect(hear)
        assert heard == [(bob, alice, 30, True)]

    def test_an_inviter_who_is_blocked_gets_nothing(self, alice: User, bob: User, invited: Referral) -> None:
        User.objects.filter(pk=alice.pk).update(is_blocked=True)
        assert reward_first_edit(bob.pk)
        assert (balance(alice), balance(bob)) == (60, 90)
        assert adds_up()

    def test_a_friend_who_is_blocked_waits(self, alice: User, bob: User, invited: Referral) -> None:
        User.objects.filter(pk=bob.pk).update(is_blocked=True)
        assert not reward_first_edit(bob.pk)
        User.objects.filter(pk=bob.pk).update(is_blocked=False)
        assert reward_first_edit(bob.pk)

    def test_a_bonus_of_nothing_rewards_nobody(
        self, alice: User, bob: User, invited: Referral, settings: Any
    ) -> None:
        settings.REFERRAL_BONUS = 0
        assert not reward_first_edit(bob.pk)
        invited.refresh_from_db()
        assert invited.rewarded_at is None
        assert (balance(alice), balance(bob)) == (60, 60)

    def test_it_vanishes_with_the_transaction_that_failed(
        self, alice: User, bob: User, invited: Referral
    ) -> None:
        with transaction.atomic():
            assert reward_first_edit(bob.pk)
            transaction.set_rollback(True)
        assert (balance(alice), balance(bob)) == (60, 60)
        assert reward_first_edit(bob.pk)


@pytest.mark.postgres
def test_two_edits_that_finish_at_once_reward_once(alice: User, bob: User, invited: Referral) -> None:
    outcomes = at_once(*[partial(reward_first_edit, bob.pk)] * 12)
    assert errors(outcomes) == []
    assert sorted(outcomes) == [False] * 11 + [True]
    assert (balance(alice), balance(bob)) == (90, 90)


@pytest.mark.postgres
def test_friends_of_friends_who_finish_at_once_do_not_wait_for_each_other(alice: User) -> None:
    people = [alice, *UserFactory.create_batch(7)]
    for inviter, friend in pairwise(people):
        Referral.objects.create(inviter=inviter, friend=friend)

    def finish(friend: User) -> bool:
        with transaction.atomic():
            return reward_first_edit(friend.pk)

    def spend(user: User, number: int) -> bool:
        ledger.post(user_id=user.pk, amount=-1, kind=LedgerEntry.Kind.EDIT, key=f"t:{user.pk}:{number}")
        return True

    rewards = [partial(finish, friend) for friend in people for _ in range(2)]
    outcomes = at_once(*rewards, *(partial(spend, user, number) for user in people for number in range(2)))
    assert errors(outcomes) == []
    assert outcomes[: len(rewards)].count(True) == len(people) - 1
    assert [balance(user) - 58 for user in people] == [30, *[60] * 6, 30]
