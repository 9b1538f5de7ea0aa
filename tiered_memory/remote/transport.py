"""Requests to a daemon: one pool of connections, safe repetitions, errors as the library's own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx2

from tiered_memory.caller import Caller
from tiered_memory.clock import Clock, SystemClock
from tiered_memory.errors import (
    ClosedError,
    ConfigurationError,
    OutcomeUnknownError,
    StorageError,
    TieredMemoryError,
)
from tiered_memory.unix_sockets import reachable
from tiered_memory.wire.codec import Call, document
from tiered_memory.wire.operation import Carries, Effect, Operation
from tiered_memory.wire.problems import error_of

UNIX = "unix:"
REPEATS = 3
"""Times that a request which may be repeated is sent in all."""
PAUSE_SECONDS = 0.2
AGAIN = frozenset({429, 503})
MOST_PAUSE_SECONDS = 5.0
FAILED = 400


@dataclass(frozen=True, slots=True, kw_only=True)
class Address:
    """Where the daemon is, and what admits us. `timeout_seconds` bounds a connection and each pause in an answer."""

    url: str
    api_key: str | None = None
    timeout_seconds: float = 30.0


class Transport:
    """Sends calls. Open it before use."""

    def __init__(self, address: Address, clock: Clock | None = None) -> None:
        self._address = address
        self._clock = clock or SystemClock()
        self._client: httpx2.AsyncClient | None = None
        self._stack = ExitStack()

    def open(self) -> None:
        """Get ready to send; nothing is sent yet."""
        headers = (
            {} if self._address.api_key is None else {"Authorization": f"Bearer {self._address.api_key}"}
        )
        url, sockets = self._address.url, None
        if url.startswith(UNIX):
            name = self._stack.enter_context(reachable(Path(url.removeprefix(UNIX))))
            sockets, url = httpx2.AsyncHTTPTransport(uds=name), "http://localhost"
        self._client = httpx2.AsyncClient(
            base_url=url, headers=headers, timeout=self._address.timeout_seconds, transport=sockets
        )

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
        self._stack.close()

    async def send(self, operation: Operation, call: Call, caller: Caller | None, key: str = "") -> bytes:
        """Return the body of a call's answer.

        A request that reads, is idempotent, or bears `key` is repeated when the daemon was busy or unreachable.

        Raises:
            TieredMemoryError: what the daemon answered, as the embedded memory would have raised it.
            OutcomeUnknownError: no answer came to a request that may have acted.
            StorageError: the daemon cannot be reached.
        """
        headers = _headers(caller, key)
        if call.body is not None:
            headers["Content-Type"] = Carries.JSON.value
        safe = operation.effect is not Effect.ACTS or bool(key)
        for left in reversed(range(REPEATS if safe else 1)):
            try:
                response = await self._opened().request(
                    operation.verb, call.path, params=list(call.query), content=call.body, headers=headers
                )
            except httpx2.TransportError as error:
                if left == 0:
                    raise _lost(error, acted=not safe) from None
                await self._clock.sleep(PAUSE_SECONDS)
                continue
            if response.status_code in AGAIN and left:
                await self._clock.sleep(_pause(response.headers))
                continue
            return _body(response)
        raise AssertionError  # pragma: no cover - the last turn returns or raises

    @asynccontextmanager
    async def stream(
        self,
        operation: Operation,
        call: Call,
        caller: Caller | None,
        content: AsyncIterator[bytes] | None = None,
    ) -> AsyncIterator[httpx2.Response]:
        """Give an answer whose body is read piece by piece; nothing is repeated. Raises as `send`."""
        headers = _headers(caller, "")
        if content is not None:
            headers["Content-Type"] = operation.takes.value
        try:
            async with self._opened().stream(
                operation.verb, call.path, params=list(call.query), content=content, headers=headers
            ) as response:
                if response.status_code >= FAILED:
                    await response.aread()
                    raise _error(response)
                yield response
        except httpx2.TransportError as error:
            raise _lost(error, acted=operation.effect is Effect.ACTS) from None

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            raise ClosedError
        return self._client


def _headers(caller: Caller | None, key: str) -> dict[str, str]:
    found = {"Idempotency-Key": key} if key else {}
    if caller is not None:
        named = {"Role": caller.role, "Actor": caller.actor, "Context": caller.context}
        found |= {f"Tiered-Memory-{name}": quote(word, safe="") for name, word in named.items() if word}
    return found


def _body(response: httpx2.Response) -> bytes:
    if response.status_code >= FAILED:
        raise _error(response)
    return response.content


def _error(response: httpx2.Response) -> TieredMemoryError:
    return error_of(response.status_code, document(response.content))


def _pause(headers: Mapping[str, str]) -> float:
    told = headers.get("retry-after", "")
    return min(float(told), MOST_PAUSE_SECONDS) if told.isdigit() else PAUSE_SECONDS


def _lost(error: httpx2.TransportError, *, acted: bool) -> TieredMemoryError:
    if isinstance(error, httpx2.UnsupportedProtocol):
        return ConfigurationError("the daemon's address must begin with http://, https:// or unix:")
    if isinstance(error, httpx2.ConnectError | httpx2.ConnectTimeout | httpx2.PoolTimeout):
        return StorageError("the daemon cannot be reached; nothing was done")
    if acted:
        return OutcomeUnknownError(
            "no answer came from the daemon; repeat the call with the same operation id"
        )
    return StorageError("no answer came from the daemon; repeat the call")
