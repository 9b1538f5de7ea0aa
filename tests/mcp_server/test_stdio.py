"""The stdio server as a process: only protocol on its output, a clean end, nothing acknowledged lost."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream
from hypothesis import given, settings
from hypothesis import strategies as st
from mcp_house import asked, command_line, environment, over_stdio, refused
from support import consenting, contents, opened
from typer.testing import CliRunner

from tiered_memory.cli.app import build
from tiered_memory.mcp_server.server import MOST_MESSAGE
from tiered_memory.mcp_server.tools import TOOLS
from tiered_memory.mcp_server.wire import Wire
from tiered_memory.principals import Grant

pytestmark = pytest.mark.anyio
CANARY = "malachitecivet"
EXIT_SECONDS = 20
HELLO = {
    "jsonrpc": "2.0",
    "id": 0,
    "method": "initialize",
    "params": {
        "protocolVersion": "2025-11-25",
        "capabilities": {},
        "clientInfo": {"name": "test", "version": "1"},
    },
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}


class Talk:
    """A process of the command line, spoken to line by line."""

    def __init__(self, process: Process, log: Path) -> None:
        assert process.stdin is not None
        assert process.stdout is not None
        self.process, self.log = process, log
        self.stdin, self.lines = process.stdin, BufferedByteReceiveStream(process.stdout)

    async def say(self, message: dict[str, Any] | bytes) -> None:
        line = message if isinstance(message, bytes) else json.dumps(message).encode()
        await self.stdin.send(line + b"\n")

    async def hear(self) -> dict[str, Any]:
        with anyio.fail_after(60):
            heard: dict[str, Any] = json.loads(await self.lines.receive_until(b"\n", 4 << 20))
        assert heard["jsonrpc"] == "2.0"
        return heard

    async def call(self, number: int, tool: str, arguments: dict[str, Any]) -> None:
        params = {"name": tool, "arguments": arguments}
        await self.say({"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": params})

    async def ended(self) -> int:
        """Return its exit code; it has to come without its output being read."""
        with anyio.fail_after(EXIT_SECONDS):
            return await self.process.wait()


@asynccontextmanager
async def talking(data: Path, *options: str) -> AsyncIterator[Talk]:
    log = data.with_suffix(".log")
    with log.open("wb") as errors:
        process = await anyio.open_process(
            command_line(data, "--user", "alice", "--tenant", "acme", *options),
            stderr=errors,
            env=environment(),
        )
    try:
        talk = Talk(process, log)
        await talk.say(HELLO)
        assert (await talk.hear())["result"]["serverInfo"]["name"] == "tiered-memory"
        await talk.say(READY)
        yield talk
    finally:
        if process.returncode is None:
            process.kill()
        await process.aclose()


@pytest.fixture
async def data(tmp_path: Path) -> Path:
    """A store in which alice has consented."""
    async with opened(tmp_path / "data", settings={"redis_url": "local"}) as memory:
        await consenting(memory, "alice", "acme")
    return tmp_path / "data"


async def kept_in(data: Path) -> list[str]:
    """Open the store as its next owner would, which its former one must have left."""
    async with opened(data, settings={"redis_url": "local"}) as memory:
        return await contents(memory.user("alice", "acme"))


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_ends_it_cleanly_and_loses_nothing_acknowledged(
    data: Path, number: signal.Signals
) -> None:
    """Its input stays open and calls are under way: what was answered is there afterwards."""
    acknowledged = []
    async with talking(data) as talk:
        for count in range(30):
            await talk.call(count + 1, "remember", {"content": f"My {CANARY} number {count} sleeps at noon."})
        for _ in range(15):
            answer = await talk.hear()
            acknowledged.append(f"My {CANARY} number {answer['id'] - 1} sleeps at noon.")
        talk.process.send_signal(number)
        assert await talk.ended() == 0
    assert set(acknowledged) <= set(await kept_in(data))
    assert CANARY not in talk.log.read_text()


async def test_a_peer_that_reads_nothing_cannot_keep_it_from_ending(data: Path) -> None:
    async with talking(data) as talk:
        await talk.call(1, "remember", {"content": "My diary says: " + "it rained. " * 5000})
        kept = json.loads((await talk.hear())["result"]["content"][0]["text"])
        for count in range(10):
            await talk.call(count + 2, "get", {"memory_id": kept["id"]})
        await talk.say({"jsonrpc": "2.0", "id": 99, "method": "ping"})
        talk.process.terminate()
        assert await talk.ended() == 0


async def test_the_end_of_its_input_ends_it_and_broken_messages_do_not(data: Path) -> None:
    async with talking(data) as talk:
        await talk.say(b'{"jsonrpc":"2.0","id":1,"method":"' + b"x" * (MOST_MESSAGE + 1) + b'"}')
        too_long = await talk.hear()
        await talk.say(b"this is no message")
        await talk.say(b"")
        await talk.say({"jsonrpc": "2.0", "id": 2, "method": "ping"})
        assert await talk.hear() == {"jsonrpc": "2.0", "id": 2, "result": {}}
        await talk.call(1, "remember", {"content": f"My {CANARY} sleeps at noon."})
        assert (await talk.hear())["id"] == 1
        await talk.stdin.aclose()
        assert await talk.ended() == 0
    assert (too_long["id"], too_long["error"]["code"]) == (None, -32700)
    assert "too long" in too_long["error"]["message"]
    assert await kept_in(data) == [f"My {CANARY} sleeps at noon."]
    assert CANARY not in talk.log.read_text()


async def test_a_peer_that_is_gone_ends_it_too(data: Path) -> None:
    """Nobody takes the answers any more, then the input ends: that is no crash."""
    async with talking(data) as talk:
        await talk.lines.aclose()
        for count in range(5):
            await talk.call(count, "remember", {"content": f"My {CANARY} number {count} sleeps at noon."})
        await talk.stdin.aclose()
        assert await talk.ended() == 0
    assert "Traceback" not in talk.log.read_text()


async def test_role_and_reading_only_are_said_on_the_command_line(data: Path) -> None:
    options = ("--user", "alice", "--tenant", "acme", "--role", "auditor", "--read-only")
    async with over_stdio(data, *options) as client:
        listed = [one.name for one in (await client.list_tools()).tools]
        assert listed == [spec.name for spec in TOOLS if spec.grant is Grant.READ]
        assert "memories:write" in await refused(client, "remember", {"content": "I like tea."})
        assert "the role 'auditor' may not" in await refused(client, "list", {})


async def test_another_user_of_the_store_is_another_person(data: Path) -> None:
    async with opened(data, settings={"redis_url": "local"}) as memory:
        kept = await memory.user("alice", "acme").add(f"My {CANARY} sleeps at noon.")
    async with over_stdio(data, "--user", "alice", "--tenant", "other") as client:
        assert (await asked(client, "list"))["memories"] == []
        assert (await refused(client, "get", {"memory_id": kept.id})).startswith("NotFoundError")


@pytest.mark.parametrize(
    ("options", "code", "words"),
    [
        ((), 2, "--user"),
        (("--user", ""), 1, "InvalidInputError"),
        (("--user", "x" * 257), 1, "InvalidInputError"),
        (("--user", "alice", "--config", "missing.toml"), 1, "ConfigurationError"),
    ],
)
def test_a_wrong_command_line_is_refused(
    tmp_path: Path, options: tuple[str, ...], code: int, words: str
) -> None:
    given_up = CliRunner().invoke(build(), ["mcp", "--json", "--data", str(tmp_path / "data"), *options])
    assert given_up.exit_code == code
    assert words in given_up.stderr
    assert given_up.stdout == ""


def test_without_the_extra_it_says_what_to_install(tmp_path: Path) -> None:
    command = ["tiered-memory", "mcp", "--json", "--data", str(tmp_path / "data"), "--user", "alice"]
    code = f"import sys; sys.modules['mcp'] = None; sys.argv = {command}; from tiered_memory.cli import main; main()"
    told = run_python(code, check=False)
    assert (told.returncode, told.stdout) == (1, "")
    said = json.loads(told.stderr.splitlines()[-1])
    assert said["error"] == "ConfigurationError"
    assert "pip install 'tiered-memory[server]'" in said["message"]
    assert not (tmp_path / "data").exists()


def run_python(code: str, *, check: bool = True) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env=environment(), capture_output=True, text=True, check=check
    )


def test_the_command_line_loads_mcp_for_its_own_command_only() -> None:
    code = "import sys, tiered_memory.cli.app as app; app.build(); print(*(n for n in sys.modules if n == 'mcp'))"
    loaded = run_python(code)
    assert loaded.stdout.strip() == ""


def test_what_others_print_stays_off_the_wire() -> None:
    code = (
        "import anyio, os\n"
        "from tiered_memory.mcp_server.wire import standard_wire\n"
        "with standard_wire(100) as wire:\n"
        "    print('stray', flush=True)\n"
        "    os.write(1, b'stray too\\n')\n"
        "    anyio.run(wire.write, 'protocol\\n')\n"
        "print('after')\n"
    )
    ran = run_python(code)
    assert ran.stdout == "protocol\nafter\n"
    assert ran.stderr == "stray\nstray too\n"


LINES = st.lists(st.binary(max_size=30).filter(lambda line: b"\n" not in line), max_size=12)


@settings(max_examples=60)
@given(LINES, st.integers(1, 20), st.lists(st.integers(1, 17), min_size=1), st.booleans())
def test_lines_come_whole_however_they_are_cut(
    lines: list[bytes], most: int, cuts: list[int], ended: bool
) -> None:
    """Through a pipe in pieces, and from a file: the same lines, the too long ones answered and left out."""
    sent = b"\n".join(lines) + (b"\n" if ended else b"")
    whole = sent.split(b"\n")
    last_is_cut_off = len(whole[-1]) > most
    expected = [line.decode(errors="replace") for line in whole if len(line) <= most and line.strip()]
    too_long = sum(len(line) > most for line in whole) - last_is_cut_off
    assert anyio.run(through_a_pipe, sent, most, cuts) == (expected, too_long)
    assert anyio.run(through_a_file, sent, most) == (expected, too_long)


async def through_a_pipe(sent: bytes, most: int, cuts: list[int]) -> tuple[list[str], int]:
    reads, writes = os.pipe()

    async def feed() -> None:
        left, turn = sent, 0
        while left:
            piece, left = left[: cuts[turn % len(cuts)]], left[cuts[turn % len(cuts)] :]
            os.write(writes, piece)
            turn += 1
            await anyio.lowlevel.checkpoint()
        os.close(writes)

    async with anyio.create_task_group() as tasks:
        tasks.start_soon(feed)
        return await heard_from(reads, most)


async def through_a_file(sent: bytes, most: int) -> tuple[list[str], int]:
    with tempfile.TemporaryFile() as file:
        file.write(sent)
        file.seek(0)
        return await heard_from(os.dup(file.fileno()), most)


async def heard_from(reads: int, most: int) -> tuple[list[str], int]:
    with tempfile.TemporaryFile() as answers:
        wire = Wire(reads, answers.fileno(), most)
        heard = [line async for line in wire]
        os.close(reads)
        answers.seek(0)
        return heard, answers.read().count(b'"code":-32700')
