"""The client against a ComfyUI server: from the upload to the result, and what can go wrong on the way."""

import io
from collections.abc import Iterator
from itertools import product
from uuid import uuid4

import pytest
from PIL import Image

from jobs.comfy.answers import OutputImage, PromptState
from jobs.comfy.client import ComfyClient
from jobs.comfy.errors import (
    ComfyUnreachable,
    ExecutionFailed,
    InputMissing,
    Interrupted,
    ModelMissing,
    OutOfMemory,
    ResultMissing,
    ResultTooLarge,
    UnexpectedAnswer,
    UploadRejected,
    WorkflowRejected,
)
from jobs.comfy.workflow import ModelFiles, available_workflows
from tests.comfy.edits import edit, picture, until, wait_for
from tests.servers import SandboxServer, start_sandbox_comfyui

pytestmark = pytest.mark.processes


@pytest.fixture
def prompt_id() -> str:
    return str(uuid4())


ENDLESS = 1000


@pytest.fixture
def slow(sandbox: SandboxServer) -> SandboxServer:
    """A node on which a prompt of ENDLESS steps runs until it is stopped: it looks up at each step."""
    sandbox.control(seconds_per_step=0.1)
    return sandbox


def test_a_picture_goes_in_and_the_edited_one_comes_out(client: ComfyClient, prompt_id: str) -> None:
    graph = edit(client, prompt_id, width=144, height=96)
    result = client.submit(graph, prompt_id, "client")
    assert result.number >= 0
    status = wait_for(client, prompt_id)
    assert status.state is PromptState.COMPLETED
    assert status.error is None
    [image] = status.outputs
    assert (image.subfolder, image.type) == (f"qwenedit/{prompt_id}", "output")
    with Image.open(io.BytesIO(client.view(image, max_bytes=5_000_000))) as opened:
        assert (opened.format, opened.size) == ("PNG", (144, 96))


@pytest.mark.parametrize(("pictures", "lightning"), list(product((1, 2, 3), (False, True))))
@pytest.mark.parametrize("name", available_workflows())
def test_every_shipped_workflow_runs(
    client: ComfyClient, prompt_id: str, name: str, pictures: int, lightning: bool
) -> None:
    graph = edit(client, prompt_id, pictures, lightning=lightning, workflow=name)
    client.submit(graph, prompt_id, "client")
    status = wait_for(client, prompt_id)
    assert (status.state, status.error) == (PromptState.COMPLETED, None)
    assert len(status.outputs) == 1


def test_a_node_tells_about_itself(client: ComfyClient) -> None:
    stats = client.system_stats()
    assert stats.version == "0.33.0"
    assert 0 < stats.vram_free <= stats.vram_total
    assert stats.device


def test_a_node_that_demands_a_password_gets_it(prompt_id: str) -> None:
    with start_sandbox_comfyui("--user", "gpu", "--password", "p@ss/wörd") as server:
        address = server.url.replace("http://", "http://gpu:p%40ss%2Fw%C3%B6rd@")
        client = ComfyClient(address)
        client.submit(edit(client, prompt_id), prompt_id, "client")
        assert wait_for(client, prompt_id).state is PromptState.COMPLETED
        client.close()
        stranger = ComfyClient(server.url)
        with pytest.raises(UnexpectedAnswer, match="unexpected"):
            stranger.system_stats()
        stranger.close()


# ── Uploads ────────────────────────────────────────────────────────────────────────────────────


def test_the_name_that_counts_is_the_one_the_node_returns(client: ComfyClient) -> None:
    name = f"{uuid4().hex}.png"
    first = client.upload_image(picture(colour="red"), name)
    again = client.upload_image(picture(colour="red"), name)
    other = client.upload_image(picture(colour="blue"), name)
    assert first == again == name
    assert other == name.replace(".png", " (1).png")


