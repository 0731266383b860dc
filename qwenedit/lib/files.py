"""Small files that processes of one installation share: secrets and socket paths."""

import hashlib
import os
import secrets
import tempfile
from pathlib import Path

# The kernel's limit for a Unix socket's path is 108 bytes on Linux and 104 on macOS, the final NUL included.
LONGEST_SOCKET_PATH = 100


def persistent_secret(path: Path) -> str:
    """Return the secret kept in `path`, made on first use; safe when several processes start at once."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        handle, name = tempfile.mkstemp(dir=path.parent)
        with os.fdopen(handle, "w") as file:
            file.write(secrets.token_urlsafe(48))
        try:
            # A link fails if the name exists: whoever comes second reads the first one's secret.
            os.link(name, path)
        except FileExistsError:
            pass
        finally:
            Path(name).unlink()
    return path.read_text().strip()


def short_socket_path(wanted: Path) -> Path:
    """Return `wanted`, or a path in the system's temporary folder where `wanted` is too long for a socket."""
    wanted = wanted.absolute()
    if len(os.fsencode(wanted)) <= LONGEST_SOCKET_PATH:
        return wanted
    digest = hashlib.sha256(os.fsencode(wanted)).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"qwenedit-{os.getuid()}-{digest}" / wanted.name
