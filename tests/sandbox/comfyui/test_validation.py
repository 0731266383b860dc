"""POST /prompt refuses what ComfyUI 0.33 refuses, word for word as recorded."""

import copy
import uuid
from typing import Any

import pytest

from tests.sandbox.comfyui.driving import LORA, MODEL, Client, Graph, basic_graph, edit_graph, node

SERVER_ERROR = "500 Internal Server Error\n\nServer got itself in trouble"
FAILED = {
    "type": "prompt_outputs_failed_validation",
    "message": "Prompt outputs failed validation",
    "details": "",
    "extra_info": {},
}
WIDTH = ["INT", {"default": 512, "min": 0, "max": 16384, "step": 1}]
METHODS = ["nearest-exact", "bilinear", "area", "bicubic", "lanczos"]
IMAGES = ["IMAGE", {"tooltip": "The images to save."}]


def changed(**inputs_by_node: Any) -> Graph:
    """The basic graph with other nodes; `n3=None` takes node 3 away."""
    graph = basic_graph()
    for name, replacement in inputs_by_node.items():
        graph[name.removeprefix("n")] = replacement
    return graph


def scale(**inputs: Any) -> dict[str, Any]:
    whole = copy.deepcopy(basic_graph()["2"])
    whole["inputs"] |= inputs
    return whole


def invalid(node_id: str, class_type: str, *errors: dict[str, Any], output: str = "9") -> dict[str, Any]:
    return {node_id: {"errors": list(errors), "dependent_outputs": [output], "class_type": class_type}}


def without_tracebacks(answer: dict[str, Any]) -> dict[str, Any]:
    for entry in answer["node_errors"].values():
        for error in entry["errors"]:
            if "traceback" in error["extra_info"]:
                assert error["extra_info"].pop("traceback")
    return answer


def inner(details: str, kind: str) -> dict[str, Any]:
    return {
        "type": "exception_during_inner_validation",
        "message": "Exception when validating inner node",
        "details": details,
        "extra_info": {
            "input_name": "images",
            "input_config": IMAGES,
            "exception_message": details,
            "exception_type": kind,
            "linked_node": ["3", 0],
        },
    }


def cycle(node_id: str) -> dict[str, Any]:
    return {
        "type": "dependency_cycle",
        "message": "Dependency cycle detected",
        "details": "3 (ImageInvert) -> 2 (ImageScale) -> 3 (ImageInvert)",
        "extra_info": {"node_id": node_id, "cycle_nodes": ["3", "2"]},
    }


def test_a_right_prompt_is_accepted_with_its_own_id_and_number(alice: Client) -> None:
    prompt_id = str(uuid.uuid4())
    answer = alice.prompt(basic_graph(), prompt_id=prompt_id)
    assert answer.json() == {"prompt_id": prompt_id, "number": 0, "node_errors": {}}
    generated = alice.prompt(basic_graph()).json()
    assert generated["number"] == 1
    assert str(uuid.UUID(generated["prompt_id"])) == generated["prompt_id"]


@pytest.mark.parametrize(
    ("body", "error"),
    [
        pytest.param(
            {"client_id": "x"},
            {
                "type": "no_prompt",
                "message": "No prompt provided",
                "details": "No prompt provided",
                "extra_info": {},
            },
            id="no prompt",
        ),
        pytest.param(
            [1],
            {
                "type": "no_prompt",
                "message": "No prompt provided",
                "details": "No prompt provided",
                "extra_info": {},
            },
            id="a list as body",
        ),
        pytest.param(
            {"prompt": {}},
            {
                "type": "prompt_no_outputs",
                "message": "Prompt has no outputs",
                "details": "",
                "extra_info": {},
            },
            id="empty graph",
        ),
        pytest.param(
            {"prompt": {"1": node("LoadImage", image="basic.png")}},
            {
                "type": "prompt_no_outputs",
                "message": "Prompt has no outputs",
                "details": "",
                "extra_info": {},
            },
            id="no output node",
        ),
        pytest.param(
            {"prompt": changed(n3=node("NoSuchNode", image=["2", 0]))},
            {
                "type": "missing_node_type",
                "message": "Node 'NoSuchNode' not found. The custom node may not be installed.",
                "details": "Node ID '#3'",
                "extra_info": {"node_id": "3", "class_type": "NoSuchNode", "node_title": "NoSuchNode"},
            },
            id="unknown class",
        ),
        pytest.param(
            {"prompt": changed(n3={"inputs": {"image": ["2", 0]}})},
            {
                "type": "missing_node_type",
                "message": "Node 'ID #3' has no class_type. The workflow may be corrupted or a custom "
                "node is missing.",
                "details": "Node ID '#3'",
                "extra_info": {"node_id": "3", "class_type": None, "node_title": None},
            },
            id="no class",
        ),
    ],
)
def test_a_prompt_as_a_whole_is_refused(alice: Client, body: Any, error: dict[str, Any]) -> None:
    answer = alice.post("/prompt", json=body)
    assert answer.status_code == 400
    assert answer.json() == {"error": error, "node_errors": {}}


