"""The local runner behind `make run`: the whole system on this machine, with nothing left behind.

    __main__    options and exit code
    runner      the order of things: prepare, start, show one edit, stay up, stop
    specs       which processes there are; a new one is one entry
    processes   one supervised process and its output
    machine     what the machine offers: ports, the lock against a second start, leftovers of a killed one
    child       the shell around each process that ties its life to the runner's
    demo        one real edit through the REST API

Without Django, to stay small beside the processes it watches.
"""
