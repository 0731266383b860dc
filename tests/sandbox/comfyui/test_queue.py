"""Order, cancelling, history and /api/jobs."""

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from qwenedit.sandbox.comfyui.files import Folders
from qwenedit.sandbox.comfyui.jobs import find_job
from qwenedit.sandbox.comfyui.prompt_queue import PromptQueue
from tests.sandbox.comfyui.driving import (
    Client,
    basic_graph,
    edit_graph,
    executor_in,
    node,
    slow_graph,
    wait_for,
)

SERVER_ERROR = "500 Internal Server Error\n\nServer got itself in trouble"


@pytest.fixture
def busy(alice: Client) -> str:
    """The id of a prompt that runs, slowly: one step takes 20 ms, all of them 200 s.

    It is in the sampler: what says "in_progress" may not have started, and then an interrupt is lost.
    """
    alice.post("/sandbox/faults", json={"seconds_per_step": 0.02})
    prompt_id = alice.submit(slow_graph(steps=10000))
    alice.hear("progress")
    return prompt_id


def ids(items: list[list[Any]]) -> list[str]:
    return [item[1] for item in items]


def queue(client: Client) -> tuple[list[str], list[str]]:
    answer = client.get("/queue").json()
    return ids(answer["queue_running"]), ids(answer["queue_pending"])


def finished_order(client: Client) -> list[str]:
    return list(client.get("/history").json())


def test_prompts_run_one_at_a_time_by_number(alice: Client, busy: str) -> None:
    extras: dict[str, dict[str, Any]] = {
        "A": {},
        "B": {},
        "front1": {"front": True},
        "C": {},
        "front2": {"front": True},
        "num0.5": {"number": 0.5},
        "num-1e6": {"number": -1000000},
        "num1e6": {"number": 1000000},
        "D": {},
    }
    sent = {}
    numbers = []
    for name, extra in extras.items():
        answer = alice.prompt(basic_graph(prefix=f"order/{name}"), **extra).json()
        sent[answer["prompt_id"]] = name
        numbers.append(answer["number"])
    assert numbers == [1, 2, -3, 4, -5, 0.5, -1000000.0, 1000000.0, 6]
    assert queue(alice)[0] == [busy]
    assert sorted(queue(alice)[1]) == sorted(sent)
    assert alice.get("/prompt").json() == {"exec_info": {"queue_remaining": 10}}
    assert alice.post(f"/api/jobs/{busy}/cancel").json() == {"cancelled": True}
    wait_for(lambda: alice.get("/prompt").json()["exec_info"]["queue_remaining"] == 0, "an empty queue")

    order = [sent[prompt_id] for prompt_id in finished_order(alice) if prompt_id != busy]

    assert order == ["num-1e6", "front2", "front1", "num0.5", "A", "B", "C", "D", "num1e6"]


def test_a_waiting_and_a_running_prompt_have_no_history_but_a_job(alice: Client, busy: str) -> None:
    waiting = alice.submit(basic_graph())
    (item,) = alice.get("/queue").json()["queue_pending"]
    assert item[:3] == [1, waiting, basic_graph()]
    assert item[4] == ["9"]
    for prompt_id, status, number in ((busy, "in_progress", 0), (waiting, "pending", 1)):
        assert alice.get(f"/history/{prompt_id}").json() == {}
        job = alice.job(prompt_id)
        assert isinstance(job.pop("create_time"), int)
        assert job == {
            "id": prompt_id,
            "status": status,
            "priority": number,
            "outputs_count": 0,
            "previewable_outputs_count": 0,
        }


def test_deleting_takes_waiting_prompts_only_and_leaves_no_trace(alice: Client, busy: str) -> None:
    waiting = alice.submit(basic_graph())
    for prompt_id in (waiting, busy, "nope"):
        answer = alice.post("/queue", json={"delete": [prompt_id]})
        assert (answer.status_code, answer.content) == (200, b"")
    assert queue(alice) == ([busy], [])
    assert alice.get(f"/history/{waiting}").json() == {}
    answer = alice.get(f"/api/jobs/{waiting}")
    assert (answer.status_code, answer.json()) == (404, {"error": "Job not found"})


def test_clearing_the_queue_lets_the_running_prompt_go_on(alice: Client, busy: str) -> None:
    for _ in range(3):
        alice.submit(basic_graph())
    assert alice.post("/queue", json={"clear": True}).status_code == 200
    assert queue(alice) == ([busy], [])
    assert alice.post("/queue", data=b"x").text == SERVER_ERROR


