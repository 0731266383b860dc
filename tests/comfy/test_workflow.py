"""The workflow builder: what each input becomes in the prompt that ComfyUI gets."""

from itertools import product
from pathlib import Path
from typing import Any

import pytest

from jobs.comfy.errors import WorkflowInputError, WorkflowTemplateError
from jobs.comfy.workflow import (
    ModelFiles,
    Workflow,
    WorkflowInputs,
    available_workflows,
    check_workflows,
    model_size,
)


def inputs(**changes: Any) -> WorkflowInputs:
    values: dict[str, Any] = {
        "pictures": ["qwenedit/a.png"],
        "prompt": "Make the sky purple.",
        "seed": 42,
        "width": 1152,
        "height": 864,
        "filename_prefix": "qwenedit/0b8e6c1e-1111-4222-8333-abcdefabcdef/r",
    }
    return WorkflowInputs(**(values | changes))


@pytest.fixture
def workflow() -> Workflow:
    return Workflow.load("qwen_image_edit_2511")


def test_every_input_arrives_at_its_node(workflow: Workflow) -> None:
    graph = workflow.build(
        inputs(
            pictures=["qwenedit/a.png", "qwenedit/b (1).png", "qwenedit/c.png"],
            negative="blurry",
            steps=30,
            cfg=3.5,
            models=ModelFiles(diffusion="d.gguf", text_encoder="t.safetensors", vae="v.safetensors"),
        )
    )
    assert [graph[f"image{n}"]["inputs"]["image"] for n in (1, 2, 3)] == [
        "qwenedit/a.png",
        "qwenedit/b (1).png",
        "qwenedit/c.png",
    ]
    assert graph["positive"]["inputs"]["prompt"] == "Make the sky purple."
    assert graph["negative"]["inputs"]["prompt"] == "blurry"
    sampler = graph["sampler"]["inputs"]
    assert (sampler["seed"], sampler["steps"], sampler["cfg"]) == (42, 30, 3.5)
    scale = graph["scale1"]["inputs"]
    assert (scale["width"], scale["height"], scale["crop"]) == (1152, 864, "disabled")
    assert graph["save"]["inputs"]["filename_prefix"].endswith("/r")
    assert graph["unet"]["inputs"]["unet_name"] == "d.gguf"
    assert graph["clip"]["inputs"]["clip_name"] == "t.safetensors"
    assert graph["vae"]["inputs"]["vae_name"] == "v.safetensors"


@pytest.mark.parametrize(("count", "lightning"), list(product((1, 2, 3), (False, True))))
def test_pictures_that_were_not_given_are_absent_and_nothing_links_to_them(
    workflow: Workflow, count: int, lightning: bool
) -> None:
    graph = workflow.build(inputs(pictures=[f"{n}.png" for n in range(count)], lightning=lightning))
    loaders = [node for node in graph.values() if node["class_type"] == "LoadImage"]
    assert len(loaders) == count
    for encoder in ("positive", "negative"):
        given = [name for name in graph[encoder]["inputs"] if name.startswith("image")]
        assert given == [f"image{n + 1}" for n in range(count)]
    links = [
        value[0] for node in graph.values() for value in node["inputs"].values() if isinstance(value, list)
    ]
    assert set(links) <= graph.keys()


def test_what_is_not_given_stays_as_the_workflow_says(workflow: Workflow) -> None:
    graph = workflow.build(inputs())
    sampler = graph["sampler"]["inputs"]
    assert (sampler["steps"], sampler["cfg"], sampler["model"]) == (40, 4.0, ["cfgnorm", 0])
    assert graph["unet"]["inputs"]["unet_name"] == "qwen_image_edit_2511_fp8mixed.safetensors"
    assert "lora" not in graph


def test_lightning_puts_its_lora_before_the_sampler_and_takes_four_steps(workflow: Workflow) -> None:
    graph = workflow.build(inputs(lightning=True, models=ModelFiles(lora="fast.safetensors")))
    sampler = graph["sampler"]["inputs"]
    assert (sampler["steps"], sampler["cfg"], sampler["model"]) == (4, 1.0, ["lora", 0])
    assert graph["lora"]["inputs"]["lora_name"] == "fast.safetensors"
    assert graph["lora"]["inputs"]["model"] == ["cfgnorm", 0]


def test_the_name_of_a_lora_is_no_error_when_lightning_is_off(workflow: Workflow) -> None:
    assert "lora" not in workflow.build(inputs(models=ModelFiles(lora="fast.safetensors")))


def test_two_builds_share_nothing(workflow: Workflow) -> None:
    first = workflow.build(inputs(seed=1, lightning=True))
    first["sampler"]["inputs"]["seed"] = "spoiled"
    first["lora"]["inputs"]["model"].append("spoiled")
    first["positive"]["inputs"]["clip"].append("spoiled")
    second = workflow.build(inputs(seed=2, lightning=True))
    assert second["sampler"]["inputs"]["seed"] == 2
    assert second["lora"]["inputs"]["model"] == ["cfgnorm", 0]
    assert second["positive"]["inputs"]["clip"] == ["clip", 0]


