"""Results of the last prompt are reused, with the traps that brings."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sandbox.comfyui.driving import Client, basic_graph, node, png, slow_graph
from tests.servers import SandboxServer, start_sandbox_comfyui


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("comfyui")


@pytest.fixture(scope="module")
def running_server(data_dir: Path) -> Iterator[SandboxServer]:
    with start_sandbox_comfyui("--data-dir", str(data_dir)) as server:
        yield server


def test_an_identical_prompt_runs_nothing_and_shows_the_old_file(alice: Client) -> None:
    first = alice.run(basic_graph(prefix="twice/r"))
    again = alice.run(basic_graph(prefix="twice/r"))
    assert again.types == [
        "status",
        "status",
        "execution_start",
        "execution_cached",
        "executed",
        "progress_state",
        "execution_success",
        "status",
        "executing",
    ]
    assert again.cached == ["1", "2", "3", "9"]
    assert again.files == first.files
    (state,) = again.of_type("progress_state")
    assert list(state["nodes"]) == ["9"]
    assert state["nodes"]["9"]["state"] == "finished"


def test_an_identical_prompt_names_a_file_that_is_gone(alice: Client, data_dir: Path) -> None:
    first = alice.run(basic_graph(prefix="gone/r"))
    (data_dir / "output" / "gone" / "r_00001_.png").unlink()
    again = alice.run(basic_graph(prefix="gone/r"))
    assert again.files == first.files
    answer = alice.get("/view", params=again.files[0])
    assert (answer.status_code, answer.content) == (404, b"")


def test_the_name_of_a_deleted_file_is_given_to_the_next_result(alice: Client, data_dir: Path) -> None:
    alice.run(basic_graph(prefix="reused/r"))
    (data_dir / "output" / "reused" / "r_00001_.png").unlink()
    other = alice.run(basic_graph(prefix="reused/r", width=64))
    assert other.files[0]["filename"] == "r_00001_.png"


def test_the_number_follows_the_highest_that_exists(alice: Client, data_dir: Path) -> None:
    folder = data_dir / "output" / "counted"
    folder.mkdir()
    (folder / "r_00041_.png").touch()
    (folder / "r2_00099_.png").touch()
    assert alice.run(basic_graph(prefix="counted/r")).files[0]["filename"] == "r_00042_.png"


def test_another_prefix_runs_only_the_last_node(alice: Client) -> None:
    alice.run(basic_graph(prefix="one/r"))
    other = alice.run(basic_graph(prefix="other/r"))
    assert other.cached == ["1", "2", "3"]
    assert other.executed == ["9", None]


def test_other_bytes_under_the_same_name_run_everything(alice: Client) -> None:
    alice.run(basic_graph(prefix="bytes/r"))
    alice.upload(data=png(seed=2), overwrite="true")
    assert alice.run(basic_graph(prefix="bytes/r")).cached == []


def test_the_cache_reaches_back_one_prompt(alice: Client) -> None:
    alice.upload("another.png", png(seed=3), overwrite="true")
    alice.run(basic_graph(prefix="back/a"))
    alice.run(basic_graph(image="another.png", prefix="back/b"))
    assert alice.run(basic_graph(prefix="back/a")).cached == []


def test_two_equal_nodes_of_one_prompt_run_once(alice: Client) -> None:
    graph = basic_graph(prefix="equal/r") | {
        "4": node("ImageInvert", image=["2", 0]),
        "10": node("SaveImage", images=["4", 0], filename_prefix="equal/s"),
    }
    run = alice.run(graph)
    assert sorted(set(run.executed) & {"3", "4"}) in (["3"], ["4"])
    assert len(run.files) == 2


def test_results_before_a_failure_are_kept(alice: Client) -> None:
    alice.post("/sandbox/faults", json={"runtime_error": 1})
    alice.run(basic_graph(prefix="failed/r"))
    assert alice.run(basic_graph(prefix="failed/r")).cached == ["1", "2", "3"]


def test_an_input_that_vanishes_before_its_turn_fails_in_load_image(alice: Client, data_dir: Path) -> None:
    alice.upload("vanishing.png")
    alice.post("/sandbox/faults", json={"seconds_per_step": 0.02})
    busy = alice.submit(slow_graph(steps=10000))
    alice.hear("progress")  # a cancel before the prompt starts is lost
    waiting = alice.submit(basic_graph(image="vanishing.png", prefix="vanished/r"))
    path = data_dir / "input" / "vanishing.png"
    path.unlink()
    alice.post(f"/api/jobs/{busy}/cancel")
    error = alice.wait_for_status(waiting, "failed")["execution_error"]
    assert error["node_type"] == "LoadImage"
    assert error["exception_type"] == "av.error.FileNotFoundError"
    assert error["exception_message"] == f"[Errno 2] No such file or directory: '{path}'\n"


def test_without_metadata_results_carry_no_text(tmp_path: Path) -> None:
    with start_sandbox_comfyui("--disable-metadata") as server:
        client = Client(server)
        client.upload()
        assert client.run(basic_graph()).picture().info == {}
        client.close()