@pytest.mark.parametrize(
    "prompt_id",
    ["job-42", "CC33E1B1-5AD9-4ED2-8568-D158935008E8", "cc33e1b15ad94ed28568d158935008e8", 42, ""],
)
def test_a_prompt_id_must_be_a_canonical_uuid(alice: Client, prompt_id: Any) -> None:
    answer = alice.prompt(basic_graph(), prompt_id=prompt_id)
    assert answer.status_code == 400
    assert answer.json()["error"] == {
        "type": "invalid_prompt_id",
        "message": "prompt_id must be a valid UUID",
        "details": "prompt_id must be a UUID string in canonical lowercase hyphenated form; omit it "
        "to let the server generate one",
        "extra_info": {},
    }


@pytest.mark.parametrize(
    ("graph", "node_errors"),
    [
        pytest.param(
            basic_graph(image="missing.png"),
            invalid(
                "1",
                "LoadImage",
                {
                    "type": "custom_validation_failed",
                    "message": "Custom validation failed for node",
                    "details": "image - Invalid image file: missing.png",
                    "extra_info": {"input_name": "image"},
                },
            ),
            id="missing image",
        ),
        pytest.param(
            changed(
                n2=node("ImageScale", image=["1", 0], upscale_method="lanczos", height=128, crop="center")
            ),
            invalid(
                "2",
                "ImageScale",
                {
                    "type": "required_input_missing",
                    "message": "Required input is missing",
                    "details": "width",
                    "extra_info": {"input_name": "width"},
                },
            ),
            id="missing input",
        ),
        pytest.param(
            basic_graph(width="wide"),
            invalid(
                "2",
                "ImageScale",
                {
                    "type": "invalid_input_type",
                    "message": "Failed to convert an input value to a INT value",
                    "details": "width, wide, invalid literal for int() with base 10: 'wide'",
                    "extra_info": {
                        "input_name": "width",
                        "input_config": WIDTH,
                        "received_value": "wide",
                        "exception_message": "invalid literal for int() with base 10: 'wide'",
                    },
                },
            ),
            id="wrong type",
        ),
        pytest.param(
            changed(n2=scale(width=-5, height=100000)),
            invalid(
                "2",
                "ImageScale",
                {
                    "type": "value_smaller_than_min",
                    "message": "Value -5 smaller than min of 0",
                    "details": "width",
                    "extra_info": {"input_name": "width", "input_config": WIDTH, "received_value": -5},
                },
                {
                    "type": "value_bigger_than_max",
                    "message": "Value 100000 bigger than max of 16384",
                    "details": "height",
                    "extra_info": {"input_name": "height", "input_config": WIDTH, "received_value": 100000},
                },
            ),
            id="out of range",
        ),
        pytest.param(
            basic_graph(method="magic"),
            invalid(
                "2",
                "ImageScale",
                {
                    "type": "value_not_in_list",
                    "message": "Value not in list",
                    "details": f"upscale_method: 'magic' not in {METHODS}",
                    "extra_info": {
                        "input_name": "upscale_method",
                        "input_config": [METHODS, {}],
                        "received_value": "magic",
                    },
                },
            ),
            id="not in list",
        ),
        pytest.param(
            changed(n3=node("ImageInvert", image=["77", 0])),
            invalid("3", "ImageInvert", inner("'77'", "KeyError")),
            id="link to nowhere",
        ),
        pytest.param(
            changed(n3=node("ImageInvert", image=["2", 5])),
            invalid("3", "ImageInvert", inner("tuple index out of range", "IndexError")),
            id="link to no slot",
        ),
        pytest.param(
            changed(n3={"class_type": "ImageInvert"}),
            invalid("3", "ImageInvert", inner("'inputs'", "KeyError")),
            id="no inputs",
        ),
        pytest.param(
            changed(n3=node("ImageInvert", image=["1", 1])),
            invalid(
                "3",
                "ImageInvert",
                {
                    "type": "return_type_mismatch",
                    "message": "Return type mismatch between linked nodes",
                    "details": "image, received_type(MASK) mismatch input_type(IMAGE)",
                    "extra_info": {
                        "input_name": "image",
                        "input_config": ["IMAGE", {}],
                        "received_type": "MASK",
                        "linked_node": ["1", 1],
                    },
                },
            ),
            id="link of another type",
        ),
        pytest.param(
            changed(n3=node("ImageInvert", image=["2"])),
            invalid(
                "3",
                "ImageInvert",
                {
                    "type": "bad_linked_input",
                    "message": "Bad linked input, must be a length-2 list of [node_id, slot_index]",
                    "details": "image",
                    "extra_info": {
                        "input_name": "image",
                        "input_config": ["IMAGE", {}],
                        "received_value": ["2"],
                    },
                },
            ),
            id="malformed link",
        ),
        pytest.param(
            changed(n2=scale(image=["3", 0])),
            invalid("3", "ImageInvert", cycle("3")) | invalid("2", "ImageScale", cycle("2")),
            id="cycle",
        ),
    ],
)
def test_a_wrong_node_is_named_with_its_error(
    alice: Client, graph: Graph, node_errors: dict[str, Any]
) -> None:
    answer = alice.prompt(graph)
    assert answer.status_code == 400
    assert without_tracebacks(answer.json()) == {"error": FAILED, "node_errors": node_errors}


