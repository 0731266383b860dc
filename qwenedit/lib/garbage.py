"""The garbage collector of a process that lives long."""

import gc


def pass_over_what_stays() -> None:
    """Let the collector leave alone what exists now: modules and settings, which live as long as the process.

    To be called once, at the end of the start. Else a full collection looks at all of it, time and again, and
    stops every thread of the process for a quarter of a second.
    """
    gc.collect()
    gc.freeze()
