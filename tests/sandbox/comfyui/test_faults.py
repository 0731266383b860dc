"""What can be made to go wrong goes wrong as described."""

import time
from pathlib import Path

import pytest
import requests
import websocket

from qwenedit.sandbox.comfyui.files import Folders
from tests.sandbox.comfyui.driving import (
    Client,
    basic_graph,
    closed_without_goodbye,
    edit_graph,
    executor_in,
    node,
    slow_graph,
    wait_for,
)
from tests.servers import SandboxServer, start_sandbox_comfyui

OUT_OF_MEMORY = (
    "Allocation on device 0 would exceed allowed memory. (out of memory)\nThis error means you ran out of "
    "memory on your GPU.\n\nTIPS: If the workflow worked before you might have accidentally set the "
    "batch_size to a large number."
)


def test_faults_are_shown_set_counted_down_and_reset(alice: Client) -> None:
    before = alice.get("/sandbox/faults").json()
    after = alice.post("/sandbox/faults", json={"out_of_memory": 2, "seconds_per_step": 0}).json()
    assert after == before | {"out_of_memory": 2}
    alice.run(basic_graph())
    assert alice.get("/sandbox/faults").json()["out_of_memory"] == 1
    assert alice.post("/sandbox/faults", json={"reset": True}).json() == before


@pytest.mark.parametrize(
    "body", [{"nope": 1}, {"hang": 1}, {"delay": -1}, {"out_of_memory": 1.5}, {"missing_models": "x"}, [1]]
)
def test_a_wrong_fault_is_refused(alice: Client, body: object) -> None:
    answer = alice.post("/sandbox/faults", json=body)
    assert answer.status_code == 400
    assert answer.json()["error"]


def test_out_of_memory_fails_as_recorded_and_the_next_prompt_runs(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"out_of_memory": 1})
    run = alice.run(edit_graph("basic.png", lightning=True))
    assert run.error["exception_type"] == "torch.OutOfMemoryError"
    assert run.error["exception_message"] == OUT_OF_MEMORY
    assert (run.error["node_id"], run.error["node_type"]) == ("sampler", "KSampler")
    assert run.error["current_inputs"]["seed"] == [1]
    assert run.history["outputs"] == {}
    assert "execution_success" in alice.run(edit_graph("basic.png", lightning=True)).types


def test_a_runtime_error_fails_the_prompt(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"runtime_error": 1})
    run = alice.run(basic_graph())
    assert run.error["exception_type"] == "RuntimeError"
    assert run.error["node_id"] == "9"
    assert alice.job(run.prompt_id)["status"] == "failed"


def test_a_hang_is_deaf_to_interrupts_while_http_answers(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"hang": True})
    prompt_id = alice.submit(slow_graph(steps=4))
    assert alice.socket is not None
    while '"value": 1, "max": 4' not in str(alice.socket.recv()):
        pass
    assert alice.post("/interrupt").status_code == 200
    assert alice.get("/system_stats").status_code == 200
    assert alice.job(prompt_id)["status"] == "in_progress"
    alice.post("/sandbox/faults", json={"hang": False})
    assert alice.wait_for_status(prompt_id, "cancelled")


def test_a_dead_worker_accepts_prompts_and_runs_none_until_a_restart(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"worker_dead": True})
    first, second = alice.submit(basic_graph()), alice.submit(basic_graph())
    assert alice.get("/prompt").json() == {"exec_info": {"queue_remaining": 2}}
    assert alice.get("/queue").json()["queue_running"] == []
    assert {alice.job(prompt_id)["status"] for prompt_id in (first, second)} == {"pending"}
    alice.post("/sandbox/faults", json={"restart": True})
    alice.reconnect()
    assert "execution_success" in alice.run(basic_graph()).types


def test_a_restart_in_place_forgets_everything_but_files(alice: Client) -> None:
    done = alice.run(basic_graph(prefix="restart/r"))
    alice.post("/sandbox/faults", json={"seconds_per_step": 0.05})
    running = alice.submit(slow_graph(steps=1000))
    alice.wait_for_status(running, "in_progress")
    waiting = alice.submit(basic_graph())

    alice.post("/sandbox/faults", json={"restart": True, "seconds_per_step": 0})

    assert alice.socket is not None
    assert closed_without_goodbye(alice.socket)
    for prompt_id in (done.prompt_id, running, waiting):
        assert alice.get(f"/history/{prompt_id}").json() == {}
        assert alice.get(f"/api/jobs/{prompt_id}").status_code == 404
    assert alice.get("/queue").json() == {"queue_running": [], "queue_pending": []}
    alice.reconnect()
    again = alice.run(basic_graph(prefix="restart/r"))
    assert again.cached == []
    assert again.history["prompt"][0] == 0
    assert again.files[0]["filename"] == "r_00002_.png"


