"""`python -m qwenedit.local [--once]`: run the whole system on this machine."""

import argparse

from qwenedit.local.runner import Runner


def main() -> int:
    """Run, and return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m qwenedit.local", description=__doc__)
    parser.add_argument("--once", action="store_true", help="end after one edit; exit 0 only if it succeeded")
    return Runner(once=parser.parse_args().once).run()


if __name__ == "__main__":
    raise SystemExit(main())