def test_a_picture_in_a_subfolder_is_named_with_it(client: ComfyClient) -> None:
    assert client.upload_image(picture(), "моё фото.png", "qwenedit/42") == "qwenedit/42/моё фото.png"


def test_a_picture_above_the_nodes_limit_is_refused_for_good() -> None:
    with start_sandbox_comfyui("--max-upload-size", "1") as server:
        client = ComfyClient(server.url)
        with pytest.raises(UploadRejected) as caught:
            client.upload_image(bytes(1_500_000), "big.png")
        client.close()
    assert "Maximum request body size" in caught.value.detail


# ── Submissions ────────────────────────────────────────────────────────────────────────────────


def test_a_model_file_that_is_not_installed_is_named(client: ComfyClient, prompt_id: str) -> None:
    graph = edit(client, prompt_id, models=ModelFiles(vae="wrong_vae.safetensors", lora="gone.safetensors"))
    with pytest.raises(ModelMissing) as caught:
        client.submit(graph, prompt_id, "client")
    assert sorted(caught.value.files) == ["gone.safetensors", "wrong_vae.safetensors"]
    assert client.status(prompt_id).state is PromptState.UNKNOWN


def test_a_node_class_that_is_not_installed_rejects_the_workflow(client: ComfyClient, prompt_id: str) -> None:
    graph = edit(client, prompt_id)
    graph["decode"]["class_type"] = "NoSuchNode"
    with pytest.raises(WorkflowRejected, match="workflow") as caught:
        client.submit(graph, prompt_id, "client")
    assert type(caught.value) is WorkflowRejected
    assert "NoSuchNode" in caught.value.detail


def test_a_value_out_of_range_rejects_the_workflow(client: ComfyClient, prompt_id: str) -> None:
    graph = edit(client, prompt_id)
    graph["scale1"]["inputs"]["width"] = 100_000
    with pytest.raises(WorkflowRejected) as caught:
        client.submit(graph, prompt_id, "client")
    assert "ImageScale (node scale1): value_bigger_than_max: width" in caught.value.detail


def test_an_empty_graph_rejects_the_workflow(client: ComfyClient, prompt_id: str) -> None:
    with pytest.raises(WorkflowRejected) as caught:
        client.submit({}, prompt_id, "client")
    assert "prompt_no_outputs" in caught.value.detail


def test_an_input_that_is_gone_can_be_uploaded_again(client: ComfyClient, prompt_id: str) -> None:
    graph = edit(client, prompt_id)
    graph["image1"]["inputs"]["image"] = "qwenedit/gone.png"
    with pytest.raises(InputMissing):
        client.submit(graph, prompt_id, "client")


def test_an_invalid_second_output_does_not_stop_ours(client: ComfyClient, prompt_id: str) -> None:
    graph = edit(client, prompt_id)
    graph["preview"] = {"class_type": "PreviewImage", "inputs": {}}
    client.submit(graph, prompt_id, "client")
    assert wait_for(client, prompt_id).state is PromptState.COMPLETED


def test_a_graph_accepted_without_our_output_is_rejected_and_does_not_run(
    client: ComfyClient, slow: SandboxServer, prompt_id: str
) -> None:
    graph = edit(client, prompt_id, steps=ENDLESS)
    graph["preview"] = {"class_type": "PreviewImage", "inputs": {"images": ["decode", 0]}}
    del graph["save"]["inputs"]["filename_prefix"]
    with pytest.raises(WorkflowRejected) as caught:
        client.submit(graph, prompt_id, "client")
    assert "required_input_missing: filename_prefix" in caught.value.detail
    assert wait_for(client, prompt_id).state in {PromptState.CANCELLED, PromptState.UNKNOWN}


def test_a_submission_whose_answer_is_lost_is_found_by_its_id(
    client: ComfyClient, sandbox: SandboxServer, prompt_id: str
) -> None:
    graph = edit(client, prompt_id)
    sandbox.control(lose_answers=1)
    with pytest.raises(ComfyUnreachable):
        client.submit(graph, prompt_id, "client")
    assert wait_for(client, prompt_id).state is PromptState.COMPLETED


