"""Every row of the benchmarks, or those that are named: `python -m bench [ROW …] [--quick]`.

Each row runs in a process of its own, one after another, as Django reads its settings once; the installation
is prepared once, and every row begins with a copy. Writes
`var/bench/<row>.json` and, of all that ran, `var/bench/bench.json`. A missed goal is reported; exit 1 says
that a row found work lost or doubled, or did not run.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from pathlib import Path

from bench.report import WITHOUT_NODE, options_of, table
from bench.stopping import end_in_order, run_to_its_end
from bench.system import PREPARED, save_prepared

ROWS = ("overhead", "throughput", "gpu_busy", "estimates", "notify", "api", "ledger", "bonus", "growth")


def main() -> None:
    """Run the rows, print all of them together, and write them down."""
    parser = argparse.ArgumentParser(
        prog="python -m bench", description=__doc__, formatter_class=argparse.RawTextHelpFormatter
    )
    parser.add_argument("rows", nargs="*", metavar="ROW", help=", ".join(ROWS))
    options = options_of(parser, has_node=True)
    if unknown := set(options.rows) - set(ROWS):
        parser.error(f"unknown: {', '.join(sorted(unknown))}")
    end_in_order()
    done, failed = [], []
    with tempfile.TemporaryDirectory(prefix="qwenedit-bench-") as prepared:
        save_prepared(Path(prepared))
        for name in options.rows or ROWS:
            sys.stderr.write(f"bench: {name}\n")
            command = [sys.executable, "-m", f"bench.{name}", f"--results={options.results}"]
            command += ["--quick"] * options.quick
            if options.comfyui and name not in WITHOUT_NODE:
                command.append(f"--comfyui={options.comfyui}")
            if run_to_its_end(command, sys.stderr.fileno(), os.environ | {PREPARED: prepared}):
                failed.append(name)
            else:
                done.append(json.loads((options.results / f"{name}.json").read_text()))
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / "bench.json").write_text(json.dumps({"rows": done, "failed": failed}, indent=2) + "\n")
    sys.stdout.write("\n".join(map(table, done)))
    if failed:
        raise SystemExit(f"Failed: {', '.join(failed)}")


if __name__ == "__main__":
    main()