def test_missing_model_files_are_values_not_in_the_list(alice: Client) -> None:
    missing = [MODEL, "qwen_2.5_vl_7b_fp8_scaled.safetensors", "qwen_image_vae.safetensors", LORA]
    alice.post("/sandbox/faults", json={"missing_models": missing})

    errors = alice.prompt(edit_graph("basic.png", lightning=True)).json()["node_errors"]

    assert set(errors) == {"unet", "clip", "vae", "lora"}
    assert errors["vae"] == {
        "errors": [
            {
                "type": "value_not_in_list",
                "message": "Value not in list",
                "details": "vae_name: 'qwen_image_vae.safetensors' not in ['pixel_space']",
                "extra_info": {
                    "input_name": "vae_name",
                    "input_config": [["pixel_space"], {}],
                    "received_value": "qwen_image_vae.safetensors",
                },
            }
        ],
        "dependent_outputs": ["save"],
        "class_type": "VAELoader",
    }
    assert MODEL not in alice.get("/models/diffusion_models").json()


def test_a_long_list_of_choices_is_not_sent_back(alice: Client) -> None:
    graph = edit_graph("basic.png")
    graph["sampler"]["inputs"]["sampler_name"] = "dream"
    (error,) = alice.prompt(graph).json()["node_errors"]["sampler"]["errors"]
    assert error["details"] == "sampler_name: 'dream' not in (list of length 44)"
    assert error["extra_info"]["input_config"] is None


def test_a_wrong_output_node_puts_its_complaint_into_the_details(alice: Client) -> None:
    answer = alice.prompt({"9": node("SaveImage", filename_prefix="x")}).json()
    assert answer["error"]["details"] == "Required input is missing: images"


def test_one_wrong_output_of_two_is_named_and_the_other_one_runs(alice: Client) -> None:
    graph = basic_graph(prefix="jobs/good") | {
        "20": node("LoadImage", image="missing.png"),
        "21": node("SaveImage", images=["20", 0], filename_prefix="jobs/bad"),
    }
    answer = alice.prompt(graph)
    assert answer.status_code == 200
    assert answer.json()["node_errors"] == invalid(
        "20",
        "LoadImage",
        {
            "type": "custom_validation_failed",
            "message": "Custom validation failed for node",
            "details": "image - Invalid image file: missing.png",
            "extra_info": {"input_name": "image"},
        },
        output="21",
    )
    prompt_id = answer.json()["prompt_id"]
    job = alice.wait_for_status(prompt_id, "completed")
    assert list(job["outputs"]) == ["9"]
    assert alice.get(f"/history/{prompt_id}").json()[prompt_id]["prompt"][4] == ["9"]


def test_only_the_outputs_asked_for_run(alice: Client) -> None:
    graph = basic_graph() | {"10": node("PreviewImage", images=["2", 0])}
    run = alice.run(graph, partial_execution_targets=["10"])
    assert list(run.history["outputs"]) == ["10"]


@pytest.mark.parametrize(
    "body",
    [
        b"{oops",
        b"",
        b'{"prompt": []}',
        b'{"prompt": {}, "number": "first"}',
    ],
)
def test_a_body_that_breaks_comfyui_is_a_plain_text_500(alice: Client, body: bytes) -> None:
    answer = alice.post("/prompt", data=body)
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == "text/plain; charset=utf-8"
    assert answer.text == SERVER_ERROR


def test_extra_data_that_is_no_object_is_a_plain_text_500(alice: Client) -> None:
    assert alice.prompt(basic_graph(), extra_data=[1]).text == SERVER_ERROR


def test_numbers_as_strings_unknown_inputs_and_titles_are_fine(alice: Client) -> None:
    graph = basic_graph(width="64", prefix="jobs/loose")
    graph["3"]["inputs"]["foo"] = 1
    graph["3"]["_meta"] = {"title": "turn around"}
    assert alice.run(graph).picture().size == (64, 128)
