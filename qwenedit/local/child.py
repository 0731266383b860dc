"""Run a module as a process that ends with its parent.

    python -m qwenedit.local.child PARENT_PID MODULE [ARGUMENT...]

On Linux the kernel sends SIGTERM when the parent dies, however it dies. Elsewhere the next start of the
runner ends what a killed one left behind.
"""

import ctypes
import os
import runpy
import signal
import sys

PR_SET_PDEATHSIG = 1  # linux/prctl.h


def tie_to_parent(parent: int) -> None:
    """Ask for SIGTERM at the death of `parent`; end at once if it is dead already."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, int(signal.SIGTERM), 0, 0, 0)
        if os.getppid() != parent:
            raise SystemExit(1)


def main() -> None:
    """Tie this process to its parent and become the module."""
    parent, module, *arguments = sys.argv[1:]
    tie_to_parent(int(parent))
    sys.argv = [module, *arguments]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main()
