"""Workflow files: a mistake in one is named before an edit meets it."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from jobs.comfy.errors import WorkflowTemplateError
from jobs.comfy.template import parse_template
from jobs.comfy.workflow import Workflow, WorkflowInputs, check_workflows

Document = dict[str, Any]

SMALL: Document = {
    "title": "Small",
    "output": "save",
    "sampler": "edit",
    "megapixels": 1,
    "multiple": 16,
    "pictures": [
        {"image": ["load1.image"]},
        {"image": ["load2.image"], "absent": ["load2", "edit.images.image_2"]},
    ],
    "bindings": {
        "prompt": ["edit.prompt"],
        "seed": ["edit.seed"],
        "filename_prefix": ["save.filename_prefix"],
    },
    "variants": {
        "lightning": {
            "nodes": {"lora": {"class_type": "Lora", "inputs": {"lora_name": "l", "model": ["model", 0]}}},
            "inputs": {"edit.model": ["lora", 0]},
            "bindings": {"lora": ["lora.lora_name"]},
        }
    },
    "graph": {
        "model": {"class_type": "Model", "inputs": {"name": "m"}},
        "load1": {"class_type": "LoadImage", "inputs": {"image": "1.png"}},
        "load2": {"class_type": "LoadImage", "inputs": {"image": "2.png"}},
        "edit": {
            "class_type": "Edit",
            "inputs": {
                "model": ["model", 0],
                "images.image_1": ["load1", 0],
                "images.image_2": ["load2", 0],
                "prompt": "",
                "seed": 0,
            },
        },
        "save": {"class_type": "SaveImage", "inputs": {"images": ["edit", 0], "filename_prefix": "x"}},
    },
}


def problems_of(document: Any) -> list[str]:
    with pytest.raises(WorkflowTemplateError) as caught:
        parse_template(document, "small")
    assert caught.value.operator_alarm
    assert not caught.value.retryable
    return caught.value.problems


def test_a_small_workflow_of_another_shape_is_another_file(tmp_path: Path) -> None:
    (tmp_path / "small.json").write_text(json.dumps(SMALL), encoding="utf-8")
    inputs = WorkflowInputs(
        pictures=["a.png"], prompt="Hi.", seed=7, width=1, height=1, filename_prefix="p", lightning=True
    )
    graph = Workflow.load("small", tmp_path).build(inputs)
    assert graph["edit"]["inputs"] == {
        "model": ["lora", 0],
        "images.image_1": ["load1", 0],
        "prompt": "Hi.",
        "seed": 7,
    }
    assert "load2" not in graph


def set_at(path: str, value: Any) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        *parents, last = path.split("/")
        place: Any = document
        for key in parents:
            place = place[int(key) if key.isdigit() else key]
        place[last] = value

    return change


def drop(path: str) -> Callable[[Document], None]:
    def change(document: Document) -> None:
        *parents, last = path.split("/")
        place: Any = document
        for key in parents:
            place = place[int(key) if key.isdigit() else key]
        del place[last]

    return change


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (drop("title"), "the file has no title"),
        (set_at("titel", "x"), "the file has an unknown key titel"),
        (set_at("output", ""), "output is not a text"),
        (set_at("megapixels", 0), "megapixels is not a positive number"),
        (set_at("multiple", 1.5), "multiple is not a positive whole number"),
        (set_at("multiple", True), "multiple is not a positive whole number"),
        (set_at("pictures", []), "pictures is not a list of at least one picture"),
        (set_at("pictures", ["load1.image"]), "picture 1 is not an object"),
        (set_at("pictures/0/image", "load1.image"), "picture 1: image is not a list of addresses"),
        (set_at("bindings/promt", ["edit.prompt"]), "bindings: unknown binding promt"),
        (set_at("bindings/prompt", []), "bindings: prompt is not a list of addresses"),
        (drop("bindings/seed"), "there is no binding seed"),
        (set_at("bindings/prompt", ["edit.text"]), "prompt is bound to edit.text, which does not exist"),
        (set_at("bindings/prompt", ["gone.text"]), "prompt is bound to gone.text, which does not exist"),
        (set_at("bindings/prompt", ["edit.model"]), "prompt is bound to edit.model, which is a link"),
        (set_at("bindings/seed", ["edit.prompt"]), "seed and prompt are both bound to edit.prompt"),
        (set_at("output", "gone"), "output names the node gone, which does not exist"),
        (set_at("sampler", "gone"), "sampler names the node gone, which does not exist"),
        (set_at("sampler", "load2"), "save does not depend on the sampler load2 (1 of 2 pictures)"),
        (set_at("pictures/0/absent", ["load1"]), "the first picture cannot be absent"),
        (set_at("pictures/1/absent", ["load2", "edit.nope"]), "picture 2: absent names edit.nope"),
        (set_at("pictures/1/absent", ["load2"]), "edit.images.image_2 links to load2, which does not exist"),
        (set_at("graph/edit/inputs/model", ["gone", 0]), "edit.model links to gone, which does not exist"),
        (drop("graph/edit/inputs/images.image_2"), "picture 2: absent names edit.images.image_2"),
        (
            set_at("graph/save/inputs/images", ["load1", 0]),
            "prompt is bound to edit.prompt, but save does not",
        ),
        (drop("graph/edit/class_type"), "graph: node edit has no class_type"),
        (drop("graph/edit/inputs"), "graph: node edit has no inputs"),
        (set_at("graph/a.b", {"class_type": "X", "inputs": {}}), "graph: a node's id is empty or has a dot"),
        (set_at("variants", []), "variants is not an object"),
        (set_at("variants/lightning/steps", 4), "variant lightning has an unknown key steps"),
        (set_at("variants/lightning/inputs", {"gone.model": 1}), "the variant sets gone.model"),
        (set_at("variants/lightning/inputs", {"edit.model": ["gone", 0]}), "edit.model links to gone"),
        (
            set_at("variants/lightning/inputs", {}),
            "lora is bound to lora.lora_name, but save does not depend",
        ),
    ],
)
def test_each_mistake_is_named(change: Callable[[Document], None], problem: str) -> None:
    document = copy.deepcopy(SMALL)
    change(document)
    assert any(problem in found for found in problems_of(document)), problems_of(document)


def test_a_required_picture_after_an_optional_one_is_a_mistake() -> None:
    document = copy.deepcopy(SMALL)
    document["pictures"].append({"image": ["model.name"]})
    assert "a picture that must be given follows one that may be absent" in problems_of(document)


def test_all_mistakes_are_named_at_once() -> None:
    document = copy.deepcopy(SMALL)
    document["bindings"]["prompt"] = ["edit.text"]
    document["bindings"]["seed"] = ["edit.sed"]
    document["output"] = "sav"
    found = problems_of(document)
    assert {"edit.text", "edit.sed", "sav"} <= {word.strip(",") for line in found for word in line.split()}
    assert len(found) == len(set(found))


@pytest.mark.parametrize("document", [None, [], "x", 1])
def test_a_file_of_something_else_is_a_mistake(document: Any) -> None:
    assert problems_of(document) == ["the file is not a JSON object"]


def test_the_check_names_the_file_of_each_problem(tmp_path: Path) -> None:
    (tmp_path / "good.json").write_text(json.dumps(SMALL), encoding="utf-8")
    (tmp_path / "broken.json").write_text("{oops", encoding="utf-8")
    (tmp_path / "wrong.json").write_text(json.dumps(SMALL | {"output": "gone"}), encoding="utf-8")
    found = check_workflows(tmp_path)
    assert found[0].startswith("broken.json: cannot be read")
    assert "wrong.json: output names the node gone, which does not exist" in found
    assert not any(line.startswith("good.json") for line in found)