def test_the_same_edit_under_another_prefix_is_another_file(client: ComfyClient) -> None:
    """The cache would answer with the first one's file, which may be deleted or taken by then."""
    first, second = str(uuid4()), str(uuid4())
    graph = edit(client, first)
    client.submit(graph, first, "client")
    [one] = wait_for(client, first).outputs
    graph["save"]["inputs"]["filename_prefix"] = f"qwenedit/{second}/r"
    client.submit(graph, second, "client")
    [two] = wait_for(client, second).outputs
    assert one.subfolder != two.subfolder
    assert client.view(two, max_bytes=5_000_000)


# ── Status and cancelling ──────────────────────────────────────────────────────────────────────


def test_one_prompt_runs_and_the_next_one_waits(client: ComfyClient, slow: SandboxServer) -> None:
    first, second = str(uuid4()), str(uuid4())
    for one in (first, second):
        client.submit(edit(client, one, steps=ENDLESS), one, "client")
    wait_for(client, first, PromptState.RUNNING)
    assert client.status(second).state is PromptState.PENDING
    queue = client.queue()
    assert (queue.running, queue.pending, queue.is_stalled()) == ([first], [second], False)
    for one in (second, first):
        assert client.cancel(one) is True


def test_a_running_prompt_can_be_cancelled_and_says_so(
    client: ComfyClient, slow: SandboxServer, prompt_id: str
) -> None:
    client.submit(edit(client, prompt_id, steps=ENDLESS), prompt_id, "client")
    wait_for(client, prompt_id, PromptState.RUNNING)
    assert client.cancel(prompt_id) is True
    status = wait_for(client, prompt_id)
    assert status.state is PromptState.CANCELLED
    assert isinstance(status.error, Interrupted)
    assert client.cancel(prompt_id) is False


def test_cancelling_one_prompt_leaves_the_others_alone(client: ComfyClient, slow: SandboxServer) -> None:
    running, waiting = str(uuid4()), str(uuid4())
    for one in (running, waiting):
        client.submit(edit(client, one, steps=ENDLESS), one, "client")
    wait_for(client, running, PromptState.RUNNING)
    assert client.cancel(waiting) is True
    assert client.cancel(str(uuid4())) is False
    assert client.status(running).state is PromptState.RUNNING
    client.cancel(running)


def test_a_prompt_nobody_submitted_is_unknown(client: ComfyClient, prompt_id: str) -> None:
    assert client.status(prompt_id).state is PromptState.UNKNOWN


def test_a_restart_forgets_the_prompt_but_not_the_result(
    client: ComfyClient, sandbox: SandboxServer, prompt_id: str
) -> None:
    client.submit(edit(client, prompt_id), prompt_id, "client")
    [image] = wait_for(client, prompt_id).outputs
    sandbox.control(restart=True)
    assert client.status(prompt_id).state is PromptState.UNKNOWN
    assert client.view(image, max_bytes=5_000_000)


def test_a_history_that_lags_behind_is_not_a_lost_prompt(
    client: ComfyClient, sandbox: SandboxServer, prompt_id: str
) -> None:
    sandbox.control(history_delay=0.1)
    client.submit(edit(client, prompt_id), prompt_id, "client")
    seen = {client.status(prompt_id).state}
    while PromptState.COMPLETED not in seen:
        seen.add(client.status(prompt_id).state)
    assert PromptState.UNKNOWN not in seen


def test_a_dead_execution_thread_shows_as_a_stalled_queue_while_the_node_answers(
    client: ComfyClient, sandbox: SandboxServer
) -> None:
    sandbox.control(worker_dead=True)
    last = ""
    for _ in range(3):
        last = str(uuid4())
        client.submit(edit(client, last), last, "client")
    until(lambda: client.queue().is_stalled(), "the queue to stand still")
    assert client.status(last).state is PromptState.PENDING
    assert client.queue().is_stalled()
    assert client.system_stats().version


