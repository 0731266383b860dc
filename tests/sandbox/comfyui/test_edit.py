"""A prompt from upload to result, as production sends it."""

import json
from itertools import pairwise

from tests.sandbox.comfyui.driving import Client, basic_graph, edit_graph, png

LIGHTNING_MESSAGES_AFTER_THE_40_STEP_PROMPT = [
    "status",
    "status",
    "execution_start",
    "execution_cached",
    *["progress_state", "executing", "progress_state"],  # lora
    *["progress_state", "executing", *["progress_state", "progress"] * 4, "progress_state"],  # sampler
    *["progress_state", "executing", "progress_state"],  # decode
    *["progress_state", "executing", "executed", "progress_state"],  # save
    "execution_success",
    "status",
    "executing",
]
BEFORE_THE_SAMPLER = [
    "vae",
    "image1",
    "scale1",
    "latent",
    "clip",
    "negative",
    "negative_ref",
    "positive",
    "positive_ref",
    "unet",
    "shift",
    "cfgnorm",
]


def test_an_edit_runs_from_upload_to_result_in_the_recorded_order(alice: Client) -> None:
    alice.upload("photo.png", png((600, 325)), overwrite="true")

    first = alice.run(edit_graph("photo.png", prefix="edit/first"))

    assert first.executed == [*BEFORE_THE_SAMPLER, "sampler", "decode", "save", None]
    assert first.cached == []
    assert [data["value"] for data in first.of_type("progress")] == list(range(1, 41))
    assert {data["max"] for data in first.of_type("progress")} == {40}
    assert first.history["status"]["status_str"] == "success"
    assert first.picture().size == (1392, 752)

    lightning = alice.run(edit_graph("photo.png", lightning=True, prefix="edit/second"))

    assert lightning.types == LIGHTNING_MESSAGES_AFTER_THE_40_STEP_PROMPT
    assert lightning.executed == ["lora", "sampler", "decode", "save", None]
    assert lightning.cached == [
        "unet",
        "clip",
        "vae",
        "shift",
        "cfgnorm",
        "image1",
        "scale1",
        "positive",
        "positive_ref",
        "negative",
        "negative_ref",
        "latent",
    ]
    assert lightning.files == [{"filename": "second_00001_.png", "subfolder": "edit", "type": "output"}]


def test_messages_have_the_recorded_fields(alice: Client) -> None:
    run = alice.run(basic_graph(prefix="jobs/fields"))
    prompt_id = run.prompt_id

    def state(node_id: str, value: float, kind: str) -> dict[str, object]:
        return {
            "value": value,
            "max": 1.0,
            "state": kind,
            "node_id": node_id,
            "prompt_id": prompt_id,
            "display_node_id": node_id,
            "parent_node_id": None,
            "real_node_id": node_id,
        }

    assert run.of_type("status") == [{"status": {"exec_info": {"queue_remaining": n}}} for n in (1, 1, 0)]
    states = run.of_type("progress_state")
    assert states[0] == {"prompt_id": prompt_id, "nodes": {"1": state("1", 0.0, "running")}}
    assert states[2]["nodes"] == {"1": state("1", 1.0, "finished"), "2": state("2", 0.0, "running")}
    assert run.of_type("executing")[0] == {"node": "1", "display_node": "1", "prompt_id": prompt_id}
    assert run.of_type("executing")[-1] == {"node": None, "prompt_id": prompt_id}
    assert run.of_type("executed") == [
        {
            "node": "9",
            "display_node": "9",
            "output": {"images": [{"filename": "fields_00001_.png", "subfolder": "jobs", "type": "output"}]},
            "prompt_id": prompt_id,
        }
    ]
    assert set(run.of_type("execution_success")[0]) == {"prompt_id", "timestamp"}


def test_history_and_job_of_a_finished_prompt_have_the_recorded_fields(alice: Client) -> None:
    graph = basic_graph(prefix="jobs/entry")
    run = alice.run(graph)
    start, cached, success = (run.of_type(f"execution_{kind}")[0] for kind in ("start", "cached", "success"))
    file = {"filename": "entry_00001_.png", "subfolder": "jobs", "type": "output"}
    status = {
        "status_str": "success",
        "completed": True,
        "messages": [
            ["execution_start", start],
            ["execution_cached", cached],
            ["execution_success", success],
        ],
    }
    entry = run.history
    created = entry["prompt"][3]["create_time"]
    extra_data = {"client_id": alice.client_id, "create_time": created}

    assert entry == {
        "prompt": [0, run.prompt_id, graph, extra_data, ["9"]],
        "outputs": {"9": {"images": [file]}},
        "status": status,
        "meta": {"9": {"node_id": "9", "display_node": "9", "parent_node": None, "real_node_id": "9"}},
    }
    assert alice.job(run.prompt_id) == {
        "id": run.prompt_id,
        "status": "completed",
        "priority": 0,
        "create_time": created,
        "execution_start_time": start["timestamp"],
        "execution_end_time": success["timestamp"],
        "outputs_count": 1,
        "previewable_outputs_count": 1,
        "preview_output": file | {"nodeId": "9", "mediaType": "images"},
        "outputs": {"9": {"images": [file]}},
        "execution_status": status,
        "workflow": {"prompt": graph, "extra_data": extra_data},
    }


