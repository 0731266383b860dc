"""Decides whether the words of an edit may be sent to the model at all.

It owns the prompt policy, which is data: `rules.yaml`. It must not know who asks, what it costs, or how long
a prompt may be. A list of words is a fence, not a judge: it stops plain requests and common disguises before
anything is charged. Where minors are concerned it errs on the careful side: swimwear, ordinary on an adult,
is rejected on a child.
"""

from functools import cache, lru_cache
from pathlib import Path
from typing import ClassVar

from jobs.policy.rules import Policy, PolicyError, Rule
from qwenedit.errors import DomainError

__all__ = ["PolicyError", "PromptRejected", "check_prompt", "rules"]

REMEMBERED = 1024  # texts: programs send the same one with picture after picture


class PromptRejected(DomainError):
    """The prompt breaks a rule of the policy."""

    code: ClassVar[str] = "prompt_rejected"

    @property
    def rule(self) -> str:
        """The rule's stable id."""
        return str(self.extra["rule"])

    @property
    def titles(self) -> dict[str, str]:
        """What is not allowed, one sentence by language: `ru`, `en`."""
        return dict(self.extra["rule_titles"])


@cache
def _policy() -> Policy:
    policy = Policy.load(Path(__file__).with_name("rules.yaml"))
    policy.first_broken("")  # which makes its indexes
    return policy


@lru_cache(REMEMBERED)
def _first_broken(text: str) -> Rule | None:
    return _policy().first_broken(text)


def rules() -> tuple[Rule, ...]:
    """Return the rules in force, in order of precedence; the first call reads their file, for 0.2 s or more.

    Errors: PolicyError with every problem of the file.
    """
    return _policy().rules


def check_prompt(text: str) -> None:
    """Return if the policy has nothing against `text`.

    Errors: PromptRejected for the first rule broken.
    """
    rule = _first_broken(text)
    if rule is not None:
        raise PromptRejected(rule.titles["en"], rule=rule.id, rule_titles=dict(rule.titles))
