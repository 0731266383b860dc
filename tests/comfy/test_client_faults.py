"""The client against what is not the ComfyUI of today: older versions, proxies, bad networks."""

import base64
import random
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any
from uuid import uuid4

import pytest

from jobs.comfy import transport
from jobs.comfy.answers import OutputImage, PromptState, QueueState
from jobs.comfy.client import ComfyClient
from jobs.comfy.errors import (
    ComfyUnreachable,
    ExecutionFailed,
    Interrupted,
    OutOfMemory,
    ResultMissing,
    ResultTooLarge,
    UnexpectedAnswer,
    UploadRejected,
    WorkflowRejected,
)
from tests.comfy.scripted import Reply, Request, ScriptedServer, drop_connection

IMAGE = OutputImage("r_00001_.png", "qwenedit/x", "output")
STATS = {"system": {"comfyui_version": "0.3.64"}, "devices": []}
GRAPH = {"save": {"class_type": "SaveImage", "inputs": {}}}
NO_QUEUE = {"queue_running": [], "queue_pending": []}


@pytest.fixture
def prompt_id() -> str:
    return str(uuid4())


@contextmanager
def client_of(url: str) -> Iterator[ComfyClient]:
    client = ComfyClient(url)
    try:
        yield client
    finally:
        client.close()


@pytest.fixture
def older(scripted: ScriptedServer) -> Iterator[ComfyClient]:
    """A client of ComfyUI 0.3.64, which has no /api/jobs."""
    with client_of(scripted.url) as client:
        yield client


def queue_entry(prompt_id: str) -> list[Any]:
    return [0, prompt_id, {}, {}, ["save"]]


def history(prompt_id: str, status: str, messages: list[Any], outputs: dict[str, Any] | None = None) -> Reply:
    return Reply(
        body={
            prompt_id: {
                "outputs": outputs or {},
                "status": {"status_str": status, "completed": status == "success", "messages": messages},
            }
        }
    )


# ── Addresses ──────────────────────────────────────────────────────────────────────────────────


def test_credentials_and_prefix_of_the_address_are_used(scripted: ScriptedServer) -> None:
    scripted.answers["GET", "/comfy/system_stats"] = Reply(body=STATS)
    url = scripted.url.replace("http://", "http://user:se%20cret@") + "/comfy/"
    with client_of(url) as client:
        assert client.system_stats().version == "0.3.64"
    token = base64.b64encode(b"user:se cret").decode()
    assert scripted.requests[0].headers["Authorization"] == f"Basic {token}"
    assert "Origin" not in scripted.requests[0].headers


def test_a_wrong_password_is_the_operators_alarm_and_shows_no_password(scripted: ScriptedServer) -> None:
    scripted.answers["GET", "/system_stats"] = Reply(401, b"Authorization Required")
    with (
        client_of(scripted.url.replace("http://", "http://user:secret@")) as client,
        pytest.raises(UnexpectedAnswer) as caught,
    ):
        client.system_stats()
    assert caught.value.operator_alarm
    assert "HTTP 401: Authorization Required" in caught.value.detail
    assert "secret" not in f"{caught.value!r} {caught.value.detail}"


def test_the_password_is_not_in_the_error_of_a_refused_connection() -> None:
    with (
        client_of("http://user:secret@127.0.0.1:1") as client,
        pytest.raises(ComfyUnreachable) as caught,
    ):
        client.system_stats()
    chain: BaseException | None = caught.value
    while chain is not None:
        assert "secret" not in f"{chain!r} {chain}"
        chain = chain.__cause__ or chain.__context__


