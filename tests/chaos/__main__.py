"""The full suite: `python -m tests.chaos --jobs 300 --minutes 5 --seed 7`."""

import argparse
import logging
import random
import secrets
import shutil
import sys
import tempfile
import time
from pathlib import Path

from tests.chaos.faults import FAULTS
from tests.chaos.load import Load
from tests.chaos.run import Run
from tests.chaos.system import System
from tests.chaos.verdict import Verdict

PEOPLE = 30
PROMISE = 60.0  # seconds: the longest recovery from anything
PATIENCE = 180.0
SHORTEST_STORM = 60.0
SECONDS_PER_STEP = 0.3


def main() -> None:
    """Run chaos and print the verdict; exit 1 where it is bad."""
    parser = argparse.ArgumentParser(
        prog="make chaos", description="Random faults under load, then an audit."
    )
    parser.add_argument("--jobs", type=int, default=300)
    parser.add_argument("--minutes", type=float, default=5.0, help="that the load lasts")
    parser.add_argument("--seed", type=int, default=secrets.randbelow(1_000_000), help="repeats the choices")
    parser.add_argument(
        "--fault", action="append", metavar="WORDS", help="only faults whose name has these words"
    )
    options = parser.parse_args()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    faults = [
        fault for fault in FAULTS if not options.fault or any(word in fault.name for word in options.fault)
    ]
    folder = Path(tempfile.mkdtemp(prefix="qwenedit-chaos-"))
    folder.chmod(0o711)  # PostgreSQL may have to run as another user, and pass through
    holds = False
    try:
        sys.stdout.write(f"seed {options.seed}\n")
        holds = chaos(folder, faults, options)
    finally:
        if holds:
            shutil.rmtree(folder, ignore_errors=True)
        else:
            sys.stdout.write(f"the logs are in {folder / 'logs'}\n")
    sys.stdout.write(f"seed {options.seed}: {'everything holds' if holds else 'BROKEN'}\n")
    sys.exit(not holds)


def chaos(folder: Path, faults: list, options: argparse.Namespace) -> bool:
    """Run everything, print the table, and tell whether all of it holds."""
    chance = random.Random(options.seed)
    seconds = 60 * options.minutes
    with System(folder, seconds_per_step=SECONDS_PER_STEP) as system:
        keys = system.make_people(PEOPLE)
        load = Load(
            system.web_urls, keys, jobs=options.jobs, seconds=seconds, chance=random.Random(options.seed)
        )
        run = Run(system, load, chance=chance, patience=PATIENCE)
        started = time.monotonic()
        load.start()
        run.strike_alone(faults)
        run.storm(faults, until=max(started + seconds, time.monotonic() + SHORTEST_STORM))
        run.settle()
        verdict = Verdict(system, load)
        verdict.reach()
    verdict.expect(
        f"recovery takes less than {PROMISE:.0f} s",
        (f"{item.fault}: {item.seconds:.1f} s" for item in run.recoveries if item.seconds >= PROMISE),
    )
    for item in sorted(run.recoveries, key=lambda item: item.seconds):
        sys.stdout.write(
            f"recovered: {item.touched} edits on their way after {item.edits:>4.1f} s, "
            f"processes after {item.processes:>4.1f} s: {item.fault}\n"
        )
    sys.stdout.write("\n".join(verdict.lines()) + "\n")
    return verdict.holds


if __name__ == "__main__":
    main()
