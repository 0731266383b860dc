"""Bring the virtual environment to what requirements files say: `python3 -m qwenedit.local.install FILE...`

Runs on the machine's own Python before anything is installed, so it needs the standard library alone.
Does nothing, and asks no network, while a file is the one that was installed last.
"""

import fcntl
import hashlib
import os
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

FOLDER = Path(".venv")
PYTHON = FOLDER / "bin" / "python"
USABLE = "import sys, importlib.util as u; sys.exit(sys.version_info < (3, 11) or u.find_spec('pip') is None)"


def main() -> int:
    """Install what is missing; return the exit code."""
    files = [Path(name) for name in sys.argv[1:]]
    if is_usable() and all(is_installed(file) for file in files):
        return 0
    project = os.open(".", os.O_RDONLY)
    fcntl.flock(project, fcntl.LOCK_EX)  # two commands may be started at once in a fresh clone
    try:
        if not is_usable():
            make_environment()
        for file in files:
            if not is_installed(file):
                install(file)
    except subprocess.CalledProcessError as error:
        say(f"This step failed: {' '.join(map(str, error.cmd))}")
        return 1
    finally:
        os.close(project)
    return 0


def is_usable() -> bool:
    """Say whether the environment has a Python that runs, is new enough, and has pip."""
    with suppress(OSError):
        return subprocess.run([PYTHON, "-c", USABLE], capture_output=True, check=False).returncode == 0  # noqa: S603
    return False


def is_installed(requirements: Path) -> bool:
    """Say whether this very content of `requirements` was the last to be installed."""
    with suppress(OSError):
        return stamp_of(requirements).read_text() == fingerprint(requirements)
    return False


def stamp_of(requirements: Path) -> Path:
    """Return the file that remembers what was installed: .installed, or .installed-dev."""
    return FOLDER / f".{requirements.stem.replace('requirements', 'installed')}"


def fingerprint(requirements: Path) -> str:
    """Return what the stamp holds once `requirements` is installed."""
    return hashlib.sha256(requirements.read_bytes()).hexdigest()


def make_environment() -> None:
    """Make a fresh virtual environment in place of whatever is there."""
    try:
        import ensurepip  # noqa: F401  (Debian packages it apart)
        import venv
    except ImportError:
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        raise SystemExit(
            f"Python {version} lacks its venv module. On Debian or Ubuntu: apt install python{version}-venv"
        ) from None
    say("Making the virtual environment .venv")
    venv.create(FOLDER, with_pip=True, clear=True)


def install(requirements: Path) -> None:
    """Install what `requirements` says, by hash. The stamp comes last: a broken attempt is repeated."""
    say(f"Installing the packages of {requirements}: needed once, takes about a minute")
    options = ("-qq", "--disable-pip-version-check", "--no-input", "--require-hashes")
    subprocess.run([PYTHON, "-m", "pip", "install", *options, "-r", requirements], check=True)  # noqa: S603
    aside = stamp_of(requirements).with_suffix(".new")
    aside.write_text(fingerprint(requirements))
    aside.replace(stamp_of(requirements))


def say(line: str) -> None:
    """Tell the person at the terminal."""
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    raise SystemExit(main())
