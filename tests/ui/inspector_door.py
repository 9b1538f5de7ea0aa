"""A door to the inspector without a browser: a memory, a visitor with a jar of cookies, a daemon that says who asks."""

from __future__ import annotations

import re

import httpx2
from inspector_stage import KEYS
from starlette.applications import Starlette
from starlette.routing import Mount
from starlette.types import ASGIApp, Receive, Scope, Send

from tiered_memory import TieredMemory
from tiered_memory.errors import UnauthenticatedError
from tiered_memory.inspector import Options, inspector_app
from tiered_memory.principals import LOCAL, Principal
from tiered_memory.testing import ManualClock

HOST = "localhost:8765"
HERE = {"sec-fetch-site": "same-origin", "origin": f"http://{HOST}"}


class Door:
    """An inspector over a memory, and a visitor with a jar of cookies."""

    def __init__(self, memory: TieredMemory, clock: ManualClock) -> None:
        self.memory = memory
        self.clock = clock
        self.principal: Principal | None = LOCAL
        self.revoked: set[str] = set()
        self.app = inspector_app(
            lambda: memory, options=Options(verify=self._verify, recheck=self._recheck, clock=clock)
        )
        self.visitor = self.new_visitor()

    def new_visitor(self, host: str = HOST) -> httpx2.AsyncClient:
        outer = _Says(Starlette(routes=[Mount("/ui", self.app)]), self)
        return httpx2.AsyncClient(transport=httpx2.ASGITransport(app=outer), base_url=f"http://{host}/ui")

    def address(self, user: str = "alice", path: str = "", tenant: str = "acme") -> str:
        return f"/p/{self.app.state.desk.names.of('person', tenant, user)}{path}"

    def filled(self, path: str, memory_id: str = "0" * 32) -> str:
        """Return a route's path with its parameters filled in."""
        person = self.address().removeprefix("/p/")
        return path.replace("{person}", person).replace("{memory}", memory_id).replace("{certificate}", "0")

    async def token(self, path: str = "/people") -> str:
        """Return the token of a page's forms."""
        page = await self.visitor.get(path)
        return re.search(r'name="csrf" value="(\w+)"', page.text).group(1)  # type: ignore[union-attr]

    async def post(self, path: str, fields: dict[str, str] | None = None) -> httpx2.Response:
        """Send a form as a page of ours would."""
        return await self.visitor.post(
            path, data={"csrf": await self.token(), **(fields or {})}, headers=HERE
        )

    async def sign_in(self, key: str) -> httpx2.Response:
        self.principal = None
        page = await self.visitor.get("/login")
        token = re.search(r'name="csrf" value="(\w+)"', page.text).group(1)  # type: ignore[union-attr]
        return await self.visitor.post("/login", data={"csrf": token, "key": key}, headers=HERE)

    async def _verify(self, key: str) -> Principal:
        if key not in KEYS:
            raise UnauthenticatedError
        return KEYS[key]

    async def _recheck(self, principal: Principal) -> bool:
        return principal.name not in self.revoked


class _Says:
    """The daemon's middleware: it says who asks."""

    def __init__(self, app: ASGIApp, door: Door) -> None:
        self._app = app
        self._door = door

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})["principal"] = self._door.principal
        await self._app(scope, receive, send)
