"""How fast the bot speaks: across threads and processes, with Valkey and without it."""

import socket
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from functools import partial
from typing import Any

import pytest
import redis

from botapp.models import Lane
from botapp.outbox import NotYet, pace
from qwenedit import embedded
from tests.botapp import second_process
from tests.waiting import wait_until

pytestmark = pytest.mark.usefixtures("valkey")

NOWHERE = "http://127.0.0.1:9"
# As production has them; the tests are more patient.
CHAT_INTERVAL, TIMEOUT = pace.CHAT_INTERVAL, pace.TIMEOUT


class Clock:
    """Sleeps as it is told, and keeps how long that was for each thread: a busy machine oversleeps."""

    monotonic = staticmethod(time.monotonic)

    def __init__(self) -> None:
        self.told: dict[int, float] = {}

    def sleep(self, duration: float) -> None:
        thread = threading.get_ident()
        self.told[thread] = self.told.get(thread, 0.0) + duration
        time.sleep(duration)

    def told_by(self, action: Callable[[], object]) -> float:
        """Return for how long an action of this thread is told to sleep, in seconds."""
        before = self.told.get(threading.get_ident(), 0.0)
        action()
        return self.told.get(threading.get_ident(), 0.0) - before


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """Watch the sleep of `pace`."""
    clock = Clock()
    monkeypatch.setattr(pace, "time", clock)
    return clock


@pytest.fixture(autouse=True)
def _twenty_a_second(settings: Any) -> None:
    settings.BOT_MESSAGES_PER_SECOND = 20


@pytest.fixture
def slow_chats(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a chat have a message a minute: a busy machine may take a second from one call to the next."""
    monkeypatch.setattr(pace, "CHAT_INTERVAL", 60.0)


@pytest.fixture(params=["valkey", "alone"])
def either_way(request: pytest.FixtureRequest, settings: Any) -> str:
    """Run a test with the limits in Valkey, and with those of a process that can not reach it."""
    if request.param == "alone":
        settings.CACHE_URL = "redis://127.0.0.1:9"
    return str(request.param)


class SilentServer:
    """A server that lets clients connect and never answers."""

    def __init__(self, listener: socket.socket) -> None:
        self._listener = listener
        self.url = f"redis://127.0.0.1:{listener.getsockname()[1]}"

    def new_connections(self) -> int:
        """Return how many were made since the last time it was asked."""
        count = 0
        with suppress(BlockingIOError):
            while True:
                self._listener.accept()[0].close()
                count += 1
        return count


@contextmanager
def silent_server() -> Iterator[SilentServer]:
    """Listen for the length of a `with` block."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setblocking(False)
        yield SilentServer(listener)


def seconds(action: Callable[[], object]) -> float:
    began = time.monotonic()
    action()
    return time.monotonic() - began


@pytest.mark.usefixtures("either_way")
def test_messages_to_many_chats_go_out_at_the_overall_rate(clock: Clock) -> None:
    def send_all() -> None:
        for chat_id in range(1, 22):
            pace.wait(chat_id, Lane.RESULTS)

    assert seconds(send_all) > 0.95
    assert sum(clock.told.values()) < 1.4


@pytest.mark.usefixtures("either_way")
def test_the_rate_is_shared_by_threads(clock: Clock) -> None:
    def send(first: int) -> None:
        for chat_id in range(first, first + 5):
            pace.wait(chat_id, Lane.RESULTS)

    def send_all() -> None:
        with ThreadPoolExecutor(5) as pool:
            list(pool.map(send, range(10, 60, 10)))

    assert seconds(send_all) > 1.1
    assert max(clock.told.values()) < 1.8


@pytest.mark.usefixtures("either_way", "slow_chats")
@pytest.mark.parametrize("lane", [Lane.RESULTS, Lane.BULK])
def test_a_chat_gets_a_message_a_second_and_nobody_waits_for_it(lane: Lane, clock: Clock) -> None:
    assert CHAT_INTERVAL == 1.0
    pace.wait(1, lane)

    with pytest.raises(NotYet) as later:
        pace.wait(1, lane)

    assert 30 < later.value.seconds <= pace.CHAT_INTERVAL
    assert clock.told_by(lambda: pace.wait(2, lane)) < 0.3


@pytest.mark.usefixtures("either_way")
def test_bulk_takes_no_slot_ahead_so_that_a_result_waits_for_one_message_at_most(
    clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pace, "PATIENCE", 60.0)  # which of the threads gets a slot is left to chance
    ended = threading.Event()

    def send_bulk(first: int) -> None:
        for chat_id in range(first, first + 1000):
            if ended.is_set():
                return
            pace.wait(chat_id, Lane.BULK)

    threads = [threading.Thread(target=send_bulk, args=(1000 * number,)) for number in range(1, 9)]
    for thread in threads:
        thread.start()
    try:
        time.sleep(0.5)  # bulk is at full speed
        began = time.monotonic()
        waits = [clock.told_by(partial(pace.wait, chat_id, Lane.RESULTS)) for chat_id in range(1, 11)]
        took = time.monotonic() - began
    finally:
        ended.set()
        for thread in threads:
            thread.join()

    assert max(waits) < 2 / 20 + 0.05
    assert took < 10 * (2 / 20 + 0.05) + 5  # nor is anybody kept waiting for a lock


@pytest.mark.usefixtures("either_way", "slow_chats")
def test_progress_is_shown_where_there_is_room_and_skipped_where_there_is_none(settings: Any) -> None:
    settings.BOT_MESSAGES_PER_SECOND = 1000
    assert pace.may_edit(1)
    assert not pace.may_edit(1)
    assert pace.may_edit(2)
    settings.BOT_MESSAGES_PER_SECOND = 0.1
    assert pace.may_edit(3)
    assert not pace.may_edit(4)
    pace.pause(60.0)
    assert not pace.may_edit(5)


@pytest.mark.usefixtures("either_way")
def test_a_refusal_silences_everybody_for_a_moment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MOMENT", 60.0)
    monkeypatch.setattr(pace, "_other_was_refused", lambda _chat_id, _seconds: False)
    pace.pause(600.0, 1)

    assert 30 < pace.paused_for() <= 60
    with pytest.raises(NotYet):
        pace.wait(2, Lane.RESULTS)


@pytest.mark.usefixtures("either_way")
def test_after_that_moment_it_silences_its_chat_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pace, "MOMENT", 1.0)
    monkeypatch.setattr(pace, "_other_was_refused", lambda _chat_id, _seconds: False)
    pace.pause(600.0, 1)

    wait_until(lambda: pace.paused_for() == 0)
    pace.wait(2, Lane.RESULTS)
    with pytest.raises(NotYet) as later:
        pace.wait(1, Lane.RESULTS)
    assert 300 < later.value.seconds < 600


