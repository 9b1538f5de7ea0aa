"""Fixtures of the tests that look at the inspector: a server over a memory of some months, and a browser."""

from __future__ import annotations

import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from inspector_stage import Stage, serving

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
SCREENSHOTS = "TIERED_MEMORY_SCREENSHOTS"


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    with serving(tmp_path_factory.mktemp("inspector") / "data") as found:
        yield found


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    api = pytest.importorskip("playwright.sync_api")
    if CHROMIUM is None:
        pytest.skip("needs chromium")
    with api.sync_playwright() as playwright:
        found = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


@pytest.fixture(scope="session")
def shelf(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where screenshots are kept."""
    given = os.environ.get(SCREENSHOTS)
    found = Path(given) if given else tmp_path_factory.mktemp("screenshots")
    found.mkdir(parents=True, exist_ok=True)
    return found


class Eye:
    """A browser's page that remembers everything it complained about."""

    def __init__(self, page: Any, shelf: Path) -> None:
        self.page = page
        self.complaints: list[str] = []
        self._host = ""
        page.set_default_timeout(30_000)
        self._shelf = shelf
        page.on("console", self._heard)
        page.on("pageerror", lambda error: self.complaints.append(f"page: {error}"))
        page.on("requestfailed", lambda one: self.complaints.append(f"failed: {one.url}"))
        page.on("request", self._asked)

    def see(self, url: str) -> Any:
        """Go to a page, and wait until its charts are drawn; return the answer."""
        self._host = re.match(r"https?://[^/]+/", url).group()  # type: ignore[union-attr]
        answer = self.page.goto(url)
        self.settle()
        return answer

    def settle(self) -> None:
        """Wait until nothing is loaded any more and no chart says that it is loading."""
        self.page.wait_for_load_state("load")
        for busy in ("figure[data-state=loading]", ".htmx-request"):
            self.page.wait_for_selector(busy, state="detached")

    def keep(self, name: str) -> None:
        """Keep a picture of the page."""
        self.page.screenshot(path=str(self._shelf / f"{name}.png"), full_page=True)

    def _heard(self, message: Any) -> None:
        if message.type in {"error", "warning"}:
            self.complaints.append(f"console: {message.text}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self._host, "data:", "blob:")):
            self.complaints.append(f"elsewhere: {request.url}")


@pytest.fixture
def eyes(browser: Any, shelf: Path) -> Iterator[Any]:
    """Yield what makes pages: `eyes(colours, width)`. In the end none may have complained."""
    opened: list[tuple[Any, Eye]] = []

    def make(colours: str = "light", width: int = 1280) -> Eye:
        context = browser.new_context(
            color_scheme=colours, viewport={"width": width, "height": 900}, reduced_motion="reduce"
        )
        eye = Eye(context.new_page(), shelf)
        opened.append((context, eye))
        return eye

    yield make
    for context, _ in opened:
        context.close()
    assert [one for _, eye in opened for one in eye.complaints] == []


@pytest.fixture
def eye(eyes: Any) -> Eye:
    found: Eye = eyes()
    return found
