"""The first calls of somebody who just made a key: in its own role, and what a refusal tells them and the log."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from support import opened, until

pytest.importorskip("uvicorn", reason="needs the extra server")
pytest.importorskip("httpx2", reason="needs the extra client")

from live_daemon import LiveDaemon, client

from tiered_memory import TieredMemory
from tiered_memory.caller import Caller
from tiered_memory.errors import AccessDeniedError, ConfigurationError

pytestmark = pytest.mark.anyio


@dataclass(frozen=True)
class House:
    live: LiveDaemon
    address: str
    operator: str


@pytest.fixture(scope="module")
async def house(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[House]:
    """A daemon with a key as the handbook makes an operator's: of one role, which is not an agent's."""
    folder = tmp_path_factory.mktemp("operated")
    async with opened(folder / "data", settings={"redis_url": "local"}) as memory:
        made = await memory.api_keys.create("operator", grants=["admin"], roles=["admin"])
    with LiveDaemon(folder) as live:
        yield House(live, await live.ready(), made.secret)
        assert "Traceback" not in live.log


async def line(house: House, name: str) -> dict[str, Any]:
    """Return the line of the log of a request; it is written after the answer was sent."""

    def told() -> list[dict[str, Any]]:
        ours = (json.loads(one) for one in house.live.log.splitlines() if name in one)
        return [one for one in ours if one["logger"] == "tiered_memory.access"]

    await until(lambda: len(told()) == 1)
    return told()[0]


async def test_who_names_no_role_calls_in_the_key_s_own(house: House) -> None:
    async with client(house.address, headers={"authorization": f"Bearer {house.operator}"}) as http:
        for path in ("/v1/stats", "/v1/jobs", "/v1/tenants/acme/users/ann/memories"):
            assert (await http.get(path)).status_code == 200, path
        other = await http.get("/v1/stats", headers={"tiered-memory-role": "agent"})
    assert (other.status_code, other.json()["error"]) == (403, "AccessDeniedError")
    assert "api-keys list" in other.json()["detail"]


async def test_so_does_the_client_and_only_when_nobody_is_named(house: House) -> None:
    async with TieredMemory.open(house.address, api_key=house.operator) as memory:
        assert (await memory.stats()).memories == 0
        assert [job.name for job in await memory.jobs.list()]
        assert await memory.user("ann", tenant="acme").list() == []
        with pytest.raises(AccessDeniedError, match="in that role"):
            await memory.user("ann", tenant="acme", caller=Caller(role="agent")).list()


@pytest.mark.parametrize(
    ("path", "status", "outcome"),
    [("/v1/stats", 401, "UnauthenticatedError"), ("/v1/" + "x" * 9000, 414, "ok")],
    ids=["no credential", "too long"],
)
async def test_a_refusal_at_the_door_names_its_line_in_the_log(
    house: House, path: str, status: int, outcome: str
) -> None:
    async with client(house.address) as http:
        refusal = await http.get(path)
    name = refusal.json()["request_id"]
    assert (refusal.status_code, refusal.headers["x-request-id"]) == (status, name)
    told = await line(house, name)
    assert (told["status"], told["outcome"]) == (status, outcome)


async def test_a_refused_operation_s_line_names_the_error(house: House) -> None:
    bearing = {"authorization": f"Bearer {house.operator}"}
    async with client(house.address, headers=bearing) as http:
        wrong = await http.post("/v1/tenants/acme/users/ann/search", json=[])
        right = await http.post("/v1/tenants/acme/users/ann/search", json={"question": "?"})
    assert wrong.json()["detail"].startswith("the body: ")
    outcomes = [(await line(house, one.headers["x-request-id"]))["outcome"] for one in (wrong, right)]
    assert outcomes == ["InvalidInputError", "ok"]


@pytest.mark.parametrize("where", ["ftp://host", "HTTP://127.0.0.1:8765", "htp://host"])
def test_no_misspelt_address_is_taken_for_a_directory(
    where: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ConfigurationError, match="http://, https:// or unix:"):
        TieredMemory.open(where)
    assert list(tmp_path.iterdir()) == []