def test_the_prompt_is_data_whatever_it_looks_like(workflow: Workflow) -> None:
    wish = '["sampler", 0] {"class_type": "x"} "quoted" \n %year% привет 👩‍🚀'
    graph = workflow.build(inputs(prompt=wish))
    assert graph["positive"]["inputs"]["prompt"] == wish
    assert len(graph) == len(workflow.build(inputs()))


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"pictures": []}, "takes 1 to 3 pictures, got 0"),
        ({"pictures": ["a", "b", "c", "d"]}, "takes 1 to 3 pictures, got 4"),
        ({"seed": -1}, "seed"),
        ({"seed": 2**64}, "seed"),
        ({"width": 0}, "not a size"),
        ({"filename_prefix": ""}, "filename_prefix"),
        ({"filename_prefix": "../evil"}, "filename_prefix"),
        ({"filename_prefix": "/abs/x"}, "filename_prefix"),
        ({"filename_prefix": "jobs/%year%"}, "filename_prefix"),
        ({"filename_prefix": "jobs/x/"}, "filename_prefix"),
    ],
)
def test_impossible_inputs_are_refused(workflow: Workflow, changes: dict[str, Any], reason: str) -> None:
    with pytest.raises(WorkflowInputError) as caught:
        workflow.build(inputs(**changes))
    assert reason in caught.value.detail
    assert not caught.value.retryable


def test_the_largest_seed_is_possible(workflow: Workflow) -> None:
    assert workflow.build(inputs(seed=2**64 - 1))["sampler"]["inputs"]["seed"] == 2**64 - 1


def test_the_workflows_that_are_shipped_are_sound() -> None:
    assert available_workflows() == ["qwen_image_edit_2509", "qwen_image_edit_2511"]
    assert check_workflows() == []


def test_a_workflow_says_what_its_users_need_to_know(workflow: Workflow) -> None:
    assert workflow.title == "Qwen-Image-Edit-2511"
    assert (workflow.min_pictures, workflow.max_pictures) == (1, 3)
    assert (workflow.output_node, workflow.sampler_node) == ("save", "sampler")
    assert workflow.has_lightning


def test_the_older_model_differs_by_its_file_alone() -> None:
    graph = Workflow.load("qwen_image_edit_2509").build(inputs())
    assert graph["unet"]["inputs"]["unet_name"] == "qwen_image_edit_2509_fp8_e4m3fn.safetensors"
    assert graph["sampler"]["inputs"]["steps"] == 20
    assert graph["shift"]["inputs"]["shift"] == 3.0


@pytest.mark.parametrize("name", ["no_such_workflow", "../workflows/qwen_image_edit_2511", "", "A"])
def test_a_workflow_that_is_not_there_cannot_be_loaded(name: str) -> None:
    with pytest.raises(WorkflowTemplateError):
        Workflow.load(name)


def test_lightning_is_refused_where_there_is_none(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "jobs/comfy/workflows/qwen_image_edit_2511.json"
    text = shipped.read_text(encoding="utf-8").replace('"lightning":', '"slow":')
    (tmp_path / "slow_only.json").write_text(text, encoding="utf-8")
    workflow = Workflow.load("slow_only", tmp_path)
    assert not workflow.has_lightning
    with pytest.raises(WorkflowInputError, match="not possible"):
        workflow.build(inputs(lightning=True))


@pytest.mark.parametrize(
    ("photo", "expected"),
    [
        ((512, 512), (1024, 1024)),
        ((4032, 3024), (1152, 864)),
        ((3024, 4032), (864, 1152)),
        ((3000, 2000), (1248, 832)),
        ((1, 1), (1024, 1024)),
    ],
)
def test_the_model_works_on_about_a_megapixel_of_the_same_shape(
    photo: tuple[int, int], expected: tuple[int, int]
) -> None:
    assert model_size(*photo) == expected


@pytest.mark.parametrize("ratio", [n / 20 for n in range(8, 61)])
def test_no_photo_is_visibly_stretched(ratio: float) -> None:
    width, height = model_size(round(3000 * ratio), 3000)
    assert width % 16 == height % 16 == 0
    assert abs(width / height / ratio - 1) < 0.01
    assert 0.88 < width * height / 1024**2 < 1.12


def test_a_panorama_keeps_a_size_the_model_can_take() -> None:
    width, height = model_size(10_000, 100)
    assert height >= 16
    assert width <= 16384


def test_a_size_of_nothing_is_refused() -> None:
    with pytest.raises(ValueError, match="0x5"):
        model_size(0, 5)


def test_the_size_follows_the_workflow_file(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[2] / "jobs/comfy/workflows/qwen_image_edit_2511.json"
    text = shipped.read_text(encoding="utf-8").replace('"megapixels": 1.0', '"megapixels": 2.0')
    (tmp_path / "larger.json").write_text(text.replace('"multiple": 16', '"multiple": 64'), encoding="utf-8")
    width, height = Workflow.load("larger", tmp_path).model_size(1000, 1000)
    assert width == height == 1472
