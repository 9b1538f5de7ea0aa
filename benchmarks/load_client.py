"""Load on a daemon from a process of its own: as many connections as callers, one request after the other on each.

python -m benchmarks.load_client HOST PORT USERS CALLERS SECONDS SEED

Requests are written by hand, because a general client would take the processor from the daemon that is measured.
"""

from __future__ import annotations

import asyncio
import json
import random
import sys
from dataclasses import dataclass, field

from benchmarks.synthetic import Writer
from benchmarks.timing import since_ms
from tiered_memory.clock import stopwatch

TENANT = "bench"
SEARCHES = 0.8
"""Share of the requests that search; the rest add."""
QUESTIONS = 500
FINE = range(200, 300)


@dataclass(slots=True)
class Tally:
    """What the callers saw: milliseconds by kind, with the second in which each ended, and failures by status."""

    search: list[tuple[float, float]] = field(default_factory=list)
    add: list[tuple[float, float]] = field(default_factory=list)
    failures: dict[str, int] = field(default_factory=dict)

    def fail(self, why: str) -> None:
        """Count a failure."""
        self.failures[why] = self.failures.get(why, 0) + 1


@dataclass(frozen=True, slots=True)
class Plan:
    """Where the load goes and how much it is."""

    host: str
    port: int
    users: int
    callers: int
    seconds: float
    seed: int


async def drive(plan: Plan) -> Tally:
    """Make the load and return what was seen."""
    tally, begun = Tally(), stopwatch()
    async with asyncio.TaskGroup() as tasks:
        for number in range(plan.callers):
            tasks.create_task(_call(plan, random.Random(plan.seed * 1000 + number), tally, begun))
    return tally


async def _call(plan: Plan, chance: random.Random, tally: Tally, begun: float) -> None:
    writer = Writer(chance.randrange(1 << 30))
    questions, messages = writer.questions(QUESTIONS), writer.messages(QUESTIONS)
    reader, sender = await asyncio.open_connection(plan.host, plan.port)
    try:
        while (at := stopwatch() - begun) < plan.seconds:
            searching = chance.random() < SEARCHES
            user = f"user{chance.randrange(plan.users)}"
            if searching:
                request = _request(user, "search", {"question": chance.choice(questions), "limit": 5})
            else:
                request = _request(user, "memories", {"content": chance.choice(messages), "session": "load"})
            sent = stopwatch()
            sender.write(request)
            status = await _answer(reader)
            seen = tally.search if searching else tally.add
            if status in FINE:
                seen.append((at, since_ms(sent)))
            else:
                tally.fail(str(status))
    finally:
        sender.close()


def _request(user: str, path: str, body: dict[str, object]) -> bytes:
    said = json.dumps(body).encode()
    head = (
        f"POST /v1/tenants/{TENANT}/users/{user}/{path} HTTP/1.1\r\nHost: localhost\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(said)}\r\n\r\n"
    )
    return head.encode() + said


async def _answer(reader: asyncio.StreamReader) -> int:
    head = await reader.readuntil(b"\r\n\r\n")
    status, length = int(head[9:12]), 0
    for line in head.split(b"\r\n")[1:]:
        name, _, text = line.partition(b":")
        if name.lower() == b"content-length":
            length = int(text)
    await reader.readexactly(length)
    return status


def main(arguments: list[str]) -> None:
    """Run as told by the arguments, and print what was seen as JSON."""
    host, port, users, callers, seconds, seed = arguments
    plan = Plan(host, int(port), int(users), int(callers), float(seconds), int(seed))
    tally = asyncio.run(drive(plan))
    print(json.dumps({"search": tally.search, "add": tally.add, "failures": tally.failures}))


if __name__ == "__main__":
    main(sys.argv[1:])
