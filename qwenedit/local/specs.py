"""Which processes make up the system on one machine. A new one is one entry in `system()`."""

from dataclasses import dataclass
from pathlib import Path

from qwenedit.local.machine import HOST


@dataclass(frozen=True)
class ProcessSpec:
    """A Python module to run with arguments.

    `grace` is how many seconds it may take to end after SIGTERM. `early` ones need no database and start
    while it is being prepared.
    """

    name: str
    module: str
    arguments: tuple[str, ...]
    grace: float = 4.0
    early: bool = False


def system(
    *,
    port: int,
    comfyui_sandbox_port: int | None,
    yookassa_sandbox_port: int | None,
    telegram_sandbox_port: int | None,
    folder: Path,
) -> list[ProcessSpec]:
    """List the processes in the order they are to stop: who asks for work before who does it."""
    specs = [
        ProcessSpec(
            "web",
            "uvicorn",
            (
                "qwenedit.asgi:application", f"--host={HOST}", f"--port={port}", "--log-level=warning",
                "--no-access-log", "--no-proxy-headers", "--timeout-graceful-shutdown=2",
            ),
        ),
        ProcessSpec("bot", "manage", ("runbot",)),
        ProcessSpec("beat", "qwenedit.beat", ()),
        ProcessSpec(
            "worker",
            "celery",
            # Neighbours are of no use to a single worker, and looking for them takes a second.
            ("-q", "-A", "celery_worker", "worker", "--without-mingle", "--without-gossip"),
            grace=10.0,
        ),
    ]  # fmt: skip
    if comfyui_sandbox_port is not None:
        arguments: tuple[str, ...] = (
            "comfyui",
            f"--port={comfyui_sandbox_port}",
            f"--data-dir={folder / 'sandbox' / 'comfyui'}",
        )
        specs.append(ProcessSpec("comfyui", "qwenedit.sandbox", arguments, early=True))
    if yookassa_sandbox_port is not None:
        arguments = (
            "yookassa",
            f"--port={yookassa_sandbox_port}",
            f"--data-dir={folder / 'sandbox' / 'yookassa'}",
            f"--webhook-url=http://{HOST}:{port}/webhooks/yookassa/",
        )
        specs.append(ProcessSpec("yookassa", "qwenedit.sandbox", arguments, early=True))
    if telegram_sandbox_port is not None:
        arguments = (
            "telegram",
            f"--port={telegram_sandbox_port}",
            f"--data-dir={folder / 'sandbox' / 'telegram'}",
        )
        specs.append(ProcessSpec("telegram", "qwenedit.sandbox", arguments, early=True))
    return specs
