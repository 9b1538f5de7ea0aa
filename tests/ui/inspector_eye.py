"""A browser's page, and what it complained about."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any


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
        page.on("requestfailed", self._failed)
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

    def _failed(self, request: Any) -> None:
        """A page that is left, or becomes a download, gives up what it was loading; that is no failure."""
        if request.failure != "net::ERR_ABORTED":
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def _asked(self, request: Any) -> None:
        if not request.url.startswith((self._host, "data:", "blob:")):
            self.complaints.append(f"elsewhere: {request.url}")
