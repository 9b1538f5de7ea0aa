"""Run the scenarios of the protocol's conformance suite that apply to our MCP server over HTTP.

python scripts/mcp_conformance.py npx @modelcontextprotocol/conformance

The suite is a package of npm (Node 22 or newer). Most of its scenarios call tools, prompts and resources of its own
example server; those that look at any server are in APPLICABLE. Needs the extra `server`.
"""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import uvicorn
from starlette.types import ASGIApp, Receive, Scope, Send

from tiered_memory import TieredMemory
from tiered_memory.clock import SystemClock
from tiered_memory.mcp_server import mcp_app, person

APPLICABLE = (
    "server-initialize",
    "ping",
    "tools-list",
    "tools-call-error",
    "resources-list",
    "prompts-list",
    "dns-rebinding-protection",
)
OUTCOME = re.compile(r"Passed: (\d+)/\d+, (\d+) failed")


@dataclass(frozen=True, slots=True)
class AsOnePerson:
    """Authenticates everybody as the same person: the suite brings no key."""

    app: ASGIApp

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Pass a request on."""
        await self.app({**scope, "state": {"principal": person("somebody")}}, receive, send)


async def checked(suite: Sequence[str]) -> bool:
    """Serve an empty memory on a free port, run the scenarios against it, and tell whether all of them passed."""
    with tempfile.TemporaryDirectory() as folder:
        async with TieredMemory.open(Path(folder) / "data") as memory:
            app = AsOnePerson(mcp_app(lambda: memory))
            server = uvicorn.Server(uvicorn.Config(app, port=0, lifespan="off", ws="none", log_level="error"))
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(server.serve)
                while not server.started:
                    await SystemClock().sleep(0.01)
                port = server.servers[0].sockets[0].getsockname()[1]
                passed = [await scenario(suite, one, f"http://127.0.0.1:{port}/") for one in APPLICABLE]
                server.should_exit = True
    return all(passed)


async def scenario(suite: Sequence[str], name: str, url: str) -> bool:
    """Run one scenario and print what came of it."""
    command = [*suite, "server", "--url", url, "--scenario", name]
    run = partial(subprocess.run, command, capture_output=True, text=True, check=False)
    done = await anyio.to_thread.run_sync(run)
    outcome = OUTCOME.search(done.stdout)
    passed = done.returncode == 0 and outcome is not None and outcome[1] != "0" and outcome[2] == "0"
    print(f"{'passed' if passed else 'FAILED'}  {name}")
    return passed


if __name__ == "__main__":
    if len(sys.argv) == 1:
        sys.exit(__doc__)
    sys.exit(0 if anyio.run(checked, sys.argv[1:]) else 1)
