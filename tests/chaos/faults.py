"""What goes wrong: each fault is one small function with a name, which strikes and says whom.

A fault that lasts returns when it is over, but for those of the lines, which tell when they are whole again.
"""

import random
import time
from collections.abc import Callable
from dataclasses import dataclass

from celery import Celery

from qwenedit import queues, settings
from tests.chaos.processes import Supervised
from tests.chaos.system import System

LONGER_THAN_A_LEASE = settings.JOB_LEASE.total_seconds() + 6
FROZEN_NODE = 45.0  # longer than a runner waits for a silent node
LONGEST_OUTAGE = 5.0
DOUBLES = 50
DOUBLED = (
    "jobs.tasks.process_next_job", "jobs.tasks.sweep", "jobs.tasks.probe_nodes", "botapp.tasks.send_due",
    "payments.tasks.check_payments",
)  # fmt: skip


@dataclass(frozen=True)
class Fault:
    """Something that goes wrong; `strike` returns whom it hit."""

    strike: Callable[[System, random.Random], str]

    @property
    def name(self) -> str:
        """What happens, in words."""
        return self.strike.__name__.replace("_", " ")


def worker_killed(system: System, chance: random.Random) -> str:
    return _kill(_at_work(system, chance))


def all_workers_killed(system: System, chance: random.Random) -> str:
    return _kill(*system.workers)


def web_killed(system: System, chance: random.Random) -> str:
    return _kill(chance.choice(system.webs))


def beat_killed(system: System, chance: random.Random) -> str:
    return _kill(system.beat)


def comfyui_killed(system: System, chance: random.Random) -> str:
    return _kill(chance.choice(system.nodes))


def all_comfyui_killed(system: System, chance: random.Random) -> str:
    return _kill(*system.nodes)


def valkey_killed(system: System, chance: random.Random) -> str:
    return _kill(system.valkey)


def valkey_emptied(system: System, chance: random.Random) -> str:
    system.empty_valkey()
    return system.valkey.name


def postgresql_restarted(system: System, chance: random.Random) -> str:
    outage = chance.uniform(0, LONGEST_OUTAGE)
    system.restart_database(outage)
    return f"postgresql, away for {outage:.1f} s"


def everything_killed(system: System, chance: random.Random) -> str:
    everything = _kill(*system.processes)
    system.restart_database()
    return f"{everything}, postgresql"


def comfyui_frozen(system: System, chance: random.Random) -> str:
    return _freeze(chance.choice(system.nodes), FROZEN_NODE)


def worker_frozen_past_its_lease(system: System, chance: random.Random) -> str:
    return _freeze(_at_work(system, chance), LONGER_THAN_A_LEASE)


def websockets_dropped_for_2_s(system: System, chance: random.Random) -> str:
    return _drop_websockets(system, 2)


def websockets_dropped_for_60_s(system: System, chance: random.Random) -> str:
    return _drop_websockets(system, 60)


def answers_to_prompts_lost(system: System, chance: random.Random) -> str:
    for line in system.lines:
        line.lose_answers(2)
    return "2 answers of each node"


def messages_duplicated(system: System, chance: random.Random) -> str:
    """Publish the same messages many times over, under the same ids."""
    with Celery("chaos", broker=system.redis_url, set_as_current=False) as app:
        queues.configure(app)
        app.conf.broker_transport_options = settings.CELERY_BROKER_TRANSPORT_OPTIONS
        for name in DOUBLED:
            message = f"{name}-{chance.getrandbits(64):x}"
            for _ in range(DOUBLES):
                app.send_task(name, task_id=message)
    return f"{len(DOUBLED)} messages, each {DOUBLES} times"


FAULTS = tuple(
    map(
        Fault,
        (
            worker_killed, all_workers_killed, web_killed, beat_killed, comfyui_killed, all_comfyui_killed,
            valkey_killed, valkey_emptied, postgresql_restarted, everything_killed, comfyui_frozen,
            worker_frozen_past_its_lease, websockets_dropped_for_2_s, websockets_dropped_for_60_s,
            answers_to_prompts_lost, messages_duplicated,
        ),
    )
)  # fmt: skip


def _at_work(system: System, chance: random.Random) -> Supervised:
    """Return a worker that follows an edit now, if there is one."""
    busy = [worker for worker in system.workers if system.is_at_work(worker)]
    return chance.choice(busy or system.workers)


def _kill(*processes: Supervised) -> str:
    for process in processes:
        process.kill()
    return ", ".join(process.name for process in processes)


def _freeze(process: Supervised, seconds: float) -> str:
    process.freeze()
    time.sleep(seconds)
    process.thaw()
    return process.name


def _drop_websockets(system: System, seconds: float) -> str:
    for line in system.lines:
        line.drop_websockets(seconds)
    return "of every node"
