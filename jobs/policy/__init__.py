"""Decides whether the words of an edit may be sent to the model at all.

It owns the prompt policy: the rules are data (`rules.yaml`), read in disguise-proof spelling (`normalise`). It must
not know who asks, what it costs, or the length a prompt may have. A fixed word list is a fence, not a judge: it
stops plain requests and common disguises before anything is charged, and errs on the careful side for minors.
"""

from functools import cache
from pathlib import Path
from typing import ClassVar

from jobs.policy.rules import Policy, PolicyError
from qwenedit.errors import DomainError

__all__ = ["PolicyError", "PromptRejected", "check_prompt", "policy"]


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
def policy() -> Policy:
    """Return the policy in force; the first call reads its file.

    Errors: PolicyError with every problem of the file.
    """
    return Policy.load(Path(__file__).with_name("rules.yaml"))


def check_prompt(text: str) -> None:
    """Return if the policy has nothing against `text`.

    Errors: PromptRejected for the first rule broken.
    """
    rule = policy().first_broken(text)
    if rule is not None:
        raise PromptRejected(rule.titles["en"], rule=rule.id, rule_titles=dict(rule.titles))
