"""How the daemon begins and ends: signals, drains, open streams, and settings under which it cannot begin."""

from __future__ import annotations

import json
import os
import signal
import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from support import consenting, opened, until

pytest.importorskip("uvicorn", reason="needs the extra server")

from live_daemon import LiveDaemon, client, connected, rest_of

from tiered_memory import Interaction, TieredMemory

pytestmark = pytest.mark.anyio
MOST_SECONDS = 10.0
SOON_SECONDS = 4.0
"""Well below the time that running requests are given."""
LATE = "TIERED_MEMORY_DAEMON__DRAIN_SECONDS"
UPLOAD = (
    b"POST /v1/tenants/acme/users/alice/memories HTTP/1.1\r\nHost: localhost\r\n"
    b"Content-Type: application/json\r\nContent-Length: 1000\r\n\r\n{"
)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_though_streams_uploads_and_idle_connections_are_open(
    tmp_path: Path, how: int
) -> None:
    with LiveDaemon(tmp_path, **{LATE: "8"}) as daemon:
        address = await daemon.ready()
        with connected(address) as idle, connected(address) as uploading:
            async with client(address) as http, http.stream("GET", "/v1/events") as events:
                uploading.sendall(UPLOAD)
                idle.sendall(b"GET /livez HTTP/1.1\r\nHost: localhost\r\n\r\n")
                assert idle.recv(65_536).startswith(b"HTTP/1.1 200 ")
                lines = events.aiter_bytes()
                assert await anext(lines) == b"\n"
                status, seconds = await daemon.stop(how)
                # What was begun is ended well: a stream that broke off would raise here.
                assert b"".join([piece async for piece in lines]).strip() == b""
            told = rest_of(uploading)
            assert told.startswith(b"HTTP/1.1 503 ")
            assert b"nothing was done" in told
        assert (status, seconds < SOON_SECONDS) == (0, True)
        assert "Traceback" not in daemon.log
        # The upload's 503 is a line of the access log, and the only error.
        assert {line["logger"] for line in daemon.lines if line["level"] == "error"} <= {
            "tiered_memory.access"
        }


async def test_signals_upon_signals_change_nothing(tmp_path: Path) -> None:
    with LiveDaemon(tmp_path) as daemon:
        address = await daemon.ready()
        async with TieredMemory.open(address) as memory:
            alice = await consenting(memory)
            made = [await alice.add(f"thing {number} happened", importance=0.9) for number in range(20)]
        for how in (signal.SIGTERM, signal.SIGINT, signal.SIGTERM, signal.SIGTERM):
            daemon.process.send_signal(how)
        assert await daemon.status(MOST_SECONDS) == 0
        assert "Traceback" not in daemon.log
    async with opened(tmp_path / "data", settings={"redis_url": "local"}) as memory:
        kept = {one.id for one in await memory.user("alice", tenant="acme").list(limit=100)}
        assert kept == {one.id for one in made}


async def test_it_is_not_ready_before_it_stops_to_accept(tmp_path: Path) -> None:
    """An upload holds the drain open: meanwhile a connection that is there hears how far the daemon is."""
    with LiveDaemon(tmp_path) as daemon:
        address = await daemon.ready()
        with connected(address) as uploading:
            uploading.sendall(UPLOAD)
            async with client(address) as http:
                assert (await http.get("/readyz")).status_code == 200
                daemon.process.send_signal(signal.SIGTERM)
                await until(lambda: '"event": "draining"' in daemon.log)
                uploading.sendall(b" ")
        assert await daemon.status(MOST_SECONDS) == 0


