"""The client amid trouble: daemons that restart, stall, break off, or are none at all."""

from __future__ import annotations

import logging
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.lowlevel
import httpx2
import pytest
from acceptance_house import HTTP, PURPOSE, House, served
from anyio.abc import SocketStream
from support import opened

from tiered_memory import TieredMemory
from tiered_memory.caller import Caller
from tiered_memory.config import load_settings
from tiered_memory.daemon.serve import Daemon
from tiered_memory.daemon_config import DaemonSettings
from tiered_memory.errors import (
    AccessDeniedError,
    ClosedError,
    ConfigurationError,
    CorruptionError,
    InvalidInputError,
    OutcomeUnknownError,
    StorageError,
    UnauthenticatedError,
)
from tiered_memory.privacy.requests import Right

pytestmark = pytest.mark.anyio
SAID = "canary-content"
KEY = "canary-key"
WHO = "canary-person"
HTML = b"HTTP/1.1 %d Sorry\r\nContent-Type: text/html\r\nContent-Length: 13\r\nConnection: close\r\n\r\n<html></html>"
Answer = Callable[[SocketStream, bytes], Awaitable[None]]


@asynccontextmanager
async def answering(answer: Answer, requests: list[bytes] | None = None) -> AsyncIterator[str]:
    """Serve requests by hand: `answer` gets the stream and the request's head."""
    seen = requests if requests is not None else []

    async def handle(stream: SocketStream) -> None:
        async with stream:
            seen.append(await stream.receive(65_536))
            await answer(stream, seen[-1])

    listener = await anyio.create_tcp_listener(local_host="127.0.0.1")
    port = listener.extra(anyio.abc.SocketAttribute.local_port)
    async with listener, anyio.create_task_group() as tasks:
        tasks.start_soon(listener.serve, handle)
        yield f"http://127.0.0.1:{port}"
        tasks.cancel_scope.cancel()


def client(address: str, **given: Any) -> TieredMemory:
    return TieredMemory.open(address, **{"api_key": KEY, "timeout_seconds": 10.0} | given)


async def breaking(stream: SocketStream, _request: bytes) -> None:
    """Close the connection without a word."""


async def stalling(stream: SocketStream, _request: bytes) -> None:
    await anyio.sleep_forever()


def saying(status: int, body: bytes = HTML) -> Answer:
    async def answer(stream: SocketStream, _request: bytes) -> None:
        await stream.send(body % status)

    return answer


# --- nobody there, or somebody else --------------------------------------------------------------------------


async def test_nobody_listens() -> None:
    async with answering(breaking) as address:
        pass
    async with client(address) as memory:
        for call in (memory.stats, lambda: memory.user(WHO).add(SAID)):
            with pytest.raises(StorageError, match="nothing was done: see that it runs") as told:
                await call()
            assert type(told.value) is StorageError


async def test_there_is_no_such_socket(tmp_path: Path) -> None:
    async with client(f"unix:{tmp_path / 'none.sock'}") as memory:
        with pytest.raises(StorageError, match="cannot be reached"):
            await memory.stats()


@pytest.mark.parametrize("status", [200, 201, 302, 404, 500, 502])
async def test_a_proxys_page_is_no_answer(status: int, tmp_path: Path) -> None:
    async with answering(saying(status)) as address, client(address) as memory:
        for call in (
            memory.user(WHO).list,
            memory.stats,
            lambda: memory.user(WHO).export(tmp_path / "a.zip"),
        ):
            with pytest.raises((StorageError, LookupError)) as told:
                await call()
            assert "html" not in str(told.value)
    assert list(tmp_path.iterdir()) == []


async def test_a_key_that_is_none(shared_house: House) -> None:
    async with client(shared_house.addresses[HTTP]) as memory:
        with pytest.raises(UnauthenticatedError):
            await memory.stats()
    async with client(shared_house.addresses[HTTP], api_key=None) as memory:
        with pytest.raises(UnauthenticatedError):
            await memory.user(WHO).add(SAID)


# --- no answer -----------------------------------------------------------------------------------------------


async def test_a_broken_connection_is_tried_again_where_that_does_no_harm() -> None:
    requests: list[bytes] = []
    async with answering(breaking, requests) as address, client(address) as memory:
        with pytest.raises(StorageError, match="repeat the call") as told:
            await memory.stats()
        assert type(told.value) is StorageError
        assert len(requests) == 3
        with pytest.raises(OutcomeUnknownError):
            await memory.user(WHO).add(SAID)
        assert len(requests) == 6
        assert len({keys(one) for one in requests[3:]}) == 1


