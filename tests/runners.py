"""Running jobs as a worker's thread does."""

from jobs import runner
from jobs.comfy.kept_stream import KeptStream
from jobs.scheduler import Claim, Idle


def run_next() -> Claim | Idle:
    """Run the next job to its end; return what was claimed, or why nothing was."""
    with KeptStream() as kept:
        return runner.run_next(kept)


def run_claimed(claim: Claim) -> None:
    """See a claimed job to its end."""
    with KeptStream() as kept:
        runner._run(claim, kept)