def test_an_interrupted_prompt_ends_as_recorded(alice: Client, busy: str) -> None:
    assert alice.post("/interrupt", json={"prompt_id": busy}).content == b""
    messages = alice.messages()
    assert [message["type"] for message in messages[-3:]] == ["execution_interrupted", "status", "executing"]
    data = messages[-3]["data"]
    assert isinstance(data.pop("timestamp"), int)
    assert data == {
        "prompt_id": busy,
        "node_id": "sampler",
        "node_type": "KSampler",
        "executed": ["vae", "latent", "clip", "text", "model"],
    }
    entry = alice.get(f"/history/{busy}").json()[busy]
    assert entry["status"]["status_str"] == "error"
    assert entry["status"]["completed"] is False
    assert entry["status"]["messages"][-1][0] == "execution_interrupted"
    assert entry["outputs"] == {}
    job = alice.job(busy)
    assert job["status"] == "cancelled"
    assert "execution_error" not in job


def test_an_interrupt_names_its_prompt_or_meets_whatever_runs(alice: Client, busy: str) -> None:
    waiting = alice.submit(basic_graph())
    for prompt_id in (waiting, "nope"):
        assert alice.post("/interrupt", json={"prompt_id": prompt_id}).status_code == 200
    assert alice.job(busy)["status"] == "in_progress"
    assert alice.post("/interrupt").status_code == 200
    assert alice.wait_for_status(busy, "cancelled")
    assert alice.wait_for_status(waiting, "completed")


def test_an_interrupt_of_nothing_does_not_hurt_the_next_prompt(alice: Client) -> None:
    assert alice.post("/interrupt").status_code == 200
    assert "execution_success" in alice.run(basic_graph()).types
    assert alice.post("/interrupt", json=[1]).text == SERVER_ERROR


def test_cancelling_is_idempotent(alice: Client, busy: str) -> None:
    waiting = alice.submit(basic_graph())

    def cancel(prompt_id: str) -> bool:
        answer: bool = alice.post(f"/api/jobs/{prompt_id}/cancel").json()["cancelled"]
        return answer

    assert cancel(waiting) is True
    assert cancel(waiting) is False
    assert alice.get(f"/api/jobs/{waiting}").status_code == 404
    assert cancel(busy) is True
    alice.wait_for_status(busy, "cancelled")
    assert cancel(busy) is False
    assert cancel("nope") is False


def test_several_jobs_are_cancelled_at_once(alice: Client, busy: str) -> None:
    waiting = alice.submit(basic_graph())
    unknown = str(uuid.uuid4())
    assert alice.post("/api/jobs/cancel", json={"job_ids": [waiting, unknown]}).json() == {"cancelled": True}
    assert alice.post("/api/jobs/cancel", json={"job_ids": [unknown]}).json() == {"cancelled": False}
    answer = alice.post("/api/jobs/cancel", json={"job_ids": ["x"]})
    assert answer.status_code == 400
    assert answer.json() == {"error": "job_ids contains invalid id(s)", "invalid_ids": ["x"]}
    assert queue(alice) == ([busy], [])


def test_jobs_are_listed_with_filters_and_pages(alice: Client, busy: str) -> None:
    waiting = [alice.submit(basic_graph()) for _ in range(3)]

    def listed(query: str) -> tuple[list[str], dict[str, Any]]:
        answer = alice.get(f"/api/jobs{query}").json()
        return [job["id"] for job in answer["jobs"]], answer["pagination"]

    assert sorted(listed("")[0]) == sorted([busy, *waiting])
    page, pagination = listed("?status=pending,in_progress&limit=2&sort_order=asc")
    assert page[0] == busy
    assert pagination == {"offset": 0, "limit": 2, "total": 4, "has_more": True}
    page, pagination = listed("?status=pending&offset=2")
    assert len(page) == 1
    assert pagination == {"offset": 2, "limit": None, "total": 3, "has_more": False}


@pytest.mark.parametrize(
    ("query", "error"),
    [
        (
            "status=bogus",
            "Invalid status value(s): bogus. Valid values: "
            "pending, in_progress, completed, failed, cancelled",
        ),
        ("limit=0", "limit must be a positive integer"),
    ],
)
def test_a_wrong_question_about_jobs_is_refused(alice: Client, query: str, error: str) -> None:
    answer = alice.get(f"/api/jobs?{query}")
    assert (answer.status_code, answer.json()) == (400, {"error": error})


def test_the_same_id_posted_twice_runs_twice_and_the_last_one_is_kept(alice: Client) -> None:
    prompt_id = str(uuid.uuid4())
    first = alice.run(basic_graph(prefix="dup/r"), prompt_id=prompt_id)
    second = alice.run(basic_graph(prefix="dup/r", width=81), prompt_id=prompt_id)
    assert (first.prompt_id, second.prompt_id) == (prompt_id, prompt_id)
    assert len(alice.get("/history").json()) == 1
    assert second.history["prompt"][2]["2"]["inputs"]["width"] == 81
    assert second.files[0]["filename"] == "r_00002_.png"


