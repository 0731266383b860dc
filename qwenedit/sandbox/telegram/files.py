"""Files: their ids, their bytes on disk, and the sizes of a photo.

Owns: the folder of files. Must not know messages.
Pictures are decoded in threads. Of a photo only the largest size is made at once, the others when somebody
fetches them, so that two hundred people with photos do not keep the server busy.
"""

import asyncio
import mimetypes
import re
import secrets
import shutil
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TypeVar

from qwenedit.sandbox.telegram import pictures
from qwenedit.sandbox.telegram.errors import bad_request
from qwenedit.sandbox.telegram.parameters import Upload
from qwenedit.sandbox.telegram.records import StoredFile
from qwenedit.sandbox.telegram.store import Store

T = TypeVar("T")

THREADS = 2
COUNTER = "files"
SUFFIX = re.compile(r"\.\w{1,10}", re.ASCII)
# By kind: how its file_id begins, its folder in paths, its name in refusals.
KINDS = {
    "photo": ("AgACAgIAAxkB", "photos", "Photo"),
    "document": ("BQACAgIAAxkB", "documents", "Document"),
    "video": ("BAACAgIAAxkB", "videos", "Video"),
    "animation": ("CgACAgIAAxkB", "animations", "Animation"),
    "audio": ("CQACAgIAAxkB", "music", "Audio"),
    "voice": ("AwACAgIAAxkB", "voice", "VoiceNote"),
    "video_note": ("DQACAgIAAxkB", "video_notes", "VideoNote"),
    "sticker": ("CAACAgIAAxkB", "stickers", "Sticker"),
}


class Files:
    """The files of one server. Raises OSError if the folder cannot be used."""

    def __init__(self, store: Store, folder: Path | None) -> None:
        self._store = store
        self._temporary: tempfile.TemporaryDirectory[str] | None = None
        if folder is None:
            self._temporary = tempfile.TemporaryDirectory(prefix="telegram-")
            folder = Path(self._temporary.name)
        self._folder = folder
        self._folder.mkdir(parents=True, exist_ok=True)
        self._by_path = {stored.path: stored for stored in store.files.rows.values()}
        self._threads = ThreadPoolExecutor(THREADS, "pictures")
        self._rendering: dict[str, asyncio.Task[None]] = {}

    def close(self) -> None:
        """Forget files that were not to be kept."""
        self._threads.shutdown(cancel_futures=True)
        if self._temporary is not None:
            self._temporary.cleanup()

    def clear(self) -> None:
        """Delete every file."""
        self._by_path.clear()
        for folder in self._folder.iterdir():
            shutil.rmtree(folder, ignore_errors=True)

    async def add_photo(self, data: bytes, *, is_upright: bool = False) -> StoredFile:
        """Store a photo as Telegram does: JPEG, no metadata; return its largest size.

        `is_upright` turns it as its EXIF says, which a person's app does before it sends. Raises Refusal
        for what is no picture.
        """
        photo = await self._in_thread(partial(pictures.as_photo, data, is_upright=is_upright))
        family = [
            self._new("photo", "", "image/jpeg", None) for _ in pictures.sizes(photo.width, photo.height)
        ]
        largest = family[-1]
        for size, (width, height) in zip(family, pictures.sizes(photo.width, photo.height), strict=True):
            size.width, size.height = width, height
            size.family = [item.key for item in family]
        largest.size = len(photo.data)
        await self._in_thread(partial(self._write, largest.path, photo.data))
        for size in family:
            self._save(size)
        return largest

    async def add(self, kind: str, upload: Upload) -> StoredFile:
        """Store a file as it is."""
        if not upload.data:
            raise bad_request("file must be non-empty")
        stored = self._new(kind, upload.name, upload.mime_type, len(upload.data))
        await self._in_thread(partial(self._write, stored.path, upload.data))
        self._save(stored)
        return stored

    def add_zeros(self, kind: str, name: str, mime_type: str, size: int) -> StoredFile:
        """Store a file of so many zero bytes, of which only the length is kept."""
        stored = self._new(kind, name, mime_type, size)
        stored.zeros = True
        self._save(stored)
        return stored

    def find(self, file_id: str, kind: str) -> StoredFile:
        """Return the file of an id; raise Refusal if there is none, or one of another kind."""
        stored = self._store.files.get(file_id)
        if stored is None:
            raise bad_request("wrong file identifier/HTTP URL specified")
        if stored.kind != kind:
            raise bad_request(f"can't use file of type {KINDS[stored.kind][2]} as {KINDS[kind][2]}")
        return stored

    def family(self, stored: StoredFile) -> list[StoredFile]:
        """Return every size of a photo, smallest first."""
        return [found for key in stored.family if (found := self._store.files.get(key)) is not None]

    def at(self, path: str) -> StoredFile | None:
        """Return the file at a path that getFile gave, None if there is none."""
        return self._by_path.get(path)

    async def ensure(self, stored: StoredFile) -> None:
        """Make a size of a photo that does not exist yet, once for all who ask."""
        if stored.size is not None:
            return
        if stored.key not in self._rendering:
            self._rendering[stored.key] = asyncio.create_task(self._render(stored))
        await asyncio.shield(self._rendering[stored.key])

    async def read(self, stored: StoredFile) -> bytes:
        """Return the bytes of a file."""
        await self.ensure(stored)
        if stored.zeros:
            return bytes(stored.size or 0)
        return await self._in_thread((self._folder / stored.path).read_bytes)

    async def _render(self, stored: StoredFile) -> None:
        try:
            original = await self.read(self.family(stored)[-1])
            data = await self._in_thread(partial(pictures.scaled, original, stored.width, stored.height))
            await self._in_thread(partial(self._write, stored.path, data))
            stored.size = len(data)
            self._store.files.save(stored)
        finally:
            del self._rendering[stored.key]

    def _new(self, kind: str, name: str, mime_type: str, size: int | None) -> StoredFile:
        number: int = self._store.setting(COUNTER, 0)
        self._store.set(COUNTER, number + 1)
        prefix, folder, _ = KINDS[kind]
        guessed = mimetypes.guess_type(name)[0] if name else None
        if not mime_type or mime_type == "application/octet-stream":
            mime_type = guessed or mime_type
        suffix = Path(name).suffix
        if not SUFFIX.fullmatch(suffix):
            suffix = mimetypes.guess_extension(mime_type) or ""
        return StoredFile(
            key=prefix + secrets.token_urlsafe(40),
            unique_id=("AQAD" if kind == "photo" else "AgAD") + secrets.token_urlsafe(9),
            kind=kind,
            path=f"{folder}/file_{number}{suffix}",
            size=size,
            name=name,
            mime_type=mime_type,
        )

    def _save(self, stored: StoredFile) -> None:
        self._by_path[stored.path] = stored
        self._store.files.save(stored)

    async def _in_thread(self, work: Callable[[], T]) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    def _write(self, path: str, data: bytes) -> None:
        target = self._folder / path
        target.parent.mkdir(exist_ok=True)
        target.write_bytes(data)
