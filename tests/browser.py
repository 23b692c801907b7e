"""Opening a page as a reader does: from disk, in a real Chromium, with the network off."""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

PATIENCE = 20  # seconds
DESKTOP, PHONE = (1280, 900), (390, 844)
REQUIRED = "MEMUNLEARN_REQUIRE_BROWSER"


@dataclass
class Opened:
    """page: playwright's. complaints: console warnings and errors, and exceptions that nobody caught. fetched: addresses
    that the page asked for beside itself."""

    page: Any
    complaints: list[str] = field(default_factory=list)
    fetched: list[str] = field(default_factory=list)

    @property
    def scrolls_sideways(self) -> bool:
        return self.page.evaluate("document.documentElement.scrollWidth > document.documentElement.clientWidth")

    def screenshot(self, path) -> Path:
        """The whole page as a PNG."""
        self.page.screenshot(path=str(path), full_page=True)
        return Path(path)


def eventually(page, condition: str) -> None:
    """Waits until an expression is true in the page, like wait_for_function, whose second look is an eval that the pages'
    content security policy forbids."""
    end = time.monotonic() + PATIENCE
    while not page.evaluate(condition):
        assert time.monotonic() < end, f"not within {PATIENCE} s: {condition}"
        page.wait_for_timeout(50)


def chromium() -> str:
    """The system's Chromium. Without one the test is skipped, or fails where MEMUNLEARN_REQUIRE_BROWSER=1."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome"))), None)
    if found is None:
        reason = "no chromium was found: install it (apt-get install chromium) to test the pages in a browser"
        if os.environ.get(REQUIRED) == "1":
            pytest.fail(f"{REQUIRED}=1, but {reason}")
        pytest.skip(reason)
    return found


@pytest.fixture(scope="session")
def chromium_process():
    """One browser for all tests of a worker."""
    executable = chromium()
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--disable-gpu", "--disable-dev-shm-usage"])
        yield browser
        browser.close()


@pytest.fixture
def open_page(chromium_process):
    """open_page(path, size=DESKTOP, scripts=True) -> Opened: the file in a fresh profile; closed when the test ends."""
    with contextlib.ExitStack() as opened_contexts:

        def open_page(path, size=DESKTOP, scripts=True):
            width, height = size
            context = chromium_process.new_context(
                viewport={"width": width, "height": height},
                offline=True,
                java_script_enabled=scripts,
                is_mobile=width < 600,
                has_touch=width < 600,
            )
            opened_contexts.callback(context.close)
            opened = Opened(context.new_page())
            opened.page.set_default_timeout(1000 * PATIENCE)
            opened.page.on(
                "console",
                lambda message: message.type in ("warning", "error") and opened.complaints.append(message.text),
            )
            opened.page.on("pageerror", lambda error: opened.complaints.append(str(error)))
            opened.page.on("dialog", lambda dialog: (opened.complaints.append(f"dialog: {dialog.message}"), dialog.dismiss()))
            address = Path(path).resolve().as_uri()
            opened.page.on(
                "request",
                lambda request: (
                    request.url != address and not request.url.startswith("data:") and opened.fetched.append(request.url)
                ),
            )
            opened.page.goto(address)
            return opened

        yield open_page
