"""The way to a Redis server: what is asked within one turn of the event loop travels in one pipeline.

A command costs the client some 150 microseconds on its own and a third of that in company. Each pipeline has a
deadline, never retries, and reports to a breaker, so that a frozen server costs its callers little.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Any

import anyio
from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import NoScriptError, RedisError

from tiered_memory.clock import Clock, stopwatch
from tiered_memory.errors import ClosedError, ConfigurationError, HotTierError
from tiered_memory.tiers.breaker import Breaker, BreakerState

Argument = str | bytes | int
Command = tuple[bytes | int, ...]

_URGENT_DEADLINES = 4
_MOST_CALLS = 128
_MOST_BYTES = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class RedisLimits:
    """Bounds on what a Redis server may cost its callers.

    `connect_seconds`, `socket_seconds` and `call_seconds` (all > 0) bound connecting, one socket operation and a
    whole call. An answer that took more than `slow_seconds` counts as none. `failures_to_open` (>= 1) of those in a
    row, or as many as took `patience_seconds` together, open the breaker for `cooldown_seconds`: a user's first call
    asks up to three times, and all of them together must not cost more than one deadline.
    """

    connect_seconds: float = 0.1
    socket_seconds: float = 0.19
    call_seconds: float = 0.2
    slow_seconds: float = 0.05
    patience_seconds: float = 0.1
    connections: int = 8
    failures_to_open: int = 3
    cooldown_seconds: float = 1.0


@dataclass(frozen=True, slots=True)
class Script:
    """A Lua script and the name the server knows it by."""

    source: str
    sha1: str


@lru_cache
def load_script(name: str) -> Script:
    """Read `lua/<name>.lua` of this package; each is read once."""
    source = files(__package__).joinpath("lua", f"{name}.lua").read_text("utf-8")
    return Script(source, hashlib.sha1(source.encode(), usedforsecurity=False).hexdigest())


@dataclass(slots=True, eq=False)
class _Call:
    command: Command
    script: Script | None
    reply: asyncio.Future[Any]

    def settle(self, outcome: Any) -> None:
        """Give the caller its reply or its own copy of the failure, unless it has gone."""
        if self.reply.done():
            return
        if isinstance(outcome, Exception):
            self.reply.set_exception(_translated(outcome))
        else:
            self.reply.set_result(outcome)


class RedisPipeline:
    """Sends commands to one server at `url` (`redis://`, `rediss://` or `unix://`) within `limits`.

    Raises `ConfigurationError` when the URL is not understood. Nothing is connected before the first call.
    """

    def __init__(self, url: str, *, limits: RedisLimits, clock: Clock) -> None:
        self._limits = limits
        self._clock = clock
        self._redis = _connect(url, limits)
        self._breaker = Breaker(
            failures_to_open=limits.failures_to_open,
            cooldown_seconds=limits.cooldown_seconds,
            patience_seconds=limits.patience_seconds,
        )
        self._waiting: list[_Call] = []
        self._waiting_bytes = 0
        self._deliveries: set[asyncio.Task[None]] = set()
        self._closed = False

    @property
    def breaker_state(self) -> BreakerState:
        """Whether calls pass, are refused, or wait for a probe's outcome."""
        return self._breaker.state

    async def run(
        self, script: Script, keys: Sequence[str], arguments: Sequence[Argument] = (), *, urgent: bool = False
    ) -> Any:
        """Run a script on `keys`, which must share one hash tag; return its reply (bulk strings as bytes).

        Raises `HotTierError` when the server refuses, fails or does not answer in time: a write may then have
        happened or not. What is `urgent` is tried with the breaker open too, is given more time, and is tried twice:
        it must be safe to repeat.
        """
        command = ("EVALSHA", script.sha1, len(keys), *keys, *arguments)
        if urgent:
            with contextlib.suppress(HotTierError):
                return await self._ask(command, script, urgent=True)
        return await self._ask(command, script, urgent=urgent)

    async def command(self, *command: Argument) -> Any:
        """Send one plain command; return its reply. Raises like `run`."""
        return await self._ask(command, None)

    async def close(self) -> None:
        """Let what is under way finish within its deadline, then disconnect; safe to call twice."""
        self._closed = True
        self._dispatch()
        if self._deliveries:
            await asyncio.wait(self._deliveries)
        # A connection that breaks while it is closed is closed.
        with contextlib.suppress(RedisError, OSError):
            await self._redis.aclose()

    async def _ask(
        self, command: tuple[Argument, ...], script: Script | None, *, urgent: bool = False
    ) -> Any:
        if self._closed:
            raise ClosedError("the hot tier is closed")
        if not (self._breaker.closed or urgent):
            self._probe()
            raise HotTierError("the hot tier did not answer before and is being left alone for a moment")
        call = _Call(_encoded(command), script, asyncio.get_running_loop().create_future())
        if urgent:
            self._send_off([call], self._limits.call_seconds * _URGENT_DEADLINES)
        else:
            self._enqueue(call)
        return await call.reply

    def _probe(self) -> None:
        """Look whether the server is back, without letting a caller wait for that."""
        if self._breaker.take_probe(self._clock.monotonic()):
            reply = asyncio.get_running_loop().create_future()
            reply.add_done_callback(asyncio.Future.exception)
            self._enqueue(_Call(_encoded(("PING",)), None, reply))

    def _enqueue(self, call: _Call) -> None:
        if not self._waiting:
            asyncio.get_running_loop().call_soon(self._dispatch)
        self._waiting.append(call)
        self._waiting_bytes += sum(len(part) for part in call.command if not isinstance(part, int))
        if len(self._waiting) >= _MOST_CALLS or self._waiting_bytes >= _MOST_BYTES:
            self._dispatch()

    def _dispatch(self) -> None:
        if not self._waiting:
            return
        calls, self._waiting, self._waiting_bytes = self._waiting, [], 0
        self._send_off(calls, self._limits.call_seconds)

    def _send_off(self, calls: list[_Call], seconds: float) -> None:
        """A task of its own: a caller that is cancelled must not take the others' calls with it."""
        task = asyncio.get_running_loop().create_task(self._deliver(calls, seconds))
        self._deliveries.add(task)
        task.add_done_callback(self._deliveries.discard)

    async def _deliver(self, calls: list[_Call], deadline_seconds: float) -> None:
        outcomes: Sequence[Any] = [HotTierError("the hot tier's call was interrupted")] * len(calls)
        answered, begun, late = False, stopwatch(), list[float]()
        timer = self._watch_loop(late)
        try:
            with anyio.fail_after(deadline_seconds):
                outcomes = await self._exchange(calls)
            answered = True
        except (RedisError, OSError) as error:
            outcomes = [error] * len(calls)
        finally:
            timer.cancel()
            self._report(stopwatch() - begun - sum(late), answered=answered)
            for call, outcome in zip(calls, outcomes, strict=True):
                call.settle(outcome)

    def _watch_loop(self, late: list[float]) -> asyncio.TimerHandle:
        """Note how late a timer comes: while this process was busy with other things no server could answer it."""
        loop = asyncio.get_running_loop()
        due = loop.time() + self._limits.slow_seconds / 2
        return loop.call_at(due, lambda: late.append(loop.time() - due))

    def _report(self, seconds: float, *, answered: bool) -> None:
        if answered and seconds <= self._limits.slow_seconds:
            self._breaker.succeeded()
        else:
            self._breaker.failed(self._clock.monotonic(), seconds)

    async def _exchange(self, calls: Sequence[_Call]) -> list[Any]:
        replies = await self._send([call.command for call in calls])
        unknown = [index for index, reply in enumerate(replies) if isinstance(reply, NoScriptError)]
        if unknown:
            again = await self._send_with_scripts([calls[index] for index in unknown])
            for index, reply in zip(unknown, again, strict=True):
                replies[index] = reply
        return replies

    async def _send_with_scripts(self, calls: Sequence[_Call]) -> list[Any]:
        sources = dict.fromkeys(call.script.source for call in calls if call.script)
        loads = [_encoded(("SCRIPT", "LOAD", source)) for source in sources]
        replies = await self._send([*loads, *(call.command for call in calls)])
        return replies[len(loads) :]

    async def _send(self, commands: Sequence[Command]) -> list[Any]:
        async with self._redis.pipeline(transaction=False) as pipe:
            for command in commands:
                pipe.execute_command(*command)
            return await pipe.execute(raise_on_error=False)


def _connect(url: str, limits: RedisLimits) -> Redis:
    try:
        pool = BlockingConnectionPool.from_url(
            url,
            max_connections=limits.connections,
            timeout=limits.call_seconds,
            socket_connect_timeout=limits.connect_seconds,
            socket_timeout=limits.socket_seconds,
            # The driver's own default is ten retries of five seconds each.
            retry=Retry(NoBackoff(), 0),
            # RESP2 needs no handshake: a new connection costs no extra round trip.
            protocol=2,
        )
    except ValueError as error:
        raise ConfigurationError("the Redis URL must start with redis://, rediss:// or unix://") from error
    return Redis.from_pool(pool)


def _encoded(command: Sequence[Argument]) -> Command:
    return tuple(part.encode() if isinstance(part, str) else part for part in command)


def _translated(error: Exception) -> HotTierError:
    """Name what happened; the driver's own text may hold keys and payloads, so it is left behind."""
    if isinstance(error, HotTierError):
        return HotTierError(str(error))
    if isinstance(error, TimeoutError):
        return HotTierError("the hot tier did not answer in time")
    return HotTierError(f"the hot tier failed: {type(error).__name__}")
