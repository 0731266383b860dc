"""Running one row: its options, its figures as a table and as JSON, its goals.

A goal that is missed is reported and nothing else; a row that finds work lost or doubled ends with exit 1.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.stopping import end_in_order

RESULTS = Path(__file__).resolve().parent.parent / "var" / "bench"
WITHOUT_NODE = {"api", "ledger", "bonus"}  # rows
COMFYUI = "BENCH_COMFYUI"  # the command of a ComfyUI that takes the stand-in's place

Figures = dict[str, Any]


@dataclass(frozen=True)
class Goal:
    """What a figure should reach: at most `limit`, or at least where `least` is set."""

    figure: str
    limit: float
    least: bool = False

    def verdict(self, figures: Figures) -> Figures:
        """Return the goal with what became of it, as JSON types."""
        value = figures[self.figure]
        holds = value >= self.limit if self.least else value <= self.limit
        sign = ">=" if self.least else "<="
        return {"figure": self.figure, "goal": f"{sign} {self.limit:g}", "value": value, "holds": bool(holds)}


def options_of(parser: argparse.ArgumentParser, *, has_node: bool) -> argparse.Namespace:
    """Read the options that every row has, and all rows together; `comfyui` where a row has a node."""
    parser.add_argument("--quick", action="store_true", help="a small form, to see that it works")
    parser.add_argument("--results", type=Path, default=RESULTS, metavar="FOLDER")
    parser.set_defaults(comfyui=None)
    if has_node:
        parser.add_argument(
            "--comfyui",
            metavar="COMMAND",
            help="a ComfyUI instead of the stand-in, where a row has one: 'python /opt/ComfyUI/main.py "
            "--port {port} --output-directory {folder}/output', say; {seconds} is what an edit should take",
        )
    options = parser.parse_args()
    if options.comfyui:
        try:
            words = options.comfyui.format(port="PORT", folder="", seconds=0)
        except (KeyError, IndexError, ValueError) as error:
            parser.error(
                f"--comfyui: other braces than {{port}}, {{folder}}, {{seconds}} must be doubled: {error}"
            )
        if "PORT" not in words:
            parser.error("--comfyui: the command has no {port}")
    return options


def run(name: str, measure: Callable[[bool], Figures], goals: Sequence[Goal] = ()) -> None:
    """Measure one row as the command line says, print it and write `<results>/<name>.json`."""
    parser = argparse.ArgumentParser(prog=f"python -m bench.{name}")
    options = options_of(parser, has_node=name not in WITHOUT_NODE)
    if options.comfyui:
        os.environ[COMFYUI] = options.comfyui
    end_in_order()
    figures = measure(options.quick)
    row = {
        "name": name,
        "quick": options.quick,
        "figures": figures,
        "goals": [goal.verdict(figures) for goal in goals],
        "machine": {"cpus": len(os.sched_getaffinity(0)), "python": platform.python_version()},
        "comfyui": options.comfyui,
    }
    options.results.mkdir(parents=True, exist_ok=True)
    (options.results / f"{name}.json").write_text(json.dumps(row, indent=2) + "\n")
    sys.stdout.write(table(row))


def table(row: Figures) -> str:
    """Return a row as text: figures, then goals."""
    lines = [f"{row['name']}{'  (quick)' if row['quick'] else ''}"]
    if row["comfyui"]:
        lines.append(f"  beside {row['comfyui']}")
    lines += [f"  {name:<34} {value}" for name, value in row["figures"].items()]
    lines += [
        f"  {'holds ' if goal['holds'] else 'MISSED'} {goal['figure']} {goal['goal']}"
        for goal in row["goals"]
    ]
    return "\n".join(lines) + "\n"


def percentiles(name: str, values: Sequence[float]) -> Figures:
    """Return p50 and p99 of some times as figures `<name>_p50` and `<name>_p99`, in their own unit."""
    ranked = sorted(values)
    p99 = ranked[min(len(ranked) - 1, round(0.99 * (len(ranked) - 1)))]
    return {f"{name}_p50": round(statistics.median(ranked), 2), f"{name}_p99": round(p99, 2)}
