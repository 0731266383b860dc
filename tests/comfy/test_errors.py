"""Sorting of errors: what is tried again, what is the operator's alarm, and what a user may read."""

import pickle

import pytest

from jobs.comfy.errors import (
    DETAIL_LIMIT,
    ComfyError,
    ComfyUnreachable,
    ExecutionFailed,
    InputMissing,
    ModelBroken,
    ModelMissing,
    ModelUnreadable,
    OutOfMemory,
    WorkflowRejected,
    WorkflowTemplateError,
    execution_failure,
    rejection,
)
from qwenedit.errors import DomainError

SAFETENSOR_ERROR = "safetensors._safetensors_rust.SafetensorError"


def test_out_of_memory_is_worth_another_try() -> None:
    error = execution_failure(
        {
            "node_id": "sampler",
            "node_type": "KSampler",
            "exception_type": "torch.OutOfMemoryError",
            "exception_message": "Allocation on device 0 would exceed allowed memory. (out of memory)",
        }
    )
    assert type(error) is OutOfMemory
    assert (error.code, error.retryable, error.operator_alarm) == ("out_of_memory", True, False)


@pytest.mark.parametrize(
    ("node_type", "exception_type", "message", "expected"),
    [
        ("KSampler", "torch.cuda.OutOfMemoryError", "CUDA out of memory.", OutOfMemory),
        ("KSampler", "RuntimeError", "CUDA error: out of memory", OutOfMemory),
        ("UNETLoader", "torch.OutOfMemoryError", "Allocation on device", OutOfMemory),
        ("UNETLoader", "MemoryError", "", OutOfMemory),
        ("CLIPLoader", "RuntimeError", "DefaultCPUAllocator: can't allocate memory", OutOfMemory),
        (
            "UNETLoader",
            "RuntimeError",
            "unable to mmap 34211675392 bytes from file </m/q.safetensors>: Cannot allocate memory (12)",
            OutOfMemory,
        ),
        ("CLIPLoader", "RuntimeError", "[enforce fail] DefaultCPUAllocator: not enough memory", OutOfMemory),
        ("UNETLoader", SAFETENSOR_ERROR, "I/O error: Cannot allocate memory (os error 12)", OutOfMemory),
        ("UNETLoader", "OSError", "The paging file is too small (os error 1455)", OutOfMemory),
        ("UNETLoader", "OSError", "[Errno 5] Input/output error", ModelUnreadable),
        ("UNETLoader", "TypeError", "argument of type 'int' is not iterable", ModelUnreadable),
        ("UNETLoader", SAFETENSOR_ERROR, "I/O error: Remote I/O error (os error 121)", ModelUnreadable),
        ("UNETLoader", "FileNotFoundError", "[Errno 2] No such file", ModelBroken),
        ("VAELoader", SAFETENSOR_ERROR, "Error while deserializing header: header too small\n", ModelBroken),
        ("Anything", SAFETENSOR_ERROR, "Error while deserializing header: header too large\n", ModelBroken),
        (
            "UNETLoader",
            "RuntimeError",
            "ERROR: Could not detect model type of: /srv/m.safetensors",
            ModelBroken,
        ),
        ("VAELoader", "RuntimeError", "ERROR: VAE is invalid: None\n\nIf the VAE is from", ModelBroken),
        ("LoraLoaderModelOnly", "KeyError", "'lora_up'", ModelBroken),
        ("UNETLoader", "RuntimeError", "CUDA error: device-side assert triggered", ExecutionFailed),
        ("LoadImage", "av.error.FileNotFoundError", "[Errno 2] No such file", ExecutionFailed),
        ("ProbeFail", "RuntimeError", "boom\n", ExecutionFailed),
    ],
)
def test_a_node_that_raises_is_sorted_by_what_it_raised(
    node_type: str, exception_type: str, message: str, expected: type[ExecutionFailed]
) -> None:
    error = execution_failure(
        {
            "node_id": "4",
            "node_type": node_type,
            "exception_type": exception_type,
            "exception_message": message,
        }
    )
    assert type(error) is expected
    assert error.retryable is (expected is not ModelBroken)
    assert error.operator_alarm is (expected in {ModelBroken, ModelUnreadable})


def test_the_detail_names_node_and_reason_but_neither_the_wish_nor_tensors() -> None:
    error = execution_failure(
        {
            "node_id": "vae",
            "node_type": "VAELoader",
            "exception_type": "RuntimeError",
            "exception_message": "boom\n",
            "traceback": ['  File "/srv/comfyui/execution.py", line 545'],
            "current_inputs": {"prompt": ["a private wish"], "image": ["tensor([[[0.58"]},
        }
    )
    assert error.detail == "VAELoader (node vae) raised RuntimeError: boom"


def test_a_failure_without_a_reason_is_still_one() -> None:
    assert execution_failure(None).detail == execution_failure({}).detail == "the node gave no reason"
    assert type(execution_failure({"node_id": None})) is ExecutionFailed