async def test_a_long_journal_is_read_behind_an_open_port_and_given_up_on_a_signal(tmp_path: Path) -> None:
    records = 3000
    with LiveDaemon(
        tmp_path, TIERED_MEMORY_FLUSH_AGE_SECONDS="3600", TIERED_MEMORY_FLUSH_MAX_RECORDS="100000"
    ) as one:
        async with TieredMemory.open(await one.ready()) as memory:
            alice = await consenting(memory)
            for start in range(0, records, 500):
                numbers = range(start, start + 500)
                await alice.add_many(
                    [Interaction(content=f"thing {number} happened", importance=0.9) for number in numbers]
                )
        one.process.kill()
        await one.status()
    with LiveDaemon(tmp_path) as two:
        address = await two.listening()
        async with client(address) as http:
            assert (await http.get("/livez")).status_code == 200
            found = await http.get("/startupz")
            if found.status_code != 200:
                assert found.json() == {"status": "starting"}
                busy = await http.get("/v1/stats")
                assert (busy.status_code, busy.headers["retry-after"]) == (503, "1")
        status, seconds = await two.stop()
        assert (status, seconds < MOST_SECONDS) == (0, True)
        assert "Traceback" not in two.log
    with LiveDaemon(tmp_path) as three:
        async with client(await three.ready()) as http:
            assert (await http.get("/startupz")).status_code == 200
        async with TieredMemory.open(await three.ready()) as memory:
            assert len(await memory.user("alice", tenant="acme").list(limit=10_000)) == records


# --- where it cannot begin -----------------------------------------------------------------------------------


@pytest.fixture
def taken() -> Iterator[int]:
    with closing(socket.create_server(("127.0.0.1", 0))) as other:
        yield other.getsockname()[1]


async def refused(folder: Path, *options: str, **environ: str) -> dict[str, str]:
    """Return what a daemon says that cannot begin; it says one document, no traceback, and its status is 1."""
    with LiveDaemon(folder, *options, **environ) as daemon:
        assert await daemon.status() == 1, daemon.log
        assert "Traceback" not in daemon.log
        told: dict[str, str] = daemon.lines[-1]
        assert set(told) == {"error", "message"}
        return told


async def test_a_port_that_is_taken(tmp_path: Path, taken: int) -> None:
    told = await refused(tmp_path, "--port", str(taken))
    assert told["error"] == "ConfigurationError"
    assert str(taken) in told["message"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may take every port")
async def test_a_port_that_is_for_root(tmp_path: Path) -> None:
    assert "Permission denied" in (await refused(tmp_path, "--port", "80"))["message"]


@pytest.mark.parametrize("port", ["99999", "-1"])
async def test_a_port_that_is_none(tmp_path: Path, port: str) -> None:
    assert "port" in (await refused(tmp_path, "--port", port))["message"]


async def test_an_address_that_is_not_ours(tmp_path: Path) -> None:
    assert (
        "cannot listen"
        in (await refused(tmp_path, "--host", "no-such-name.invalid", "--port", "0"))["message"]
    )


async def test_a_policy_that_is_none(tmp_path: Path) -> None:
    policy = tmp_path / "policy.toml"
    policy.write_text("schema = 1\nname = 3\n")
    told = await refused(tmp_path / "a", TIERED_MEMORY_POLICY=str(policy))
    assert told["error"] == "PolicyError"


async def test_a_directory_that_somebody_owns(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", settings={"redis_url": "local"}):
        told = await refused(tmp_path)
    assert told["error"] == "DataDirectoryInUseError"
    assert str(os.getpid()) in told["message"]


async def test_a_root_key_that_is_not_this_stores(tmp_path: Path) -> None:
    async with opened(tmp_path / "data", settings={"redis_url": "local"}) as memory:
        await (await consenting(memory)).add("Hannah moved to Lisbon", importance=0.9)
    async with opened(tmp_path / "other", settings={"redis_url": "local"}) as memory:
        await (await consenting(memory)).add("something else", importance=0.9)
    key = next((tmp_path / "data").rglob("root.key"))
    key.chmod(0o600)
    key.write_bytes(next((tmp_path / "other").rglob("root.key")).read_bytes())
    told = await refused(tmp_path)
    assert "Hannah" not in json.dumps(told)


@pytest.mark.parametrize("host", ["0.0.0.0", "::"])
async def test_an_address_for_everybody_without_a_key(tmp_path: Path, host: str) -> None:
    assert "api-keys create" in (await refused(tmp_path, "--host", host, "--port", "0"))["message"]


async def test_a_certificate_that_is_none(tmp_path: Path) -> None:
    nothing = tmp_path / "nothing.pem"
    nothing.write_text("-----BEGIN CERTIFICATE-----\n")
    for where in (nothing, tmp_path / "absent.pem"):
        told = await refused(
            tmp_path / "a",
            TIERED_MEMORY_DAEMON__TLS_CERTIFICATE=str(where),
            TIERED_MEMORY_DAEMON__TLS_KEY=str(where),
        )
        assert "tls_certificate" in told["message"]
