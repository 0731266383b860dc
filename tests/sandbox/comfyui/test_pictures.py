"""POST /upload/image, LoadImage and GET /view."""

import io
from typing import Any

import pytest
from PIL import Image

from tests.sandbox.comfyui.driving import Client, basic_graph, node, picture, png
from tests.servers import start_sandbox_comfyui


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=kind, **options)
    return buffer.getvalue()


def load_graph(name: str, prefix: str = "load/r") -> dict[str, dict[str, Any]]:
    return {
        "1": node("LoadImage", image=name),
        "9": node("SaveImage", images=["1", 0], filename_prefix=prefix),
    }


def upload_raw(client: Client, filename: str) -> tuple[int, str]:
    """Upload under a name that HTTP libraries would escape."""
    boundary = "b0undary"
    body = (
        f'--{boundary}\r\nContent-Disposition: form-data; name="image"; filename="{filename}"\r\n'
        f"Content-Type: image/png\r\n\r\nx\r\n--{boundary}--\r\n"
    ).encode()
    headers = {"Content-Type": f"multipart/form-data; boundary={boundary}"}
    answer = client.post("/upload/image", data=body, headers=headers)
    return answer.status_code, answer.text


def test_uploads_are_renamed_as_recorded(alice: Client) -> None:
    one, two, three = (png(seed=seed) for seed in (11, 12, 13))

    def uploaded(data: bytes, **fields: str) -> str:
        answer = alice.upload("up.png", data, **fields)
        assert answer.status_code == 200
        assert answer.json() == {"name": answer.json()["name"], "subfolder": "", "type": "input"}
        return str(answer.json()["name"])

    assert uploaded(one) == "up.png"
    assert uploaded(one) == "up.png"
    assert uploaded(two) == "up (1).png"
    assert uploaded(three, overwrite="false") == "up (2).png"
    assert uploaded(two) == "up (1).png"
    assert uploaded(two, overwrite="true") == "up.png"
    assert uploaded(three, overwrite="1") == "up.png"
    assert uploaded(one, overwrite="True") == "up (3).png"


def test_a_subfolder_and_a_type_are_honoured(alice: Client) -> None:
    answer = alice.upload("s.png", png(), subfolder="jobs/42", type="input")
    assert answer.json() == {"name": "s.png", "subfolder": "jobs/42", "type": "input"}
    for kind in ("temp", "output"):
        answer = alice.upload("t.png", png(), type=kind, overwrite="true")
        assert answer.json() == {"name": "t.png", "subfolder": "", "type": kind}
        assert alice.get(f"/view?filename=t.png&type={kind}").content == png()


@pytest.mark.parametrize("data", [b"", b"not a picture", png()])
def test_anything_is_stored(alice: Client, data: bytes) -> None:
    name = alice.upload("any.xyz", data).json()["name"]
    assert alice.get("/view", params={"filename": name, "type": "input"}).content == data


def test_wrong_uploads_are_refused_as_recorded(alice: Client) -> None:
    refused = alice.upload("s.png", png(), subfolder="../x")
    assert (refused.status_code, refused.content) == (400, b"")
    assert alice.post("/upload/image", files={"file": ("x.png", png())}).status_code == 400
    assert alice.post("/upload/image", json={"image": "x"}).status_code == 400
    assert alice.post("/upload/image", files={"image": (None, "abc")}).status_code == 500
    assert alice.upload("s.png", png(), type="bogus").status_code == 500
    answer = alice.get("/upload/image")
    assert (answer.status_code, answer.headers["Content-Type"]) == (404, "application/octet-stream")


@pytest.mark.parametrize(
    ("filename", "status"),
    [
        ("../../evil.png", 400),
        ("sub/dir.png", 500),
        ("/etc/x.png", 500),
        ("a%2Fb.png", 200),
        ("x [output].png", 200),
        ("моё фото.png", 200),
    ],
)
def test_odd_file_names_are_treated_as_recorded(alice: Client, filename: str, status: int) -> None:
    answered, text = upload_raw(alice, filename)
    assert answered == status
    if status == 200:
        assert text.isascii()
        assert alice.get("/view", params={"filename": filename, "type": "input"}).content == b"x"