def fault(kind: str, details: str, **info: object) -> dict[str, object]:
    return {"type": kind, "message": "…", "details": details, "extra_info": info}


def missing_model(input_name: str, value: str) -> dict[str, object]:
    details = f"{input_name}: '{value}' not in []"
    return fault("value_not_in_list", details, input_name=input_name, received_value=value)


FAILED = {"type": "prompt_outputs_failed_validation", "message": "Prompt outputs failed validation"}


def test_missing_model_files_are_named_for_the_operator() -> None:
    error = rejection(
        FAILED,
        {
            "vae": {
                "errors": [missing_model("vae_name", "qwen_image_vae.safetensors")],
                "class_type": "VAELoader",
            },
            "unet": {"errors": [missing_model("unet_name", "q.gguf")], "class_type": "UnetLoaderGGUF"},
        },
    )
    assert isinstance(error, ModelMissing)
    assert isinstance(error, WorkflowRejected)
    assert error.files == ("qwen_image_vae.safetensors", "q.gguf")
    assert error.detail.startswith("not installed: qwen_image_vae.safetensors, q.gguf")
    assert (error.code, error.retryable, error.operator_alarm) == ("model_missing", False, True)


def test_the_names_of_missing_files_survive_a_list_of_a_thousand_others() -> None:
    crowd = fault(
        "value_not_in_list",
        f"lora_name: 'wanted' not in {['x' * 50] * 1000}",
        input_name="lora_name",
        received_value="wanted",
    )
    error = rejection(FAILED, {"lora": {"errors": [crowd], "class_type": "LoraLoaderModelOnly"}})
    assert isinstance(error, ModelMissing)
    assert "not installed: wanted" in error.detail
    assert len(error.detail) <= DETAIL_LIMIT


@pytest.mark.parametrize(
    ("class_type", "input_name", "value"),
    [
        ("CLIPLoader", "type", "qwen_image"),
        ("KSampler", "sampler_name", "magic"),
        ("ImageScale", "upscale_method", "x"),
    ],
)
def test_another_value_that_a_server_does_not_know_is_no_missing_model(
    class_type: str, input_name: str, value: str
) -> None:
    error = rejection(FAILED, {"n": {"errors": [missing_model(input_name, value)], "class_type": class_type}})
    assert type(error) is WorkflowRejected


def test_an_unknown_node_class_is_permanent_and_alarms_the_operator() -> None:
    error = rejection(
        {
            "type": "missing_node_type",
            "message": "Node 'NoSuchNode' not found. The custom node may not be installed.",
            "details": "Node ID '#3'",
            "extra_info": {"node_id": "3", "class_type": "NoSuchNode"},
        },
        {},
    )
    assert type(error) is WorkflowRejected
    assert (error.code, error.retryable, error.operator_alarm) == ("workflow_rejected", False, True)
    assert "NoSuchNode" in error.detail
    assert "#3" in error.detail


def lost_input() -> dict[str, object]:
    details = "image - Invalid image file: qwenedit/a.png"
    return fault("custom_validation_failed", details, input_name="image")


def test_an_input_lost_in_a_restart_is_worth_another_try() -> None:
    error = rejection(FAILED, {"image1": {"errors": [lost_input()], "class_type": "LoadImage"}})
    assert type(error) is InputMissing
    assert error.retryable
    assert not error.operator_alarm


def test_a_lost_input_does_not_hide_a_missing_model() -> None:
    error = rejection(
        FAILED,
        {
            "image1": {"errors": [lost_input()], "class_type": "LoadImage"},
            "vae": {"errors": [missing_model("vae_name", "v.safetensors")], "class_type": "VAELoader"},
        },
    )
    assert isinstance(error, ModelMissing)


def test_every_error_has_its_own_code_and_a_message_without_paths() -> None:
    def family(kind: type[ComfyError]) -> list[type[ComfyError]]:
        return [kind, *(one for child in kind.__subclasses__() for one in family(child))]

    kinds = family(ComfyError)
    assert len({kind.code for kind in kinds}) == len(kinds) == 19
    for kind in kinds:
        error = kind("/srv/comfyui/models/secret.safetensors")
        assert isinstance(error, DomainError)
        assert "/srv" not in error.message
        assert "/srv" not in str(error)
        assert error.extra == {}
        assert "/srv" in error.detail
        assert "/srv" in error.__notes__[0]


def test_a_detail_is_short_and_can_be_stored_in_postgresql() -> None:
    error = ComfyUnreachable("a\x00b" + "x" * 5000)
    assert len(error.detail) == DETAIL_LIMIT
    assert error.detail.startswith("abx")


def test_errors_survive_a_trip_between_processes() -> None:
    error = pickle.loads(pickle.dumps(ModelMissing("detail", files=["a.safetensors"])))  # noqa: S301
    assert (error.detail, error.files) == ("detail", ("a.safetensors",))
    template_error = pickle.loads(pickle.dumps(WorkflowTemplateError("w", problems=["p"])))  # noqa: S301
    assert (template_error.detail, template_error.problems) == ("w: p", ["p"])
