"""What is asked for beside an edit: a sum, an e-mail address, a promo code.

Whoever tops up in the middle of an edit finds their photos where they left them: only the step changes, and
what is remembered for it. Knows no words.
"""

from __future__ import annotations

from typing import Any

from botapp.turn import Turn


def ask(turn: Turn, step: str, **remembered: Any) -> None:
    """Wait for the answer to `step`, and keep what belongs to the question."""
    turn.expect(step, **turn.chat.draft | remembered)


def remember(turn: Turn, **remembered: Any) -> None:
    """Wait for nothing any more, and keep something all the same."""
    ask(turn, "", **remembered)


def done(turn: Turn, *names: str) -> None:
    """Wait for nothing any more; forget what was kept under these names."""
    if not turn.chat.step and not any(name in turn.chat.draft for name in names):
        return
    rest = {name: value for name, value in turn.chat.draft.items() if name not in names}
    if rest:
        turn.expect("", **rest)
    else:
        turn.forget()