def test_the_result_keeps_the_size_of_the_latent(alice: Client) -> None:
    alice.upload("odd.png", png((333, 517)), overwrite="true")
    graph = edit_graph("odd.png", lightning=True, prefix="edit/odd")
    graph["scale1"] = {
        "class_type": "ImageScale",
        "inputs": {
            "image": ["image1", 0],
            "upscale_method": "lanczos",
            "width": 328,
            "height": 512,
            "crop": "disabled",
        },
    }
    assert alice.run(graph).picture().size == (328, 512)


def test_every_picture_and_the_wish_and_the_seed_show_in_the_result(alice: Client) -> None:
    for number in (1, 2, 3):
        alice.upload(f"person{number}.png", png((300, 300), seed=number), overwrite="true")
    variants = [
        edit_graph("person1.png", lightning=True),
        edit_graph("person1.png", "person2.png", lightning=True),
        edit_graph("person1.png", "person2.png", "person3.png", lightning=True),
        edit_graph("person1.png", lightning=True, wish="A pencil sketch."),
        edit_graph("person1.png", lightning=True, seed=2),
    ]
    results = [alice.run(graph).picture().tobytes() for graph in variants]
    assert len(set(results)) == len(variants)


def test_the_same_seed_gives_the_same_picture_even_after_the_cache_is_emptied(alice: Client) -> None:
    first = alice.run(edit_graph("basic.png", lightning=True, seed=7)).picture().tobytes()
    assert alice.post("/free", json={"unload_models": True, "free_memory": True}).status_code == 200
    again = alice.run(edit_graph("basic.png", lightning=True, seed=7))
    assert again.cached == []
    assert again.picture().tobytes() == first


def test_saved_pictures_carry_the_prompt_and_the_workflow(alice: Client) -> None:
    graph = basic_graph(prefix="jobs/meta")
    extra = {"extra_pnginfo": {"workflow": {"id": "wf-1"}}, "api_key_comfy_org": "secret"}
    run = alice.run(graph, extra_data=extra)
    text = run.picture().info
    kept = json.loads(text["prompt"])
    (digest,) = kept["1"].pop("is_changed")
    assert len(digest) == 64
    assert kept == graph
    assert json.loads(text["workflow"]) == {"id": "wf-1"}
    assert "api_key_comfy_org" not in run.history["prompt"][3]
    assert alice.get("/api/jobs?workflow_id=wf-1").json()["jobs"][0]["id"] == run.prompt_id


def test_progress_state_grows_by_one_node_at_a_time(alice: Client) -> None:
    run = alice.run(edit_graph("basic.png", lightning=True, seed=99))
    sizes = [len(data["nodes"]) for data in run.of_type("progress_state")]
    assert all(later - earlier in (0, 1) for earlier, later in pairwise(sizes))
    assert sizes[-1] == len(run.executed) - 1


def test_previews_come_as_binary_frames_to_who_asks_for_them(alice: Client) -> None:
    assert alice.socket is not None
    alice.submit(edit_graph("basic.png", lightning=True, seed=5), extra_data={"preview_method": "latent2rgb"})
    frames = []
    while True:
        data = alice.socket.recv()
        if isinstance(data, bytes):
            frames.append(data)
        elif json.loads(data)["type"] == "execution_success":
            break
    assert len(frames) == 4
    assert all(frame.startswith(b"\x00\x00\x00\x01\x00\x00\x00\x01\xff\xd8\xff") for frame in frames)


def test_previews_carry_metadata_for_who_understands_it(alice: Client) -> None:
    assert alice.socket is not None
    alice.socket.send(json.dumps({"type": "feature_flags", "data": {"supports_preview_metadata": True}}))
    assert json.loads(alice.socket.recv())["type"] == "feature_flags"
    prompt_id = alice.submit(
        edit_graph("basic.png", lightning=True, seed=6), extra_data={"preview_method": "auto"}
    )
    while not isinstance(data := alice.socket.recv(), bytes):
        pass
    length = int.from_bytes(data[4:8], "big")
    assert data[:4] == b"\x00\x00\x00\x04"
    assert json.loads(data[8 : 8 + length]) == {
        "node_id": "sampler",
        "prompt_id": prompt_id,
        "display_node_id": "sampler",
        "parent_node_id": None,
        "real_node_id": "sampler",
        "image_type": "image/jpeg",
    }
    assert data[8 + length :].startswith(b"\xff\xd8\xff")