def keys(request: bytes) -> bytes:
    return next(one for one in request.lower().split(b"\r\n") if one.startswith(b"idempotency-key"))


async def test_an_act_that_only_a_process_remembers_is_not_repeated_for_another() -> None:
    requests: list[bytes] = []
    async with answering(breaking, requests) as address, client(address) as memory:
        with pytest.raises(OutcomeUnknownError, match="may have acted"):
            await memory.user(WHO).requests.open(Right.ACCESS)
        assert len(requests) == 1


async def test_a_pause_that_is_too_long_leaves_the_outcome_open() -> None:
    requests: list[bytes] = []
    async with answering(stalling, requests) as address, client(address, timeout_seconds=0.1) as memory:
        with pytest.raises(OutcomeUnknownError):
            await memory.user(WHO).requests.open(Right.ACCESS)
        assert len({keys(one) for one in requests}) == 1
        with pytest.raises(StorageError, match="repeat the call"):
            await memory.user(WHO).list()


async def test_a_busy_daemon_is_asked_again() -> None:
    answers = [b"HTTP/1.1 503 Busy\r\nRetry-After: 0\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"] * 2
    answers.append(b'HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\n{"items":[]}')

    async def answer(stream: SocketStream, _request: bytes) -> None:
        await stream.send(answers.pop(0))

    async with answering(answer) as address, client(address) as memory:
        assert await memory.user(WHO).list() == []
    assert answers == []


async def test_an_archive_that_breaks_off_leaves_no_file(tmp_path: Path) -> None:
    facts = (
        b'{"path":"../../evil.zip","id":"x","kind":"access","made_at":"2026-01-01T00:00:00Z",'
        b'"memories":0,"bytes":999,"left_out":{},"damaged":[],"public_key":"","sha256":""}'
    )
    head = b"HTTP/1.1 200 OK\r\nContent-Type: application/zip\r\nTiered-Memory-Archive: " + facts

    async def answer(stream: SocketStream, _request: bytes) -> None:
        await stream.send(head + b"\r\nContent-Length: 2\r\nConnection: close\r\n\r\nPK")

    async with answering(answer) as address, client(address) as memory:
        with pytest.raises((CorruptionError, StorageError)):
            await memory.user(WHO).export(tmp_path)
    assert list(tmp_path.iterdir()) == []


# --- a daemon that comes back --------------------------------------------------------------------------------


async def test_a_restart_between_calls_is_not_noticed(tmp_path: Path) -> None:
    socket = tmp_path / "d.sock"
    settings = {"redis_url": "local", "ballast_mib": 0}
    async with client(f"unix:{socket}", api_key=None) as memory:
        for number in range(2):
            async with (
                opened(tmp_path / "store", settings=settings) as owner,
                served(owner, DaemonSettings(socket=socket)),
            ):
                user = memory.user(WHO)
                await user.consent.grant(PURPOSE, notice="notice 1")
                await user.add(f"Number {number} counts.", importance=0.9)
                assert len(await user.list()) == number + 1


async def ready(address: str) -> None:
    """Wait until a daemon has opened its memory."""
    with anyio.fail_after(60):
        async with httpx2.AsyncClient() as http:
            while (await http.get(f"{address}/readyz")).status_code != 200:
                await anyio.lowlevel.checkpoint()


async def test_a_listener_does_not_hold_up_a_daemon_that_ends(tmp_path: Path) -> None:
    """Running requests have a minute to end, and this one would never."""
    daemon_settings = {"port": 0, "drain_seconds": 60, "inspector": False, "mcp": False}
    settings = load_settings(
        data_dir=tmp_path / "store", redis_url="local", ballast_mib=0, daemon=daemon_settings
    )
    addresses, listening = list[str](), anyio.Event()

    def heard(address: str) -> None:
        addresses.append(address)
        listening.set()

    daemon = Daemon(settings, on_listening=heard)
    async with anyio.create_task_group() as tasks:
        tasks.start_soon(daemon.run)
        await listening.wait()
        await ready(addresses[0])
        async with client(addresses[0], api_key=None) as memory, memory.events() as events:
            daemon.stopping.set()
            with anyio.fail_after(20):
                assert [one async for one in events] == []


