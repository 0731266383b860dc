"""Options of the ComfyUI sandbox, and its process.

Owns: the command line and the folders' lifetime. The options of faults are described in `faults`.
"""

import argparse
import asyncio
import sys
import tempfile
from pathlib import Path

import uvloop
from PIL import ImageFile

from qwenedit.sandbox.comfyui.execution import Options
from qwenedit.sandbox.comfyui.faults import Settings
from qwenedit.sandbox.comfyui.middleware import Credentials
from qwenedit.sandbox.comfyui.server import Config, serve

HELP = "ComfyUI 0.33 without a model: classical filters instead of Qwen-Image-Edit"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Add the options of this sandbox to a parser."""
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: %(default)s)")
    parser.add_argument("--port", type=int, default=8188, help="0 takes a free one (default: %(default)s)")
    parser.add_argument(
        "--data-dir", type=Path, help="keeps input and output (default: a folder removed at exit)"
    )
    parser.add_argument(
        "--max-upload-size", type=float, default=100, metavar="MB", help="limit of every request body"
    )
    parser.add_argument("--png-compress-level", type=int, choices=range(10), default=4, metavar="0-9")
    parser.add_argument(
        "--disable-metadata", action="store_true", help="do not put the prompt into saved PNG files"
    )
    parser.add_argument(
        "--ready", type=Path, metavar="PNG", help="the result of every prompt: no filter runs"
    )
    parser.add_argument(
        "--model", action="append", default=[], metavar="FOLDER/NAME", help="one more installed model"
    )
    parser.add_argument("--user", help="demand HTTP basic authentication; needs --password")
    parser.add_argument("--password")

    faults = parser.add_argument_group(
        "faults", "what shall go wrong; all can be changed by POST /sandbox/faults"
    )
    faults.add_argument("--seconds-per-step", type=float, default=0.05, metavar="S")
    faults.add_argument(
        "--out-of-memory", type=int, default=0, metavar="N", help="the next N prompts fail so"
    )
    faults.add_argument(
        "--runtime-error", type=int, default=0, metavar="N", help="the next N prompts fail so"
    )
    faults.add_argument("--hang", action="store_true", help="execution stands still, HTTP answers")
    faults.add_argument(
        "--die", action="store_true", help="the process ends in the middle of the first prompt"
    )
    faults.add_argument("--worker-dead", action="store_true", help="prompts are accepted and never run")
    faults.add_argument("--delay", type=float, default=0.0, metavar="S", help="hold every answer back")
    faults.add_argument(
        "--lose-answers", type=int, default=0, metavar="N", help="carry out N prompts, do not answer"
    )
    faults.add_argument(
        "--history-delay", type=float, default=0.0, metavar="S", help="history lags behind events"
    )
    faults.add_argument(
        "--cut-websockets", type=int, default=0, metavar="N", help="break them during N prompts"
    )
    faults.add_argument("--refuse-websockets", type=float, default=0.0, metavar="S", help="for so long")
    faults.add_argument("--refuse-uploads", action="store_true", help="answer uploads with 500")
    faults.add_argument("--missing-model", action="append", default=[], metavar="NAME", dest="missing_models")


def run(arguments: argparse.Namespace) -> int:
    """Serve until SIGINT or SIGTERM; return the exit code."""
    # As ComfyUI does: it accepts a truncated upload and pads it. Nobody else's process is to.
    ImageFile.LOAD_TRUNCATED_IMAGES = True
    with tempfile.TemporaryDirectory(prefix="comfyui-sandbox-", ignore_cleanup_errors=True) as scratch:
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                runner.run(serve(_config(arguments, Path(scratch)), _announce))
        except (OSError, ValueError) as error:
            sys.stderr.write(f"ComfyUI sandbox: {error}\n")
            return 1
    return 0


def _announce(url: str) -> None:
    sys.stdout.write(f"ComfyUI sandbox listening on {url}\n")
    sys.stdout.flush()


def _config(arguments: argparse.Namespace, scratch: Path) -> Config:
    if (arguments.user is None) != (arguments.password is None):
        raise ValueError("--user and --password need each other")
    credentials = None if arguments.user is None else Credentials(arguments.user, arguments.password)
    return Config(
        data_dir=arguments.data_dir or scratch,
        host=arguments.host,
        port=arguments.port,
        max_upload_size=arguments.max_upload_size,
        options=Options(
            png_compression=arguments.png_compress_level,
            metadata=not arguments.disable_metadata,
            ready=arguments.ready and arguments.ready.read_bytes(),
        ),
        faults=Settings(**{name: getattr(arguments, name) for name in Settings.__dataclass_fields__}),
        models=tuple(arguments.model),
        credentials=credentials,
    )
