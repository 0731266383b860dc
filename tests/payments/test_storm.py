"""A short storm of payments, as the benchmark makes long ones: the money comes out right."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROJECT_ROOT = Path(__file__).resolve().parent.parent.parent
ZERO = ["lost", "credited_without_money", "refunds_that_differ", "over_refunds", "broken_invariants", "open"]


@pytest.mark.processes
@pytest.mark.timeout(600)
def test_processes_that_are_killed_under_a_failing_shop_leave_the_money_right(tmp_path: Path) -> None:
    results = tmp_path / "payments.json"
    ended = subprocess.run(
        [
            sys.executable, "-m", "bench.payments", "--payments=200", "--processes=2", "--kill-every=2",
            f"--results={results}",
        ],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        timeout=580,
        check=False,
    )  # fmt: skip

    assert ended.returncode == 0, ended.stdout + ended.stderr[-4000:]
    figures = json.loads(results.read_text())
    assert {name: figures[name] for name in ZERO} == dict.fromkeys(ZERO, 0)
    assert figures["paid"] > 100
    assert figures["refunds"] > 10
    assert figures["killed"] > 0