# --- opened, closed, misused ---------------------------------------------------------------------------------


async def test_close_twice_and_use_outside(shared_house: House) -> None:
    memory = client(shared_house.addresses[HTTP], api_key=shared_house.secret)
    with pytest.raises(ClosedError):
        await memory.stats()
    async with memory:
        assert (await memory.health()).ready
        await memory.close()
        await memory.close()
    with pytest.raises(ClosedError):
        await memory.user(WHO).list()
    with pytest.raises(ClosedError):
        await anext(memory.events())
    async with memory:
        assert (await memory.health()).ready


@pytest.mark.parametrize(
    ("address", "given"),
    [
        ("http://", {}),
        ("http:///path", {}),
        ("http://host:99999", {}),
        ("http://name:secret@host", {}),
        ("http://host/?query=1", {}),
        ("unix:", {}),
        ("http://host", {"api_key": "line\nend"}),
        ("http://host", {"api_key": "schlüssel"}),
        ("http://host", {"api_key": ""}),
        ("http://host", {"timeout_seconds": 0}),
        ("http://host", {"timeout_seconds": float("nan")}),
        ("http://host", {"timeout_seconds": "5"}),
        ("http://host", {"embedder": None}),
    ],
)
def test_addresses_and_keys_that_are_none(address: str, given: dict[str, Any]) -> None:
    with pytest.raises(ConfigurationError) as told:
        client(address, **given)
    assert "secret" not in str(told.value)
    assert "line" not in str(told.value).replace("a line's end", "")


async def test_what_cannot_be_said_is_refused_before_it_is_sent(shared_house: House) -> None:
    async with client(shared_house.addresses[HTTP], api_key=shared_house.secret) as memory:
        user, before = memory.user(WHO), len(shared_house.served)
        with pytest.raises(InvalidInputError):
            await user.add("lone \ud800")
        with pytest.raises(InvalidInputError):
            await memory.forecast(policy=object())  # type: ignore[arg-type]
        with pytest.raises(InvalidInputError):
            memory.user("lone \ud800")
        with pytest.raises(InvalidInputError):
            memory.user(WHO, caller=Caller(actor="\ud800"))
        with pytest.raises(TypeError):
            await user.add()  # type: ignore[call-arg]
        with pytest.raises(InvalidInputError, match="cannot be given"):
            await user.add(SAID, colour="red")  # type: ignore[call-arg]
        assert len(shared_house.served) == before


async def test_long_answers_arrive(shared_house: House) -> None:
    owner = shared_house.owner.user(shared_house.name(), "acme")
    await owner.consent.grant(PURPOSE, notice="notice 1")
    for number in range(40):
        await owner.add(f"{number} " + "word " * 3000, importance=0.9)
    async with client(shared_house.addresses[HTTP], api_key=shared_house.secret) as memory:
        found = await memory.user(owner.subject.user, "acme").list(limit=1000)
    assert sum(len(one.content) for one in found) > 500_000


# --- nothing leaks -------------------------------------------------------------------------------------------


async def test_no_id_content_or_key_in_logs_errors_or_reprs(
    shared_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    made = await shared_house.owner.api_keys.create("k", grants=["memories:read"])
    memory = client(shared_house.addresses[HTTP], api_key=made.secret)
    user = memory.user(WHO, "acme")
    told = [repr(memory), repr(user), str(vars(memory)), str(vars(user))]
    async with memory:
        await user.list()
        for call in (user.add, user.get, user.history):
            with pytest.raises((AccessDeniedError, InvalidInputError)) as error:
                await call(SAID)
            told += traceback.format_exception(error.value)
    # pytest hears the loggers that pass nothing on, the silenced one of the server's own accesses among them
    told += [record.getMessage() for record in caplog.records if record.name != "uvicorn.access"]
    for secret in (made.secret, WHO, SAID):
        assert not [one for one in told if secret in one and "test_client.py" not in one]


async def test_other_peoples_requests_are_logged_as_ever(
    shared_house: House, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with (
        client(shared_house.addresses[HTTP], api_key=shared_house.secret) as memory,
        httpx2.AsyncClient() as own,
    ):
        await memory.stats()
        await own.get(f"{shared_house.addresses[HTTP]}/livez")
    lines = [record.getMessage() for record in caplog.records if record.name == "httpx2"]
    assert len(lines) == 1
    assert "/livez" in lines[0]
