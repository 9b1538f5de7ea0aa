"""One store behind three doors: the embedded face, HTTP with an API key, and the owner's unix socket."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any, TypeVar

import anyio
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Receive, Scope, Send
from support import opened

from tiered_memory import TieredMemory, User
from tiered_memory.caller import Caller
from tiered_memory.daemon.app import Parts, create_app
from tiered_memory.daemon.limits import Buckets
from tiered_memory.daemon.listening import Server, server
from tiered_memory.daemon.serving import Phase, Serving
from tiered_memory.daemon.sockets import listening_socket
from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.testing import ManualClock

EMBEDDED, HTTP, SOCKET = "embedded", "http", "socket"
DOORS = (EMBEDDED, HTTP, SOCKET)
PURPOSE = "personalization"
NOWHERE = "0" * 32
POLICY = """
schema = 1
name = "acceptance"
default_purpose = "personalization"

[purposes.personalization]
lawful_basis = "consent"
max_sensitivity = "restricted"

[purposes.service]
lawful_basis = "contract"
documentation = "the order form"
max_sensitivity = "restricted"

[purposes.improvement]
lawful_basis = "legitimate_interests"
documentation = "assessed"
max_sensitivity = "restricted"

[[retention_rules]]
name = "closed accounts"
record_class = "memory"
purpose = "service"
max_keep_days = 30
trigger = "account_closed"
basis = "the order form"
"""
SETTINGS: dict[str, Any] = {"redis_url": "local", "ballast_mib": 0}
F = TypeVar("F", bound=Callable[..., Any])


@dataclass(slots=True)
class Heard:
    """Middleware that notes which operations were served, and with which status."""

    app: ASGIApp
    served: list[tuple[str, int]]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        scope.setdefault("state", {})

        async def noting(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.served.append((scope["state"].get("operation", ""), message["status"]))
            await send(message)

        await self.app(scope, receive, noting)


@dataclass(slots=True)
class House:
    """The store's own face, the faces by door, and what was served so far."""

    owner: TieredMemory
    clock: ManualClock
    served: list[tuple[str, int]]
    folder: Path
    doors: dict[str, TieredMemory] = field(default_factory=dict)
    addresses: dict[str, str] = field(default_factory=dict)
    secret: str = ""
    _number: Any = field(default_factory=count)

    def name(self, stem: str = "person") -> str:
        """Return an id that no test had before."""
        return f"{stem}-{next(self._number)}"


@dataclass(slots=True)
class Side:
    """One door, and the embedded face of the same store to compare with."""

    house: House
    door: str

    @property
    def memory(self) -> TieredMemory:
        """The memory as it is reached by this door."""
        return self.house.doors[self.door]

    @property
    def owner(self) -> TieredMemory:
        """The same store's embedded face."""
        return self.house.owner

    @property
    def clock(self) -> ManualClock:
        """The clock that the store goes by."""
        return self.house.clock

    @property
    def is_remote(self) -> bool:
        """Whether calls are sent."""
        return self.door != EMBEDDED

    async def person(self, name: str | None = None, tenant: str = "acme") -> User:
        """Return a new person who consented to the default purpose, by this door."""
        found = self.memory.user(name or self.house.name(), tenant)
        await found.consent.grant(PURPOSE, notice="notice 1", explicit=True)
        return found

    def embedded(self, user: User, caller: Caller | None = None) -> User:
        """Return the embedded face of a person."""
        return self.owner.user(user.subject.user, user.subject.tenant, caller=caller)


def walks(*operations: str) -> Callable[[F], F]:
    """Say which operations a test asks for; by a door other than the embedded face it is seen that it did."""

    def marked(test: F) -> F:
        test.__dict__["walks"] = operations
        return test

    return marked


@asynccontextmanager
async def house(folder: Path, **settings: Any) -> AsyncIterator[House]:
    """Open a store and its doors."""
    policy = folder / "policy.toml"
    policy.write_text(POLICY)
    clock = ManualClock()
    chosen = {**SETTINGS, "policy": str(policy), **settings}
    async with AsyncExitStack() as stack:
        owner = await stack.enter_async_context(opened(folder / "store", settings=chosen, clock=clock))
        made = House(owner, clock, [], folder)
        made.secret = (await owner.api_keys.create("all", grants=["admin"], roles=["*"])).secret
        http, socket = DaemonSettings(port=0), DaemonSettings(socket=folder / "owner.sock")
        made.addresses[HTTP] = await stack.enter_async_context(served(owner, http, made.served))
        made.addresses[SOCKET] = await stack.enter_async_context(served(owner, socket, made.served))
        made.doors[EMBEDDED] = owner
        for door, key in ((HTTP, made.secret), (SOCKET, None)):
            remote = TieredMemory.open(made.addresses[door], api_key=key)
            made.doors[door] = await stack.enter_async_context(remote)
        yield made


@asynccontextmanager
async def served(
    memory: TieredMemory,
    settings: DaemonSettings,
    heard: list[tuple[str, int]] | None = None,
    serving: Serving | None = None,
) -> AsyncIterator[str]:
    """Serve a memory, and give the address."""
    serving = serving or Serving(settings, memory, Phase.READY)
    outermost = () if heard is None else (Middleware(Heard, served=heard),)
    local = settings.socket is not None
    app = create_app(serving, Parts(limits=Buckets(10_000, 10_000), local=local, outermost=outermost))
    sock, listener = listening_socket(settings), server(app, settings)
    address = sock.getsockname()
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, [sock])
        await started(listener)
        try:
            yield f"unix:{address}" if isinstance(address, str) else f"http://{address[0]}:{address[1]}"
        finally:
            listener.should_exit = True


async def started(listener: Server) -> None:
    """Wait until a server answers."""
    with anyio.fail_after(20):
        while not listener.started:
            await anyio.lowlevel.checkpoint()