def test_sockets_break_on_demand_and_new_ones_are_refused_for_a_while(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"drop_websockets": True, "refuse_websockets": 30})
    assert alice.socket is not None
    assert closed_without_goodbye(alice.socket)
    with pytest.raises(websocket.WebSocketBadStatusException, match="503"):
        alice.connect()
    alice.post("/sandbox/faults", json={"refuse_websockets": 0.2})
    wait_for(lambda: alice.get("/sandbox/faults").json()["refuse_websockets"] == 0, "the end of the refusal")
    alice.reconnect()
    assert "execution_success" in alice.run(basic_graph()).types


def test_sockets_break_in_the_middle_of_a_prompt_that_goes_on(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"cut_websockets": 1})
    prompt_id = alice.submit(slow_graph(steps=4))
    assert alice.socket is not None
    assert closed_without_goodbye(alice.socket)
    assert alice.wait_for_status(prompt_id, "completed")


def test_uploads_are_refused(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"refuse_uploads": True})
    assert alice.upload("x.png").status_code == 500


def test_answers_come_late_but_their_work_is_done_at_once(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"delay": 60})
    started = time.monotonic()
    with pytest.raises(requests.ReadTimeout):
        requests.post(alice.url + "/prompt", json={"prompt": basic_graph()}, timeout=0.2)
    alice.post("/sandbox/faults", json={"delay": 0.5})
    assert alice.get("/system_stats").status_code == 200
    assert time.monotonic() - started >= 0.5
    wait_for(lambda: len(alice.get("/history").json()) == 1, "the prompt whose answer nobody waited for")


def test_a_lost_answer_leaves_the_prompt_behind(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"lose_answers": 1})
    with pytest.raises(requests.ConnectionError):
        alice.prompt(basic_graph())
    wait_for(lambda: alice.get("/history").json(), "the prompt without an answer")
    assert alice.prompt(basic_graph()).status_code == 200


def test_the_history_lags_behind_the_events(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"history_delay": 60})
    prompt_id = alice.submit(basic_graph())
    alice.hear("execution_success")
    assert alice.get(f"/history/{prompt_id}").json() == {}
    alice.post("/sandbox/faults", json={"history_delay": 0})
    assert alice.wait_for_status(prompt_id, "completed")


@pytest.mark.parametrize(
    ("moment", "cuts_left"),
    [("send_text", 1), ("break_all", 0)],
    ids=["before it is struck", "while it is struck"],
)
def test_a_run_that_a_restart_has_ended_takes_no_fault_from_the_next(
    tmp_path: Path, moment: str, cuts_left: int
) -> None:
    executor = executor_in(Folders(tmp_path), cut_websockets=1, runtime_error=1)
    getattr(executor.messenger, moment).side_effect = lambda *message: executor.abandon()
    outcome = executor.execute((0, "p", {"9": node("SaveImage", filename_prefix="r")}, {}, ["9"]))
    assert outcome.messages[-1][0] == "execution_interrupted"
    faults = executor.faults.now
    assert (faults.cut_websockets, faults.runtime_error) == (cuts_left, 1)


def test_dying_in_the_middle_loses_queue_and_history_but_no_files() -> None:
    # A step takes long enough for the answer to POST /prompt to leave first.
    with SandboxServer("comfyui", "--seconds-per-step", "1", "--die") as server:
        client = Client(server)
        client.upload()
        client.submit(edit_graph("basic.png", lightning=True))
        assert client.socket is not None
        assert closed_without_goodbye(client.socket)
        assert server.wait(10) == 137


def test_options_set_faults_from_the_start() -> None:
    with start_sandbox_comfyui(
        "--out-of-memory", "1", "--missing-model", "qwen_image_vae.safetensors"
    ) as server:
        state = server.control()
        assert state["out_of_memory"] == 1
        assert state["missing_models"] == ["qwen_image_vae.safetensors"]
        assert state["seconds_per_step"] == 0
