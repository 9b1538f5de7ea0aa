"""Whose bucket a request is taken from, and under which names a credential may call."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import anyio
import pytest
from asgi_calls import answering, called, request

pytest.importorskip("starlette", reason="needs the extra server")

from tiered_memory import TieredMemory
from tiered_memory.daemon.admission import Admission
from tiered_memory.daemon.asked import Asked
from tiered_memory.daemon.limits import Buckets
from tiered_memory.daemon.serving import Phase, Serving
from tiered_memory.daemon.streams import _told
from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.errors import AccessDeniedError, UnauthenticatedError
from tiered_memory.events import EventStream
from tiered_memory.forget_model import MemoryEvent
from tiered_memory.principals import LOCAL, Grant, Principal
from tiered_memory.testing import ManualClock
from tiered_memory.wire.table import by_name

pytestmark = pytest.mark.anyio

BURST = 3
BASE = Principal(name="alice", grants=frozenset({Grant.READ}), tenant="acme", user="alice")
HOLDERS = {
    "acme.alice.x": BASE,
    "other.alice.x": replace(BASE, tenant="other"),
    "acme.bob.x": replace(BASE, user="bob"),
    "acme.nobody.x": replace(BASE, user=None),
    "acme.carol.x": replace(BASE, name="carol"),
}


async def verify(credential: str) -> Principal:
    if credential not in HOLDERS:
        raise UnauthenticatedError
    return HOLDERS[credential]


@pytest.fixture
def door() -> Admission:
    serving = Serving(DaemonSettings(), None, Phase.READY, ManualClock())
    return Admission(answering, serving, local=False, limits=Buckets(BURST, 1e-6), tokens=verify)


async def status(door: Admission, path: str, credential: str = "", peer: str = "203.0.113.1") -> int:
    bearing = [(b"authorization", b"Bearer " + credential.encode())] if credential else []
    scope: Any = {**request(path, bearing), "client": (peer, 5)}
    return int((await called(door, scope)).start["status"])


@pytest.mark.parametrize("other", [one for one in HOLDERS if one != "acme.alice.x"])
async def test_nobody_uses_up_what_a_namesake_may_ask_for(door: Admission, other: str) -> None:
    found = [await status(door, "/v1/stats", "acme.alice.x") for _ in range(BURST + 1)]
    assert found == [200] * BURST + [429]
    assert await status(door, "/v1/stats", other) == 200


async def test_a_visitor_without_a_key_shuts_the_window_for_nobody_else(door: Admission) -> None:
    found = [await status(door, "/ui/login") for _ in range(BURST + 1)]
    assert found == [200] * BURST + [429]
    assert await status(door, "/ui/login", peer="203.0.113.2") == 200
    assert await status(door, "/ui/login", "acme.alice.x") == 200


def test_remembered_answers_are_a_credentials_own() -> None:
    operation = by_name()["api_keys.list"]
    asked = [Asked(operation, one, one.caller(), {}) for one in HOLDERS.values()]
    assert len({one.whose for one in asked}) == len(HOLDERS)


def test_a_credential_with_an_actor_calls_under_no_other_name() -> None:
    bound = replace(BASE, actor="bot 7")
    assert {bound.caller().actor, bound.caller(actor="bot 7").actor} == {"bot 7"}
    with pytest.raises(AccessDeniedError, match="actor"):
        bound.caller(actor="bot 8")
    assert BASE.caller(actor="bot 8").actor == "bot 8"
    assert LOCAL.caller("admin", "officer 2").actor == "officer 2"


async def test_a_listener_whose_key_was_revoked_hears_no_more(memory: TieredMemory) -> None:
    made = await memory.api_keys.create("ears", grants=["audit"])
    principal = memory.api_keys.verify(made.secret)
    stream, event = (
        EventStream(10),
        MemoryEvent(
            subject=None,
            memory_id="0" * 32,
            change="purged",
            rule="deleted",
            at=datetime(2026, 1, 1, tzinfo=UTC),
        ),
    )
    told = _told(stream, anyio.Event(), lambda: memory.api_keys.good(principal))
    assert await anext(told) == b"\n"
    stream.tell(event)
    assert b'"purged"' in await anext(told)
    await memory.api_keys.revoke(made.key.id, "lost")
    stream.tell(event)
    assert [one async for one in told] == []
