"""The process: starting, stopping, its folders, who may ask, and what it costs."""

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest
import requests
import websocket

from tests.sandbox.comfyui.driving import Client, basic_graph, closed_without_goodbye, slow_graph
from tests.servers import PROJECT_ROOT, SandboxServer, start_sandbox_comfyui

MEGABYTE = 1024 * 1024


def test_files_survive_a_restart_of_the_process_but_queue_and_history_do_not(tmp_path: Path) -> None:
    with start_sandbox_comfyui("--data-dir", str(tmp_path)) as server:
        url = server.url
        client = Client(server)
        client.upload()
        done = client.run(basic_graph(prefix="kept/r"))
        server.restart()
        assert server.url == url
        assert client.get(f"/history/{done.prompt_id}").json() == {}
        assert client.get("/view?filename=r_00001_.png&subfolder=kept").status_code == 200
        assert client.get("/view?filename=basic.png&type=input").status_code == 200
        client.reconnect()
        again = client.run(basic_graph(prefix="kept/r"))
        assert again.files[0]["filename"] == "r_00002_.png"
        client.close()


@pytest.mark.parametrize("while_busy", [False, True])
def test_sigterm_ends_it_at_once_without_a_trace(
    while_busy: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    server = SandboxServer("comfyui", "--seconds-per-step", "60").start()
    assert list(tmp_path.iterdir())
    client = Client(server)
    if while_busy:
        client.wait_for_status(client.submit(slow_graph()), "in_progress")
    started = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - started < 20  # what hangs does so for longer
    assert client.socket is not None
    assert closed_without_goodbye(client.socket)
    assert list(tmp_path.iterdir()) == []


def test_it_knows_no_django_and_idles_below_60_megabytes() -> None:
    script = (
        "import sys, qwenedit.sandbox.__main__; print([n for n in ('django', 'numpy') if n in sys.modules])"
    )
    found = subprocess.run(
        [sys.executable, "-c", script],
        cwd=PROJECT_ROOT,
        capture_output=True,
        text=True,
        check=True,
        timeout=30,
    )
    assert found.stdout.strip() == "[]"
    with start_sandbox_comfyui() as server:
        assert requests.get(server.url + "/system_stats", timeout=10).ok
        assert psutil.Process(server.pid).memory_info().rss < 60 * MEGABYTE


def test_the_management_command_is_the_same_server_and_ends_by_ctrl_c() -> None:
    command = [sys.executable, "manage.py", "sandbox", "comfyui", "--port", "0", "--out-of-memory", "3"]
    with subprocess.Popen(
        command, cwd=PROJECT_ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as process:
        assert process.stdout is not None
        try:
            url = next(line.split()[-1] for line in process.stdout if "listening on http://" in line)
            assert requests.get(f"{url}/sandbox/faults", timeout=10).json()["out_of_memory"] == 3
        finally:
            process.send_signal(signal.SIGINT)
        assert process.wait(10) == 0


def test_a_taken_port_and_a_wrong_option_are_said_in_one_line() -> None:
    with start_sandbox_comfyui() as server, pytest.raises(RuntimeError, match="address already in use"):
        SandboxServer("comfyui").start(server.port)
    with pytest.raises(RuntimeError, match="--user and --password need each other"):
        SandboxServer("comfyui", "--user", "gpu").start()
    with pytest.raises(RuntimeError, match="not folder/name"):
        SandboxServer("comfyui", "--model", "nope.safetensors").start()


def test_further_models_can_be_installed() -> None:
    with start_sandbox_comfyui("--model", "loras/mine.safetensors") as server:
        assert "mine.safetensors" in requests.get(server.url + "/models/loras", timeout=10).json()


def test_with_credentials_every_request_must_carry_them() -> None:
    with start_sandbox_comfyui("--user", "gpu", "--password", "p:ss/wörd") as server:
        for auth in (None, ("gpu", "wrong"), ("wrong", "p:ss/wörd")):
            answer = requests.get(server.url + "/system_stats", auth=auth, timeout=10)
            assert answer.status_code == 401
            assert answer.headers["WWW-Authenticate"].startswith("Basic ")
        right = (b"gpu", "p:ss/wörd".encode())
        assert requests.get(server.url + "/system_stats", auth=right, timeout=10).status_code == 200
        address = server.url.replace("http", "ws") + "/ws?clientId=x"
        with pytest.raises(websocket.WebSocketBadStatusException, match="401"):
            websocket.create_connection(address, timeout=10)
        header = requests.Request("GET", server.url, auth=right).prepare().headers["Authorization"]
        socket = websocket.create_connection(address, timeout=10, header=[f"Authorization: {header}"])
        assert json.loads(socket.recv())["type"] == "status"
        socket.close()


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"Authorization": "Bearer x"}, 200),
        ({"Origin": "http://evil.example"}, 403),
        ({"Origin": "http://{host}"}, 200),
        ({"Origin": "http://localhost:{port}"}, 403),
        ({"Origin": "http://127.0.0.1:3"}, 403),
        ({"Origin": "http://127.0.0.1"}, 200),
        ({"Host": "comfy.internal:8188", "Origin": "http://evil.example"}, 200),
        ({"Host": "comfy.internal:8188"}, 200),
        ({"Sec-Fetch-Site": "cross-site"}, 403),
    ],
)
def test_pages_of_other_origins_are_kept_out(
    server: SandboxServer, headers: dict[str, str], status: int
) -> None:
    values = {"host": f"127.0.0.1:{server.port}", "port": server.port}
    sent = {name: value.format(**values) for name, value in headers.items()}
    assert requests.get(server.url + "/prompt", headers=sent, timeout=10).status_code == status


def test_a_socket_of_another_origin_is_kept_out(server: SandboxServer) -> None:
    address = server.url.replace("http", "ws") + "/ws"
    with pytest.raises(websocket.WebSocketBadStatusException, match="403"):
        websocket.create_connection(address, timeout=10, origin="http://evil.example")


def test_options_requests_are_answered_with_nothing(server: SandboxServer) -> None:
    answer = requests.options(server.url + "/prompt", timeout=10)
    assert (answer.status_code, answer.content) == (200, b"")