def test_the_proxy_of_the_environment_does_not_see_pictures(
    scripted: ScriptedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HTTP_PROXY", "http://127.0.0.1:1")
    monkeypatch.setenv("http_proxy", "http://127.0.0.1:1")
    scripted.answers["GET", "/system_stats"] = Reply(body=STATS)
    with client_of(scripted.url) as client:
        assert client.system_stats().version == "0.3.64"


def test_a_redirect_to_a_login_page_is_not_followed(scripted: ScriptedServer) -> None:
    scripted.answers["GET", "/system_stats"] = Reply(302, headers={"Location": scripted.url + "/login"})
    scripted.answers["GET", "/login"] = Reply(200, STATS)
    with client_of(scripted.url) as client, pytest.raises(UnexpectedAnswer):
        client.system_stats()
    assert scripted.asked == ["GET /system_stats"]


# ── Networks and proxies ───────────────────────────────────────────────────────────────────────


@pytest.mark.parametrize("status", [429, 502, 503, 504, 520])
def test_a_proxy_that_cannot_reach_the_node_means_unreachable(scripted: ScriptedServer, status: int) -> None:
    scripted.answers["GET", "/system_stats"] = Reply(status, b"<html>Bad Gateway</html>")
    with client_of(scripted.url) as client, pytest.raises(ComfyUnreachable) as caught:
        client.system_stats()
    assert caught.value.retryable
    assert not caught.value.operator_alarm
    assert f"HTTP {status}" in caught.value.detail


@pytest.mark.parametrize(
    "reply",
    [
        Reply(200, b"<html>Welcome</html>"),
        Reply(200, b"[]"),
        Reply(200, {"system": {}, "devices": []}),
        Reply(200, {"system": {"comfyui_version": "1"}, "devices": 5}),
        Reply(404, b""),
        Reply(500, b"500 Internal Server Error"),
    ],
)
def test_what_is_not_comfyui_is_said_to_be_something_else(scripted: ScriptedServer, reply: Reply) -> None:
    scripted.answers["GET", "/system_stats"] = reply
    with client_of(scripted.url) as client, pytest.raises(UnexpectedAnswer):
        client.system_stats()


def test_a_closed_connection_means_unreachable(scripted: ScriptedServer) -> None:
    scripted.answers["GET", "/queue"] = drop_connection
    with client_of(scripted.url) as client, pytest.raises(ComfyUnreachable):
        client.queue()
    assert scripted.asked == ["GET /queue"]


def test_a_lost_answer_of_a_submission_is_not_posted_again(scripted: ScriptedServer, prompt_id: str) -> None:
    scripted.answers["POST", "/prompt"] = drop_connection
    with client_of(scripted.url) as client, pytest.raises(ComfyUnreachable) as caught:
        client.submit(GRAPH, prompt_id, "client")
    assert caught.value.retryable
    assert scripted.asked == ["POST /prompt"]


def test_a_silent_node_is_given_up_within_the_time_allowed() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with (
            client_of(f"http://127.0.0.1:{silent.getsockname()[1]}") as client,
            pytest.raises(ComfyUnreachable),
        ):
            client.system_stats(timeout=3)  # longer than without
    assert 2.9 < time.monotonic() - began < 20


@pytest.mark.parametrize(
    "transfer",
    [
        lambda client: client.upload_image(b"small", "a.png"),
        lambda client: client.view(IMAGE, max_bytes=100),
    ],
    ids=["upload", "view"],
)
def test_a_node_that_freezes_in_a_transfer_is_given_up_long_before_the_transfers_time_is_over(
    transfer: Callable[[ComfyClient], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transport, "LONGEST_SILENCE", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as frozen:  # takes connections, as a stopped process does
        began = time.monotonic()
        with (
            client_of(f"http://127.0.0.1:{frozen.getsockname()[1]}") as client,
            pytest.raises(ComfyUnreachable),
        ):
            transfer(client)
    assert 0.2 < time.monotonic() - began < 10


def test_an_answer_that_trickles_is_given_up_within_the_time_allowed(scripted: ScriptedServer) -> None:
    given_up = threading.Event()

    def trickle(request: Request) -> None:
        request.handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 600\r\n\r\n")
        with suppress(OSError):
            for _ in range(600):
                request.handler.wfile.write(b" ")
                if given_up.wait(0.05):
                    break
        request.handler.close_connection = True

    scripted.answers["GET", "/system_stats"] = trickle
    began = time.monotonic()
    with client_of(scripted.url) as client, pytest.raises(ComfyUnreachable) as caught:
        client.system_stats(timeout=10)  # which is also the patience with each read
    given_up.set()
    assert "no end of the answer" in caught.value.detail
    assert 9.9 < time.monotonic() - began < 30


def test_a_node_that_vanished_is_given_up_long_before_a_picture_could_be_sent(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "LONGEST_CONNECT", 0.3)
    with socket.create_server(("127.0.0.1", 0), backlog=0) as gone, socket.socket() as first:
        first.connect(gone.getsockname())  # whoever comes after it gets no answer
        began = time.monotonic()
        with (
            client_of(f"http://127.0.0.1:{gone.getsockname()[1]}") as client,
            pytest.raises(ComfyUnreachable) as caught,
        ):
            client.upload_image(b"small", "a.png")
    assert "connect timeout=0.3" in caught.value.detail
    assert 0.2 < time.monotonic() - began < 10


def test_tls_has_no_more_time_than_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LONGEST_CONNECT", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        began = time.monotonic()
        with (
            client_of(f"https://127.0.0.1:{silent.getsockname()[1]}") as client,
            pytest.raises(ComfyUnreachable),
        ):
            client.upload_image(b"small", "a.png")
    assert 0.2 < time.monotonic() - began < 9


def test_a_node_that_takes_no_more_of_a_picture_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "LONGEST_STALL", 0.3)
    with socket.create_server(("127.0.0.1", 0)) as vanished:
        began = time.monotonic()
        with (
            client_of(f"http://127.0.0.1:{vanished.getsockname()[1]}") as client,
            pytest.raises(ComfyUnreachable) as caught,
        ):
            client.upload_image(bytes(30_000_000), "a.png")
    assert "timed out" in caught.value.detail
    assert 0.2 < time.monotonic() - began < 10


def test_a_large_picture_may_take_all_the_time_it_needs_while_it_moves(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(transport, "LONGEST_CONNECT", 0.5)
    monkeypatch.setattr(transport, "LONGEST_STALL", 1.5)
    monkeypatch.setattr(transport, "LONGEST_BODY", 1.5)
    picture = random.Random(0).randbytes(10_000_000)
    received = bytearray()

    def take_slowly(server: socket.socket) -> None:
        connection, _ = server.accept()
        with connection, connection.makefile("rb") as stream:
            while picture[-100:] not in received[-1000:] and (block := stream.read1(400_000)):
                received.extend(block)
                time.sleep(len(block) / 4_000_000)
            body = b'{"name": "a.png", "subfolder": "s", "type": "input"}'
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body))
            connection.recv(1)

    with socket.socket() as server:
        server.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        server.bind(("127.0.0.1", 0))
        server.listen()
        taker = threading.Thread(target=take_slowly, args=(server,))
        taker.start()
        began = time.monotonic()
        with client_of(f"http://127.0.0.1:{server.getsockname()[1]}") as client:
            assert client.upload_image(picture, "a.png", "s") == "s/a.png"
        assert time.monotonic() - began > 2
        taker.join(5)
    assert received.count(picture) == 1


def test_a_large_picture_says_how_long_it_is_and_arrives_whole(scripted: ScriptedServer) -> None:
    """Some proxies and old versions of ComfyUI's server do not take bodies of unknown length."""
    scripted.answers["POST", "/upload/image"] = Reply(body={"name": "a.png"})
    picture = random.Random(0).randbytes(3_000_000)
    with client_of(scripted.url) as client:
        client.upload_image(picture, "a.png")
    [request] = scripted.requests
    assert int(request.headers["Content-Length"]) == len(request.body)
    assert "Transfer-Encoding" not in request.headers
    assert picture in request.body


def test_connections_are_kept_and_shared_by_threads(scripted: ScriptedServer) -> None:
    scripted.answers["GET", "/queue"] = Reply(body=NO_QUEUE)
    failures: list[BaseException] = []
    with client_of(scripted.url) as client:

        def ask() -> None:
            try:
                for _ in range(20):
                    assert client.queue() == QueueState([], [])
            except BaseException as error:  # reported by the main thread
                failures.append(error)

        threads = [threading.Thread(target=ask) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(20)
    assert failures == []
    assert len(scripted.requests) == 80
    assert scripted.connections <= 4


def test_a_client_that_was_closed_opens_new_connections(scripted: ScriptedServer) -> None:
    scripted.answers["GET", "/queue"] = Reply(body=NO_QUEUE)
    with client_of(scripted.url) as client:
        client.close()  # before its first connection
        for _ in range(3):
            client.queue()
            client.close()
    assert scripted.connections == 3


def test_uploads_share_a_boundary_and_those_of_another_client_have_another(scripted: ScriptedServer) -> None:
    scripted.answers["POST", "/upload/image"] = Reply(body={"name": "a.png"})
    for _ in range(2):
        with client_of(scripted.url) as client:
            for picture in (b"one", b"two"):
                client.upload_image(picture, "a.png", "s")
    kinds = [request.headers["Content-Type"] for request in scripted.requests]
    assert kinds[0] == kinds[1] != kinds[2] == kinds[3]
    assert all(kind.startswith("multipart/form-data; boundary=") for kind in kinds)


@pytest.mark.parametrize("url", ["http://exa mple:8188", "http://☃.example", "http://a_é/comfy"])
def test_an_address_that_can_not_be_one_is_an_unreachable_node(url: str) -> None:
    with client_of(url) as client, pytest.raises(ComfyUnreachable):
        client.queue()


# ── Results ────────────────────────────────────────────────────────────────────────────────────


def test_a_result_of_exactly_the_limit_is_taken_and_one_byte_more_is_not(scripted: ScriptedServer) -> None:
    scripted.answers["GET", "/view"] = Reply(body=b"x" * 200_000)
    with client_of(scripted.url) as client:
        assert len(client.view(IMAGE, max_bytes=200_000)) == 200_000
        with pytest.raises(ResultTooLarge) as caught:
            client.view(IMAGE, max_bytes=199_999)
    assert not caught.value.retryable


def test_a_result_without_end_is_cut_off(scripted: ScriptedServer) -> None:
    def flood(request: Request) -> None:
        request.handler.close_connection = True
        request.handler.wfile.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        with suppress(OSError):
            while True:
                request.handler.wfile.write(b"10000\r\n" + bytes(0x10000) + b"\r\n")

    scripted.answers["GET", "/view"] = flood
    with client_of(scripted.url) as client, pytest.raises(ResultTooLarge):
        client.view(IMAGE, max_bytes=1_000_000)


def test_a_chunked_result_is_read_whole(scripted: ScriptedServer) -> None:
    def chunks(request: Request) -> None:
        request.handler.wfile.write(
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n4\r\ndefg\r\n0\r\n\r\n"
        )

    scripted.answers["GET", "/view"] = chunks
    with client_of(scripted.url) as client:
        assert client.view(IMAGE, max_bytes=7) == b"abcdefg"
        assert client.view(IMAGE, max_bytes=7) == b"abcdefg"


def test_half_a_result_is_not_taken_for_the_whole(scripted: ScriptedServer) -> None:
    def half(request: Request) -> None:
        request.handler.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n" + bytes(500))
        request.handler.close_connection = True

    scripted.answers["GET", "/view"] = half
    with client_of(scripted.url) as client, pytest.raises(ComfyUnreachable):
        client.view(IMAGE, max_bytes=10_000)


def test_a_result_that_is_gone_is_worth_another_attempt(scripted: ScriptedServer) -> None:
    with client_of(scripted.url) as client, pytest.raises(ResultMissing) as caught:
        client.view(IMAGE, max_bytes=10)
    assert caught.value.retryable
    assert "filename=r_00001_.png&subfolder=qwenedit%2Fx&type=output" in scripted.asked[0]


# ── Uploads and submissions ────────────────────────────────────────────────────────────────────


def test_a_picture_too_large_for_the_node_is_permanent(scripted: ScriptedServer) -> None:
    scripted.answers["POST", "/upload/image"] = Reply(413, b"Maximum request body size 1048576 exceeded.")
    with client_of(scripted.url) as client, pytest.raises(UploadRejected) as caught:
        client.upload_image(bytes(1000), "a.png")
    assert (caught.value.retryable, caught.value.operator_alarm) == (False, True)
    assert "1048576 exceeded" in caught.value.detail


def test_a_full_disk_of_the_node_is_not_our_pictures_fault(scripted: ScriptedServer) -> None:
    scripted.answers["POST", "/upload/image"] = Reply(500, b"500 Internal Server Error")
    with client_of(scripted.url) as client, pytest.raises(UnexpectedAnswer) as caught:
        client.upload_image(bytes(1000), "a.png")
    assert caught.value.retryable


@pytest.mark.parametrize("name", ["", "a/b.png", "..\\a.png"])
def test_a_name_that_would_crash_the_upload_is_never_sent(scripted: ScriptedServer, name: str) -> None:
    with client_of(scripted.url) as client, pytest.raises(ValueError, match="name"):
        client.upload_image(b"x", name)
    assert scripted.asked == []


def test_a_submission_has_exactly_three_fields(scripted: ScriptedServer, prompt_id: str) -> None:
    """`number` used twice kills ComfyUI's worker; `front` would jump the queue."""
    scripted.answers["POST", "/prompt"] = Reply(body={"prompt_id": prompt_id, "number": 7, "node_errors": {}})
    with client_of(scripted.url) as client:
        assert client.submit(GRAPH, prompt_id, "client").number == 7
    assert scripted.requests[0].json == {"prompt": GRAPH, "prompt_id": prompt_id, "client_id": "client"}


@pytest.mark.parametrize(
    "bad_id", ["job-42", "", "CC33E1B1-5AD9-4ED2-8568-D158935008E8", "cc33e1b15ad94ed28568d158935008e8"]
)
def test_an_id_that_newer_servers_refuse_is_never_sent(scripted: ScriptedServer, bad_id: str) -> None:
    with client_of(scripted.url) as client, pytest.raises(ValueError, match="UUID"):
        client.submit(GRAPH, bad_id, "client")
    assert scripted.asked == []


def test_a_client_id_that_would_crash_the_server_is_never_sent(
    scripted: ScriptedServer, prompt_id: str
) -> None:
    with client_of(scripted.url) as client, pytest.raises(TypeError):
        client.submit(GRAPH, prompt_id, {"a": 1})  # type: ignore[arg-type]
    assert scripted.asked == []


def output_error(node_id: str, *dependent: str) -> dict[str, Any]:
    problem = {"type": "required_input_missing", "details": "images", "extra_info": {}}
    return {node_id: {"errors": [problem], "dependent_outputs": list(dependent), "class_type": "SaveImage"}}


@pytest.mark.parametrize("errors", [output_error("save", "save"), output_error("decode", "other", "save")])
def test_a_graph_accepted_without_its_result_is_rejected_and_taken_off_the_node(
    scripted: ScriptedServer, prompt_id: str, errors: dict[str, Any]
) -> None:
    scripted.answers["POST", "/prompt"] = Reply(
        body={"prompt_id": prompt_id, "number": 0, "node_errors": errors}
    )
    scripted.answers["POST", f"/api/jobs/{prompt_id}/cancel"] = Reply(body={"cancelled": True})
    with client_of(scripted.url) as client, pytest.raises(WorkflowRejected) as caught:
        client.submit(GRAPH, prompt_id, "client")
    assert "required_input_missing: images" in caught.value.detail
    assert scripted.asked == ["POST /prompt", f"POST /api/jobs/{prompt_id}/cancel"]


def test_an_invalid_output_that_is_not_ours_does_not_matter(scripted: ScriptedServer, prompt_id: str) -> None:
    errors = output_error("preview", "preview")
    scripted.answers["POST", "/prompt"] = Reply(
        body={"prompt_id": prompt_id, "number": 1, "node_errors": errors}
    )
    with client_of(scripted.url) as client:
        assert client.submit(GRAPH, prompt_id, "client").number == 1
    assert scripted.asked == ["POST /prompt"]


def test_a_server_too_old_to_take_our_id_is_noticed_and_its_prompt_taken_off(
    scripted: ScriptedServer, prompt_id: str
) -> None:
    scripted.answers["POST", "/prompt"] = Reply(body={"prompt_id": "theirs", "number": 0, "node_errors": {}})
    scripted.answers["GET", "/queue"] = Reply(
        body={"queue_running": [], "queue_pending": [queue_entry("theirs")]}
    )
    scripted.answers["POST", "/queue"] = Reply()
    with client_of(scripted.url) as client, pytest.raises(UnexpectedAnswer) as caught:
        client.submit(GRAPH, prompt_id, "client")
    assert caught.value.operator_alarm
    assert [request.json for request in scripted.requests if request.path == "/queue" and request.body] == [
        {"delete": ["theirs"]}
    ]


def test_a_server_error_at_submission_is_neither_success_nor_rejection(
    scripted: ScriptedServer, prompt_id: str
) -> None:
    scripted.answers["POST", "/prompt"] = Reply(500, b"Server got itself in trouble")
    with client_of(scripted.url) as client, pytest.raises(UnexpectedAnswer) as caught:
        client.submit(GRAPH, prompt_id, "client")
    assert caught.value.retryable


# ── Versions without /api/jobs ─────────────────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("place", "state"), [("queue_running", PromptState.RUNNING), ("queue_pending", PromptState.PENDING)]
)
def test_an_older_server_is_asked_for_its_queue(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str, place: str, state: PromptState
) -> None:
    scripted.answers["GET", "/queue"] = Reply(body=NO_QUEUE | {place: [queue_entry(prompt_id)]})
    assert older.status(prompt_id).state is state


def test_an_older_server_is_asked_for_its_history_and_only_the_result_nodes_pictures_count(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    picture = {"filename": "r_00001_.png", "subfolder": "qwenedit/x", "type": "output"}
    preview = {"filename": "p.png", "subfolder": "", "type": "temp"}
    scripted.answers["GET", "/queue"] = Reply(body=NO_QUEUE)
    scripted.answers["GET", f"/history/{prompt_id}"] = history(
        prompt_id, "success", [], {"preview": {"images": [preview]}, "save": {"images": [picture]}}
    )
    status = older.status(prompt_id, output_node="save")
    assert (status.state, status.outputs) == (PromptState.COMPLETED, (IMAGE,))
    assert older.status(prompt_id, output_node="nothing").outputs == ()


def test_that_a_server_is_older_is_found_out_once(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    scripted.answers["GET", "/queue"] = Reply(
        body={"queue_running": [queue_entry(prompt_id)], "queue_pending": []}
    )
    older.status(prompt_id)
    older.status(prompt_id)
    assert scripted.asked == [f"GET /api/jobs/{prompt_id}", "GET /queue", "GET /queue"]


def test_a_failure_and_an_interruption_are_told_apart_in_the_history(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    scripted.answers["GET", "/queue"] = Reply(body=NO_QUEUE)
    oom = {"node_type": "KSampler", "node_id": "s", "exception_type": "torch.cuda.OutOfMemoryError"}
    started = ["execution_start", {"prompt_id": prompt_id}]
    path = ("GET", f"/history/{prompt_id}")

    scripted.answers[path] = history(prompt_id, "error", [started, ["execution_error", oom]])
    failed = older.status(prompt_id)
    assert failed.state is PromptState.FAILED
    assert isinstance(failed.error, OutOfMemory)

    scripted.answers[path] = history(prompt_id, "error", [started, ["execution_interrupted", {}]])
    interrupted = older.status(prompt_id)
    assert interrupted.state is PromptState.CANCELLED
    assert isinstance(interrupted.error, Interrupted)

    scripted.answers[path] = history(prompt_id, "error", [started])
    assert isinstance(older.status(prompt_id).error, ExecutionFailed)


def test_a_history_that_lags_behind_is_asked_again(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    answers = iter([Reply(body={}), history(prompt_id, "success", [])])
    scripted.answers["GET", "/queue"] = Reply(body=NO_QUEUE)
    scripted.answers["GET", f"/history/{prompt_id}"] = lambda _: next(answers)
    assert older.status(prompt_id).state is PromptState.COMPLETED


def test_a_prompt_that_an_older_server_has_never_heard_of_is_unknown(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    scripted.answers["GET", "/queue"] = Reply(body=NO_QUEUE)
    scripted.answers["GET", f"/history/{prompt_id}"] = Reply(body={})
    assert older.status(prompt_id).state is PromptState.UNKNOWN
    assert scripted.asked.count("GET /history/" + prompt_id) == 2
    assert "GET /history" not in scripted.asked


def test_a_missing_job_is_not_taken_for_a_missing_route(scripted: ScriptedServer, prompt_id: str) -> None:
    scripted.answers["GET", f"/api/jobs/{prompt_id}"] = Reply(404, {"error": "Job not found"})
    with client_of(scripted.url) as client:
        assert client.status(prompt_id).state is PromptState.UNKNOWN
    assert set(scripted.asked) == {f"GET /api/jobs/{prompt_id}"}


def test_a_page_not_found_of_something_else_is_not_taken_for_an_older_server(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    with pytest.raises(UnexpectedAnswer):
        older.status(prompt_id)
    scripted.answers["GET", f"/api/jobs/{prompt_id}"] = Reply(body={"status": "in_progress"})
    assert older.status(prompt_id).state is PromptState.RUNNING


@pytest.mark.parametrize(
    "job",
    [
        {"status": "exploded"},
        {},
        {"status": "completed", "outputs": {"save": {"images": [{"name": "?"}]}}},
    ],
)
def test_a_job_of_another_shape_is_unexpected(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str, job: dict[str, Any]
) -> None:
    scripted.answers["GET", f"/api/jobs/{prompt_id}"] = Reply(body=job)
    with pytest.raises(UnexpectedAnswer):
        older.status(prompt_id)


def test_a_job_that_failed_by_interruption_is_cancelled(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    messages = [["execution_start", {}], ["execution_interrupted", {}]]
    scripted.answers["GET", f"/api/jobs/{prompt_id}"] = Reply(
        body={"status": "failed", "execution_status": {"messages": messages}}
    )
    assert older.status(prompt_id).state is PromptState.CANCELLED


def test_a_pending_prompt_is_deleted_from_an_older_servers_queue(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    queue = {"queue_running": [queue_entry("of another user")], "queue_pending": [queue_entry(prompt_id)]}

    def delete(request: Request) -> Reply:
        queue["queue_pending"] = []
        return Reply()

    scripted.answers["GET", "/queue"] = lambda _: Reply(body=queue)
    scripted.answers["POST", "/queue"] = delete
    assert older.cancel(prompt_id) is True
    assert not any(request.path == "/interrupt" for request in scripted.requests)
    assert older.cancel(prompt_id) is False
    assert scripted.asked.count(f"POST /api/jobs/{prompt_id}/cancel") == 1


def test_a_running_prompt_is_interrupted_on_an_older_server_by_its_id(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    scripted.answers["GET", "/queue"] = Reply(
        body={"queue_running": [queue_entry(prompt_id)], "queue_pending": []}
    )
    scripted.answers["POST", "/interrupt"] = Reply()
    assert older.cancel(prompt_id) is True
    assert scripted.requests[-1].path == "/interrupt"
    assert scripted.requests[-1].json == {"prompt_id": prompt_id}


def test_a_prompt_that_starts_while_it_is_cancelled_is_interrupted(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    entry = queue_entry(prompt_id)
    queues = iter(
        [
            {"queue_running": [], "queue_pending": [entry]},
            {"queue_running": [entry], "queue_pending": []},
        ]
    )
    scripted.answers["GET", "/queue"] = lambda _: Reply(body=next(queues))
    scripted.answers["POST", "/queue"] = Reply()
    scripted.answers["POST", "/interrupt"] = Reply()
    assert older.cancel(prompt_id) is True
    assert scripted.requests[-1].json == {"prompt_id": prompt_id}


def test_nothing_is_interrupted_for_a_prompt_that_is_not_there(
    older: ComfyClient, scripted: ScriptedServer, prompt_id: str
) -> None:
    scripted.answers["GET", "/queue"] = Reply(
        body={"queue_running": [queue_entry("of another user")], "queue_pending": []}
    )
    assert older.cancel(prompt_id) is False
    assert scripted.asked == [f"POST /api/jobs/{prompt_id}/cancel", "GET /queue"]


# ── A node whose execution thread has died ─────────────────────────────────────────────────────


@pytest.mark.parametrize(
    ("running", "pending", "stalled"),
    [([], ["a"], True), (["a"], ["b"], False), (["a"], [], False), ([], [], False)],
)
def test_work_that_waits_while_nothing_runs_is_a_stalled_queue(
    scripted: ScriptedServer, running: list[str], pending: list[str], stalled: bool
) -> None:
    scripted.answers["GET", "/queue"] = Reply(
        body={
            "queue_running": [queue_entry(one) for one in running],
            "queue_pending": [queue_entry(one) for one in pending],
        }
    )
    with client_of(scripted.url) as client:
        queue = client.queue()
    assert (queue.running, queue.pending, queue.is_stalled()) == (running, pending, stalled)
    assert queue.is_stalled(overdue=["a"]) is bool(running or pending)


def test_a_queue_of_another_shape_is_unexpected(scripted: ScriptedServer) -> None:
    scripted.answers["GET", "/queue"] = Reply(body={"queue_running": [[]], "queue_pending": []})
    with client_of(scripted.url) as client, pytest.raises(UnexpectedAnswer):
        client.queue()
