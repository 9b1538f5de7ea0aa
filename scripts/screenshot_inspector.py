"""Take the picture of the inspector that the README shows, from a demo that is served for it.

    python scripts/screenshot_inspector.py [TARGET] [--chromium PATH] [--all DIRECTORY]

Needs a Chromium, and the test requirements (playwright). What is on the picture is a demo's store as it is today.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

ROOT = Path(__file__).resolve().parent.parent
TARGET = ROOT / "docs" / "images" / "inspector.png"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
WIDTH, HEIGHT = 1400, 1180
PERSON = "maya"
CHARTS_SECONDS = 20
MOST_BYTES = 250_000
COMMAND = [sys.executable, "-m", "tiered_memory", "serve", "--demo", "--json", "--port", "0"]


def main() -> int:
    """Take the picture, or those of all pages into a directory."""
    asked = _arguments()
    if asked.chromium is None:
        print(f"no browser found: give --chromium, or install one of {', '.join(BROWSERS)}", file=sys.stderr)
        return 1
    with demo() as address, browser_page(asked.chromium) as page:
        page.goto(f"{address}/ui/")
        page.wait_for_timeout(CHARTS_SECONDS * 1000)
        if asked.all is not None:
            keep_all(page, address, asked.all)
        open_person(page, address)
        keep(page, asked.target)
    print(f"{asked.target}: {asked.target.stat().st_size / 1000:.0f} kB")
    return 0


@contextmanager
def demo() -> Iterator[str]:
    """Yield the address of a daemon that serves a demo."""
    with subprocess.Popen(  # noqa: S603 - this very interpreter
        COMMAND, stdout=subprocess.PIPE, text=True, cwd=ROOT
    ) as process:
        try:
            yield json.loads(_document(process))["listening"]
        finally:
            process.terminate()


def _document(process: subprocess.Popen[str]) -> str:
    lines: list[str] = []
    for line in process.stdout or ():
        lines.append(line)
        if line == "}\n":
            break
    return "".join(lines)


@contextmanager
def browser_page(executable: str) -> Iterator[Page]:
    """Yield a page of a headless browser."""
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
        view: Any = {"width": WIDTH, "height": HEIGHT}
        yield browser.new_context(viewport=view, reduced_motion="reduce", color_scheme="light").new_page()
        browser.close()


def open_person(page: Page, address: str) -> None:
    """Go to the page of the demo's main person."""
    page.goto(f"{address}/ui/people")
    page.get_by_role("link", name=PERSON).first.click()
    settle(page)


def settle(page: Page) -> None:
    """Wait until every chart is drawn."""
    page.wait_for_load_state("load")
    for busy in ("figure[data-state=loading]", ".htmx-request"):
        page.wait_for_selector(busy, state="detached")


def keep(page: Page, path: Path) -> None:
    """Keep what the window shows."""
    path.parent.mkdir(parents=True, exist_ok=True)
    page.screenshot(path=str(path))
    if path.stat().st_size > MOST_BYTES:
        print(f"warning: {path} is larger than {MOST_BYTES:,} bytes", file=sys.stderr)


def keep_all(page: Page, address: str, folder: Path) -> None:
    """Keep the pages that could stand in its place."""
    settle(page)
    keep(page, folder / "overview.png")
    open_person(page, address)
    keep(page, folder / "person.png")
    page.screenshot(path=str(folder / "person-whole.png"), full_page=True)
    page.locator("main a[href*='/m/']").first.click()
    settle(page)
    keep(page, folder / "memory.png")


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n", 1)[0])
    found = next((path for name in BROWSERS if (path := shutil.which(name))), None)
    parser.add_argument("target", nargs="?", type=Path, default=TARGET)
    parser.add_argument("--chromium", default=found, help="the browser to take it with")
    parser.add_argument("--all", type=Path, help="a directory for pictures of other pages besides")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