def test_a_second_chat_that_is_refused_means_everybody() -> None:
    pace.pause(600.0, 1)
    pace.pause(600.0, 1)
    assert pace.paused_for() <= pace.MOMENT

    pace.pause(600.0, 2)

    assert 300 < pace.paused_for() <= 600


@pytest.mark.usefixtures("either_way")
def test_a_pause_is_never_shortened() -> None:
    pace.pause(60.0)
    pace.pause(1.0)

    assert 30 < pace.paused_for() <= 60


@pytest.mark.processes
def test_the_rate_is_shared_by_processes() -> None:
    code = """
from botapp.outbox import pace; from botapp.models import Lane; import time
moments = []
for chat_id in range({first}, {first} + 30):
    pace.wait(chat_id, Lane.RESULTS)
    moments.append(time.time())
print(*moments)
"""
    processes = [
        second_process.start(code.format(first=first), telegram_url=NOWHERE, BOT_MESSAGES_PER_SECOND="20")
        for first in (100, 200)
    ]
    sent = [[float(moment) for moment in process.communicate(timeout=60)[0].split()] for process in processes]

    moments = sorted(moment for of_process in sent for moment in of_process)
    assert len(moments) == 60
    busiest = max(sum(1 for moment in moments if start <= moment < start + 1.0) for start in moments)
    assert busiest <= 24  # 20, and some that a slow machine was late with


@pytest.mark.processes
def test_a_pause_is_obeyed_by_processes() -> None:
    second_process.run("from botapp.outbox import pace; pace.pause(600)", telegram_url=NOWHERE)

    assert 300 < pace.paused_for() <= 600
    with pytest.raises(NotYet):
        pace.wait(1, Lane.RESULTS)


class TestWithoutValkey:
    @pytest.fixture
    def no_valkey(self, valkey: redis.Redis) -> Iterator[None]:
        valkey.shutdown(nosave=True)
        yield
        embedded.ensure()

    @pytest.mark.usefixtures("no_valkey", "slow_chats")
    def test_the_pace_is_kept_and_nothing_fails(self) -> None:
        pace.wait(1, Lane.RESULTS)
        with pytest.raises(NotYet):
            pace.wait(1, Lane.RESULTS)
        pace.pause(20, 2)
        assert pace.paused_for() > 0

    def test_a_valkey_that_is_silent_costs_half_a_second_once(
        self, settings: Any, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        assert TIMEOUT == 0.5
        monkeypatch.setattr(pace, "TIMEOUT", TIMEOUT)
        monkeypatch.setattr(pace, "DOWN_FOR", 60.0)
        with silent_server() as server:
            settings.CACHE_URL = server.url
            pace.wait(1, Lane.RESULTS)
            assert server.new_connections() == 1
            pace.wait(2, Lane.RESULTS)
            assert server.new_connections() == 0
