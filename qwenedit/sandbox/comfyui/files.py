"""The input, output and temp folders of one server.

Owns: where names, subfolders and annotations ("x.png [output]") lead, how uploads are renamed,
how results are numbered. Must not know HTTP.
"""

import hashlib
import os
import re
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import IO

KINDS = ("input", "output", "temp")
READ_SIZE = 1024 * 1024


class OutsideFolderError(Exception):
    """A name leads out of the folder it belongs to."""


class Folders:
    """The three folders below `root`; temp is emptied, as ComfyUI does at every start."""

    def __init__(self, root: Path) -> None:
        self._paths = {kind: root.resolve() / kind for kind in KINDS}
        self.empty_temp()
        for path in self._paths.values():
            path.mkdir(parents=True, exist_ok=True)

    def empty_temp(self) -> None:
        """Remove every temporary file."""
        shutil.rmtree(self._paths["temp"], ignore_errors=True)

    def folder(self, kind: str) -> Path:
        """Return the folder of a kind; raise KeyError for a kind that is none of input, output and temp."""
        return self._paths[kind]

    def input_names(self) -> list[str]:
        """Return the names of the files directly in the input folder, sorted."""
        return sorted(entry.name for entry in os.scandir(self.folder("input")) if entry.is_file())

    def split_annotation(self, name: str) -> tuple[str, str | None]:
        """Split "x.png [output]" into its name and kind; the kind is None without an annotation."""
        for kind in KINDS:
            if name.endswith(f"[{kind}]"):
                return name[: -len(kind) - 3], kind
        return name, None

    def locate(self, annotated: str) -> Path:
        """Return the path of an image input; raise OutsideFolderError if it leads out of its folder."""
        name, kind = self.split_annotation(annotated)
        return _inside(self.folder(kind or "input"), name)

    def subfolder(self, kind: str, subfolder: str) -> Path:
        """Return the path of a subfolder; raise OutsideFolderError if it leads out of the folder."""
        return _inside(self.folder(kind), subfolder)

    def store_upload(
        self, content: IO[bytes], name: str, subfolder: str, kind: str, *, overwrite: bool
    ) -> str:
        """Store an upload and return the name it got.

        Equal bytes under the same name keep the name; other bytes are renamed "x (1).png" unless `overwrite`.
        Raises OutsideFolderError for a name or subfolder that leads out, OSError for a name with a folder
        that does not exist.
        """
        root = self.folder(kind)
        folder = Path(os.path.normpath(root / os.path.normpath(subfolder)))
        target = _inside(root, folder / name.lstrip("/"))
        folder.mkdir(parents=True, exist_ok=True)
        stem, suffix = os.path.splitext(name)  # noqa: PTH122 - Path.suffix treats ".png" and "a." otherwise
        number = 1
        while not overwrite and target.exists():
            if _digest(target.open("rb")) == _digest(content, close=False):
                return name
            name = f"{stem} ({number}){suffix}"
            target = folder / name
            number += 1
        with target.open("wb") as file:
            shutil.copyfileobj(content, file)
        return name

    def new_results(
        self, kind: str, prefix: str, size: tuple[int, int], extension: str = "png"
    ) -> Iterator[tuple[Path, str, str]]:
        """Yield (path, filename, subfolder) for results with `prefix`, numbered after the files that exist.

        `prefix` may hold folders and %year%, %month%, %day%, %hour%, %minute%, %second%, %width%, %height%.
        """
        root = self.folder(kind)
        prefix = os.path.normpath(_expand(prefix, size))
        subfolder, stem = os.path.split(prefix)
        folder = Path(os.path.normpath(root / subfolder))
        if not folder.is_relative_to(root):
            raise Exception(  # noqa: TRY002 - ComfyUI reports this failure under the name "Exception"
                "**** ERROR: Saving image outside the output folder is not allowed."
                f"\n full_output_folder: {folder}"
                f"\n         output_dir: {root}"
                f"\n         commonpath: {os.path.commonpath([root, folder])}"
            )
        folder.mkdir(parents=True, exist_ok=True)
        numbered = re.compile(re.escape(stem) + r"_(\d+)_")
        taken = [int(match[1]) for path in folder.iterdir() if (match := numbered.match(path.name))]
        number = max(taken, default=0)
        while True:
            number += 1
            filename = f"{stem}_{number:05}_.{extension}"
            yield folder / filename, filename, subfolder


def file_digest(path: Path) -> str:
    """Return the SHA-256 of a file, in hexadecimal."""
    return _digest(path.open("rb"))


def _digest(content: IO[bytes], *, close: bool = True) -> str:
    content.seek(0)
    digest = hashlib.sha256()
    while block := content.read(READ_SIZE):
        digest.update(block)
    if close:
        content.close()
    else:
        content.seek(0)
    return digest.hexdigest()


def _inside(root: Path, name: str | Path) -> Path:
    path = Path(os.path.normpath(root / name))
    if not path.is_relative_to(root):
        raise OutsideFolderError(str(name))
    return path


def _expand(prefix: str, size: tuple[int, int]) -> str:
    if "%" not in prefix:
        return prefix
    now = time.localtime()
    values = {"width": str(size[0]), "height": str(size[1])}
    codes = {"year": "%Y", "month": "%m", "day": "%d", "hour": "%H", "minute": "%M", "second": "%S"}
    values |= {word: time.strftime(code, now) for word, code in codes.items()}
    return re.sub(r"%(\w+)%", lambda match: values.get(match[1], match[0]), prefix)