# ── Failures while running ─────────────────────────────────────────────────────────────────────


def test_out_of_memory_is_recognised_and_the_node_can_be_told_to_free_it(
    client: ComfyClient, sandbox: SandboxServer
) -> None:
    sandbox.control(out_of_memory=1)
    first, second = str(uuid4()), str(uuid4())
    client.submit(edit(client, first), first, "client")
    failed = wait_for(client, first)
    assert failed.state is PromptState.FAILED
    assert isinstance(failed.error, OutOfMemory)
    client.free()
    client.submit(edit(client, second), second, "client")
    assert wait_for(client, second).state is PromptState.COMPLETED


def test_a_node_that_raises_is_named_without_its_inputs(
    client: ComfyClient, sandbox: SandboxServer, prompt_id: str
) -> None:
    sandbox.control(runtime_error=1)
    client.submit(edit(client, prompt_id, prompt="My private wish."), prompt_id, "client")
    error = wait_for(client, prompt_id).error
    assert type(error) is ExecutionFailed
    assert "RuntimeError" in error.detail
    assert "private" not in error.detail
    assert "tensor" not in error.detail


def test_a_file_that_is_no_picture_is_found_out_when_it_runs(client: ComfyClient, prompt_id: str) -> None:
    graph = edit(client, prompt_id)
    graph["image1"]["inputs"]["image"] = client.upload_image(b"not a picture", f"{uuid4().hex}.png")
    client.submit(graph, prompt_id, "client")
    error = wait_for(client, prompt_id).error
    assert isinstance(error, ExecutionFailed)
    assert error.detail.startswith("LoadImage (node image1) raised")


# ── Results ────────────────────────────────────────────────────────────────────────────────────


def test_a_result_above_our_limit_is_not_taken(client: ComfyClient, prompt_id: str) -> None:
    client.submit(edit(client, prompt_id), prompt_id, "client")
    [image] = wait_for(client, prompt_id).outputs
    with pytest.raises(ResultTooLarge):
        client.view(image, max_bytes=10)
    assert client.view(image, max_bytes=5_000_000)


def test_a_result_that_is_not_there_is_missing(client: ComfyClient) -> None:
    with pytest.raises(ResultMissing):
        client.view(OutputImage("gone.png", "qwenedit", "output"), max_bytes=10)


@pytest.mark.parametrize(
    "image", [OutputImage("../input/a.png", "", "output"), OutputImage("passwd", "/etc", "output")]
)
def test_a_path_out_of_the_output_folder_is_unexpected(client: ComfyClient, image: OutputImage) -> None:
    with pytest.raises(UnexpectedAnswer):
        client.view(image, max_bytes=10)


# ── A node that goes away ──────────────────────────────────────────────────────────────────────


@pytest.fixture
def own_sandbox() -> Iterator[SandboxServer]:
    """A server of this test alone, to be killed."""
    with start_sandbox_comfyui() as server:
        yield server


def test_a_killed_node_is_unreachable_and_the_same_client_finds_it_again(
    own_sandbox: SandboxServer, prompt_id: str
) -> None:
    client = ComfyClient(own_sandbox.url)
    assert client.system_stats().version
    own_sandbox.kill()
    with pytest.raises(ComfyUnreachable):
        client.system_stats()
    own_sandbox.restart()
    assert client.system_stats().version
    client.submit(edit(client, prompt_id), prompt_id, "client")
    assert wait_for(client, prompt_id).state is PromptState.COMPLETED
    client.close()


def test_a_node_that_answers_too_slowly_is_unreachable(client: ComfyClient, sandbox: SandboxServer) -> None:
    sandbox.control(delay=1.0)
    with pytest.raises(ComfyUnreachable):
        client.system_stats(timeout=0.2)
    sandbox.control(delay=0.0)
    assert client.system_stats().version
