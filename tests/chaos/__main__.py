"""The full suite: `python -m tests.chaos --jobs 300 --minutes 5 --seed 7`."""

import argparse
import logging
import random
import secrets
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path

from qwenedit.settings import BASE_DIR
from tests.chaos.faults import FAULTS, Fault
from tests.chaos.integrator import run_integrator
from tests.chaos.load import Load
from tests.chaos.run import Run
from tests.chaos.system import System, command_line, sandbox
from tests.chaos.verdict import Verdict
from tests.session import SessionFolder, end_on_sigterm, sweep_killed_sessions

LOGS = BASE_DIR / "var" / "chaos"
PEOPLE = 30
PROMISE = 60.0  # seconds: the longest recovery from anything
PATIENCE = 180.0
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
    parser.add_argument(
        "--comfyui",
        metavar="COMMAND",
        help="a ComfyUI instead of the stand-in: 'python /opt/ComfyUI/main.py --port {port} "
        "--output-directory {folder}/output', say; it has to write its prompts into its pictures",
    )
    options = parser.parse_args()
    end_on_sigterm()
    logging.basicConfig(stream=sys.stdout, level=logging.INFO, format="%(message)s")
    faults = [
        fault for fault in FAULTS if not options.fault or any(word in fault.name for word in options.fault)
    ]
    shutil.rmtree(LOGS, ignore_errors=True)
    LOGS.mkdir(parents=True)
    sweep_killed_sessions()
    folder = SessionFolder()
    try:
        sys.stdout.write(f"seed {options.seed}, logs in {LOGS}\n")
        holds = chaos(folder.path, faults, options)
    finally:
        folder.remove()
    sys.stdout.write(f"seed {options.seed}: {'everything holds' if holds else 'BROKEN'}\n")
    sys.exit(not holds)


def chaos(folder: Path, faults: Sequence[Fault], options: argparse.Namespace) -> bool:
    """Run everything, print the table, and tell whether all of it holds."""
    seconds = 60 * options.minutes
    folder.chmod(0o711)  # PostgreSQL may have to run as another user, and pass through
    comfyui = command_line(options.comfyui) if options.comfyui else sandbox(SECONDS_PER_STEP)
    with run_integrator() as integrator, System(folder, LOGS, comfyui=comfyui) as system:
        people = system.make_people(PEOPLE)
        load = Load(
            system.web_urls,
            people,
            webhook_url=integrator.url,
            rate=options.jobs / seconds,
            seed=options.seed,
        )
        run = Run(system, load, chance=random.Random(options.seed), patience=PATIENCE)
        run.play(faults, seconds=seconds)
        verdict = Verdict(system, load, integrator.received)
        verdict.reach()
    verdict.expect("everything went on in time (stuck: 0)", run.stuck)
    verdict.expect(
        f"recovery from anything takes less than {PROMISE:.0f} s",
        (f"{item.fault}: {item.seconds:.1f} s" for item in run.recoveries if item.seconds >= PROMISE),
    )
    verdict.figures["faults"] = run.struck.total()
    verdict.figures["from the last fault until no work was left, s"] = round(run.seconds_to_end, 1)
    verdict.figures["and until integrators knew of all of it, s"] = round(run.seconds_to_last_delivery, 1)
    sys.stdout.write("\nrecovery, s: edits  processes  edits on their way  fault\n")
    for item in sorted(run.recoveries, key=lambda item: item.seconds):
        sys.stdout.write(f"{item.edits:>18.1f}{item.processes:>11.1f}{item.touched:>20}  {item.fault}\n")
    sys.stdout.write("\n" + "\n".join(verdict.lines()) + "\n")
    return verdict.holds


if __name__ == "__main__":
    main()
