"""A browser for the tests of pages: Chromium with an empty profile, driven by Playwright.

Owns: finding it, starting it, and saying so where there is none. Must not know the pages.
"""

import os
import shutil
from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

PACKAGED = "/usr/bin/chromium"
ARGUMENTS = (
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
MISSING = "there is no Chromium: install the system's package `chromium`, or name its file in CHROMIUM"
PATIENCE = 20_000  # milliseconds until something expected of a page counts as missing


@pytest.fixture(scope="session")
def chromium() -> str:
    """The path of Chromium. Without one a test is skipped; in CI, where it must be there, it fails."""
    for path in (os.environ.get("CHROMIUM"), PACKAGED, "chromium"):
        if path and (found := shutil.which(path)):
            return found
    if os.environ.get("CI"):
        pytest.fail(MISSING)
    pytest.skip(MISSING)


@pytest.fixture(scope="module")
def browser(chromium: str) -> Iterator[Browser]:
    """A running Chromium.

    For a module only: Playwright keeps an event loop running in the thread of the tests, and others need
    theirs. It is not one that database calls could block, whatever Django makes of it.
    """
    with pytest.MonkeyPatch.context() as patch, sync_playwright() as playwright:
        patch.setenv("DJANGO_ALLOW_ASYNC_UNSAFE", "true")
        expect.set_options(timeout=PATIENCE)
        browser = playwright.chromium.launch(executable_path=chromium, args=list(ARGUMENTS))
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page in a profile of its own, on a screen like a laptop's; its scripts must not fail."""
    context = browser.new_context(viewport={"width": 1280, "height": 800}, locale="en-GB")
    context.set_default_timeout(PATIENCE)
    page = context.new_page()
    mistakes: list[str] = []
    page.on("pageerror", lambda error: mistakes.append(str(error)))
    yield page
    context.close()
    assert mistakes == []
