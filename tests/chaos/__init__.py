"""Chaos: the whole system under load while its processes are killed, frozen and cut off; then the audit.

    make chaos ARGS="--jobs 400 --minutes 5 --seed 7"

`system` runs the processes of production and starts each again when it ends, as systemd would. `load` is the
clients, and remembers what they were told; `integrator` hears of the ends of their edits. `faults` is what
goes wrong. `run` lets it go wrong, each fault alone and then many at once. `verdict` compares in the end what
clients and integrators were told with what is so.

Nothing here imports Django: the verdict is that of an outsider, who knows the tables and the REST API.
"""
