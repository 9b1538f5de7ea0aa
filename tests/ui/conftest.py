"""Fixtures of the tests that look at the inspector: a server over a memory of some months, and a browser."""

from __future__ import annotations

import os
import shutil
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any

import pytest
from inspector_door import Door
from inspector_eye import Eye
from inspector_stage import Stage, serving
from support import consenting, opened

from tiered_memory.testing import ManualClock

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


@pytest.fixture
async def door(tmp_path: Path) -> AsyncIterator[Door]:
    clock = ManualClock()
    async with opened(tmp_path / "data", settings={"redis_url": "local"}, clock=clock) as memory:
        alice = await consenting(memory)
        await alice.add("I like tea.", importance=0.8, session="s")
        yield Door(memory, clock)