def test_the_same_id_and_number_kill_the_execution_thread(alice: Client, busy: str) -> None:
    same: dict[str, Any] = {"prompt_id": str(uuid.uuid4()), "number": 7}
    assert alice.prompt(basic_graph(), **same).status_code == 200
    assert alice.prompt(basic_graph(width=64), **same).text == SERVER_ERROR
    assert alice.prompt(basic_graph(width=65), **same).text == SERVER_ERROR
    later = alice.submit(basic_graph(width=66), number=496)
    assert len(queue(alice)[1]) == 4
    alice.post(f"/api/jobs/{busy}/cancel")
    wait_for(lambda: queue(alice)[0] == [], "the end of the running prompt")
    assert alice.get("/system_stats").status_code == 200
    assert alice.job(later)["status"] == "pending"


def test_history_is_limited_deleted_and_cleared(alice: Client) -> None:
    made = [alice.run(basic_graph(width=width)).prompt_id for width in (10, 20, 30)]
    assert finished_order(alice) == made
    assert list(alice.get("/history?max_items=2").json()) == made[1:]
    assert list(alice.get("/history?max_items=2&offset=0").json()) == made[:2]
    assert alice.get("/history?max_items=x").text == SERVER_ERROR
    assert alice.post("/history", json={"delete": [made[0]]}).content == b""
    assert finished_order(alice) == made[1:]
    assert alice.post("/history", json={"clear": True}).status_code == 200
    assert alice.get("/history").json() == {}


def test_a_cancel_during_the_last_node_ends_in_success(tmp_path: Path) -> None:
    class CancelledWhileSaving(Folders):
        def new_results(self, *arguments: Any) -> Iterator[tuple[Path, str, str]]:
            assert prompts.is_running("last")
            executor.interrupt()
            return super().new_results(*arguments)

    executor = executor_in(CancelledWhileSaving(tmp_path))
    prompts = PromptQueue(lambda: None)
    graph = {
        "1": node("EmptyImage", width=8, height=8, batch_size=1, color=255),
        "9": node("SaveImage", images=["1", 0], filename_prefix="r"),
    }
    prompts.put((0, "last", graph, {"create_time": 0}, ["9"]))
    ticket, item = prompts.get()
    prompts.finish(ticket, executor.execute(item))
    job = find_job(prompts, "last")
    assert job["status"] == "completed"
    assert job["preview_output"]["filename"] == "r_00001_.png"


def test_every_route_is_there_below_api_too_but_jobs_only_there(alice: Client) -> None:
    paths = ("/system_stats", "/queue", "/history", "/prompt", "/features", "/object_info", "/models/vae")
    for path in paths:
        assert set(alice.get(path).json()) == set(alice.get(f"/api{path}").json()), path
    assert alice.get("/jobs").status_code == 404
    assert alice.get("/api/jobs").status_code == 200
    answer = alice.post("/api/prompt", json={"prompt": basic_graph()})
    assert answer.status_code == 200


def test_the_server_describes_itself(alice: Client) -> None:
    stats = alice.get("/system_stats").json()
    assert stats["system"]["comfyui_version"] == "0.33.0"
    assert "sandbox" in stats["devices"][0]["name"]
    assert stats["devices"][0]["vram_free"] > 0
    assert alice.get("/features").json() == {
        "supports_preview_metadata": True,
        "supports_model_type_tags": True,
        "max_upload_size": 104857600,
        "extension": {"manager": {"supports_v4": True}},
        "node_replacements": True,
        "assets": False,
    }
    answer = alice.get("/nope")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/octet-stream")
    assert alice.get("/models/nope").status_code == 404
    assert alice.get("/object_info/NoSuchNode").json() == {}


def test_a_node_class_is_described_as_recorded(alice: Client) -> None:
    described = alice.get("/object_info/LoadImage").json()["LoadImage"]
    names, options = described.pop("input")["required"]["image"]
    assert "basic.png" in names
    assert options == {"image_upload": True}
    assert described == {
        "input_order": {"required": ["image"]},
        "is_input_list": False,
        "output": ["IMAGE", "MASK"],
        "output_is_list": [False, False],
        "output_name": ["IMAGE", "MASK"],
        "name": "LoadImage",
        "display_name": "Load Image",
        "description": "",
        "python_module": "nodes",
        "category": "image",
        "output_node": False,
        "has_intermediate_output": False,
        "search_aliases": [
            "load image",
            "open image",
            "import image",
            "image input",
            "upload image",
            "read image",
            "image loader",
        ],
        "essentials_category": "Basics",
    }


def test_every_class_of_the_edit_prompt_is_described(alice: Client) -> None:
    used = {one["class_type"] for one in edit_graph("a.png", "b.png", "c.png", lightning=True).values()}
    assert used <= set(alice.get("/object_info").json())