def test_a_body_above_the_limit_is_refused_by_its_size() -> None:
    with start_sandbox_comfyui("--max-upload-size", "1") as server:
        client = Client(server, connect=False)
        text = "Maximum request body size 1048576 exceeded."
        answer = client.upload("big.png", b"x" * 1_500_000)
        assert (answer.status_code, answer.text) == (413, text)
        assert client.upload("under.png", b"x" * 1_040_000).status_code == 200
        answer = client.prompt({"1": node("LoadImage", image="x" * 1_200_000)})
        assert (answer.status_code, answer.text) == (413, text)
        assert client.get("/features").json()["max_upload_size"] == 1048576


@pytest.mark.parametrize(
    ("name", "size", "data"),
    [
        ("in.jpg", (40, 30), encoded(picture(png((40, 30))), "JPEG")),
        ("in.webp", (40, 30), encoded(picture(png((40, 30))), "WEBP")),
        ("in.bmp", (40, 30), encoded(picture(png((40, 30))), "BMP")),
        ("cmyk.jpg", (40, 30), encoded(picture(png((40, 30))).convert("CMYK"), "JPEG")),
        ("alpha.png", (40, 30), encoded(picture(png((40, 30))).convert("RGBA"), "PNG")),
        ("deep.png", (40, 30), encoded(Image.new("I;16", (40, 30), 40000), "PNG")),
        ("wrong.png", (40, 30), encoded(picture(png((40, 30))), "JPEG")),
        ("noext", (40, 30), png((40, 30))),
        ("trunc.png", (400, 300), png((400, 300))[:-5000]),
        ("trunc.jpg", (400, 300), encoded(picture(png((400, 300))), "JPEG")[:-2000]),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_every_recorded_format_loads(alice: Client, name: str, size: tuple[int, int], data: bytes) -> None:
    alice.upload(name, data, overwrite="true")
    run = alice.run(load_graph(name))
    assert len(run.files) == 1
    assert run.picture().size == size


def test_sixteen_bits_become_eight_of_the_same_brightness(alice: Client) -> None:
    alice.upload("grey.png", encoded(Image.new("I;16", (8, 8), 128 * 256), "PNG"), overwrite="true")
    assert alice.run(load_graph("grey.png")).picture().getpixel((4, 4)) == (128, 128, 128)


def test_a_picture_is_turned_upright(alice: Client) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    alice.upload("rot.jpg", encoded(picture(png((40, 30))), "JPEG", exif=exif), overwrite="true")
    assert alice.run(load_graph("rot.jpg")).picture().size == (30, 40)


def test_an_animation_gives_a_picture_per_frame(alice: Client) -> None:
    frames = [picture(png(seed=seed)) for seed in (1, 2, 3)]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    alice.upload("anim.gif", data, overwrite="true")
    names = [file["filename"] for file in alice.run(load_graph("anim.gif", "anim/r")).files]
    assert names == ["r_00001_.png", "r_00002_.png", "r_00003_.png"]


def test_a_file_that_is_no_picture_fails_in_load_image_as_recorded(alice: Client) -> None:
    alice.upload("notimage.png", b"not a picture", overwrite="true")
    run = alice.run(load_graph("notimage.png"))
    assert run.types[-4:] == ["executing", "execution_error", "status", "executing"]
    error = run.error
    assert error.pop("traceback")
    assert error.pop("timestamp")
    message = error.pop("exception_message")
    assert message.startswith("cannot identify image file '/")
    assert message.endswith("/input/notimage.png'\n")
    assert sorted(error.pop("current_outputs")) == ["1", "9"]
    assert error == {
        "prompt_id": run.prompt_id,
        "node_id": "1",
        "node_type": "LoadImage",
        "executed": [],
        "exception_type": "PIL.UnidentifiedImageError",
        "current_inputs": {"image": ["notimage.png"]},
    }
    assert run.history["status"]["status_str"] == "error"
    assert run.history["status"]["completed"] is False
    job = alice.job(run.prompt_id)
    assert job["status"] == "failed"
    assert job["execution_error"]["exception_type"] == "PIL.UnidentifiedImageError"


def test_subfolders_and_annotations_lead_to_the_right_file(alice: Client) -> None:
    alice.upload("s.png", png(), subfolder="jobs/43")
    alice.run(load_graph("jobs/43/s.png", "ann/a"))
    assert alice.run(load_graph("ann/a_00001_.png [output]")).files
    for name in (
        "ann/a_00001_.png[output]",
        "ann/a_00001_.png",
        "../output/ann/a_00001_.png",
        "/etc/hostname",
    ):
        (entry,) = alice.prompt(load_graph(name)).json()["node_errors"].values()
        assert entry["errors"][0]["details"] == f"image - Invalid image file: {name}"


@pytest.mark.parametrize(
    ("prefix", "filename", "subfolder"),
    [
        ("plain", "plain_00001_.png", ""),
        ("a/b/c", "c_00001_.png", "a/b"),
        ("с пробелом", "с пробелом_00001_.png", ""),
        ("with.dot", "with.dot_00001_.png", ""),
        ("t_%width%x%height%", "t_96x64_00001_.png", ""),
        ("", "._00001_.png", ""),
    ],
)
def test_prefixes_become_names_as_recorded(alice: Client, prefix: str, filename: str, subfolder: str) -> None:
    (file,) = alice.run(load_graph("basic.png", prefix)).files
    assert file == {"filename": filename, "subfolder": subfolder, "type": "output"}


@pytest.mark.parametrize("prefix", ["../evil", "/abs/x"])
def test_a_prefix_that_leads_out_fails_in_save_image(alice: Client, prefix: str) -> None:
    error = alice.run(load_graph("basic.png", prefix)).error
    assert error["exception_type"] == "Exception"
    expected = "**** ERROR: Saving image outside the output folder is not allowed.\n full_output_folder: "
    assert error["exception_message"].startswith(expected)


def test_a_preview_is_saved_as_a_temporary_file(alice: Client) -> None:
    graph = basic_graph() | {"9": node("PreviewImage", images=["3", 0])}
    run = alice.run(graph)
    assert run.files[0]["filename"].startswith("ComfyUI_temp_")
    assert run.files[0]["type"] == "temp"
    assert run.picture().size == (128, 128)


def test_a_file_is_served_with_etag_and_ranges(alice: Client) -> None:
    data = png()
    alice.upload("v.png", data, overwrite="true")
    whole = alice.get("/view?filename=v.png&type=input")
    assert whole.content == data
    assert whole.headers["Content-Type"] == "image/png"
    assert whole.headers["Content-Disposition"] == 'filename="v.png"'
    assert whole.headers["X-Content-Type-Options"] == "nosniff"
    part = alice.get("/view?filename=v.png&type=input", headers={"Range": "bytes=0-99"})
    assert (part.status_code, part.content) == (206, data[:100])
    same = alice.get("/view?filename=v.png&type=input", headers={"If-None-Match": whole.headers["ETag"]})
    assert (same.status_code, same.content) == (304, b"")


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?filename=v.png", 404),
        ("?filename=v.png%20%5Binput%5D", 200),
        ("?filename=sub/v.png&type=input", 200),
        ("?filename=v.png&subfolder=..%2Finput&type=input", 200),
        ("?filename=v.png&type=bogus", 400),
        ("", 404),
        ("?filename=", 400),
        ("?filename=../input/v.png&type=input", 400),
        ("?filename=/etc/passwd&type=input", 400),
        ("?filename=passwd&subfolder=/etc&type=input", 403),
        ("?filename=comfyui.db&subfolder=../user&type=input", 403),
    ],
)
def test_names_lead_where_they_did(alice: Client, query: str, status: int) -> None:
    alice.upload("v.png", png(), overwrite="true")
    answer = alice.get(f"/view{query}")
    assert answer.status_code == status
    assert answer.content == (png() if status == 200 else b"")


def test_previews_and_channels_are_made_on_request(alice: Client) -> None:
    def viewed(parameter: str) -> Image.Image:
        answer = alice.get(f"/view?filename=basic.png&type=input&{parameter}")
        assert answer.headers["Content-Disposition"] == 'filename="basic.png"'
        return picture(answer.content)

    assert viewed("preview=webp;80").format == "WEBP"
    assert viewed("preview=jpeg").format == "JPEG"
    assert viewed("channel=rgb").mode == "RGB"
    assert viewed("channel=a").mode == "RGBA"


def test_active_content_is_served_as_a_download(alice: Client) -> None:
    alice.upload("page.html", b"<script>1</script>", overwrite="true")
    headers = alice.get("/view?filename=page.html&type=input").headers
    assert headers["Content-Type"] == "application/octet-stream"
    assert headers["Content-Disposition"] == 'attachment; filename="page.html"'
    assert headers["Cache-Control"] == "no-store"
