"""Files that a bot names by URL, fetched as Telegram's servers would."""

from urllib.parse import unquote, urlsplit

import aiohttp

from qwenedit.sandbox.telegram.errors import bad_request
from qwenedit.sandbox.telegram.parameters import MEGABYTE, Upload

LARGEST = {"photo": 5 * MEGABYTE}
LARGEST_OTHER = 20 * MEGABYTE
TIMEOUT = aiohttp.ClientTimeout(total=10)


async def fetch(url: str, kind: str) -> Upload:
    """Return the file at a URL; raise Refusal if it cannot be had, is a page or is too large."""
    most = LARGEST.get(kind, LARGEST_OTHER)
    try:
        async with aiohttp.ClientSession(timeout=TIMEOUT) as session, session.get(url) as answer:
            data = bytearray()
            while len(data) <= most and (chunk := await answer.content.readany()):
                data += chunk
            mime_type = answer.content_type
            is_found = answer.ok
    except (aiohttp.ClientError, OSError, TimeoutError, ValueError):
        raise bad_request("failed to get HTTP URL content") from None
    if not is_found or len(data) > most:
        raise bad_request("failed to get HTTP URL content")
    if mime_type == "text/html":
        raise bad_request("wrong type of the web page content")
    name = unquote(urlsplit(url).path.rpartition("/")[2])
    return Upload(name, mime_type, bytes(data))
