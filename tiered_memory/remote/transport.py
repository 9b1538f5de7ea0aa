"""Requests to a daemon: one pool of connections, safe repetitions, errors as the library's own."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import httpx2

from tiered_memory.caller import Caller
from tiered_memory.clock import Clock, SystemClock
from tiered_memory.errors import ClosedError, OutcomeUnknownError, StorageError, TieredMemoryError
from tiered_memory.remote.address import Address
from tiered_memory.unix_sockets import reachable
from tiered_memory.wire.codec import Call, document
from tiered_memory.wire.operation import Effect, Operation
from tiered_memory.wire.problems import error_of

REPEATS = 3
"""Times that a request which may be repeated is sent in all."""
PAUSE_SECONDS = 0.2
AGAIN = frozenset({429, 503})
MOST_PAUSE_SECONDS = 5.0
NOT_DONE = 300
"""The first status that is no success; nobody of ours redirects."""
NOTHING_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout, httpx2.UnsupportedProtocol)
UNREACHABLE = "the daemon cannot be reached, nothing was done: see that it runs, and at this address"
IN_DOUBT = "no answer came from the daemon, and it may have acted: repeat the call with its operation id, or look first"
UNANSWERED = "no answer came from the daemon: repeat the call"


@dataclass(frozen=True, slots=True, kw_only=True)
class Sent:
    """A call on its way. The daemon acts once for all requests with the same `key`.

    `kept`: the store itself remembers the key, else the daemon's process does, as long as it lives.
    """

    operation: Operation
    call: Call
    caller: Caller | None = None
    key: str = ""
    kept: bool = False

    @property
    def acts(self) -> bool:
        """Whether sending it twice without a key could act twice."""
        return self.operation.effect is Effect.ACTS

    @property
    def headers(self) -> dict[str, str]:
        """The request's own headers."""
        found = {"Idempotency-Key": self.key} if self.key else {}
        if self.call.body is not None:
            found["Content-Type"] = self.operation.takes.value
        if self.caller is not None:
            words = {"Role": self.caller.role, "Actor": self.caller.actor, "Context": self.caller.context}
            found |= {f"Tiered-Memory-{name}": quote(word, safe="") for name, word in words.items() if word}
        return found

    def may_follow(self, error: httpx2.RequestError) -> bool:
        """Tell whether it may be sent again after `error`.

        After a pause that was too long the daemon is still there, and waits for what it works on; where a connection
        broke it may be another process that answers, which knows what the store knows.
        """
        return not self.acts or self.kept or isinstance(error, (*NOTHING_SENT, httpx2.TimeoutException))


class Transport:
    """Sends calls. Open it before use."""

    def __init__(self, address: Address, clock: Clock | None = None) -> None:
        self._address = address
        self._clock = clock or SystemClock()
        self._client: httpx2.AsyncClient | None = None
        self._stack = ExitStack()

    def open(self) -> None:
        """Get ready to send; nothing is sent yet."""
        address, sockets = self._address, None
        if address.socket is not None:
            name = self._stack.enter_context(reachable(Path(address.socket)))
            sockets = httpx2.AsyncHTTPTransport(uds=name)
        self._client = httpx2.AsyncClient(
            base_url=address.base, headers=address.headers, timeout=address.timeout_seconds, transport=sockets
        )
        unlogged = Unlogged(address.base)
        logging.getLogger("httpx2").addFilter(unlogged)
        self._stack.callback(logging.getLogger("httpx2").removeFilter, unlogged)

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        client, self._client = self._client, None
        if client is not None:
            await client.aclose()
        self._stack.close()

    async def send(self, sent: Sent) -> bytes:
        """Return the body of a call's answer.

        It is repeated when the daemon was busy or could not be reached, and where a repetition does no harm.

        Raises:
            TieredMemoryError: what the daemon answered, as the embedded memory would have raised it.
            OutcomeUnknownError: no answer came to a request that may have acted.
            StorageError: the daemon cannot be reached, or what answers is none.
        """
        in_doubt = False
        for left in reversed(range(REPEATS)):
            try:
                response = await self._request(sent)
            except httpx2.RequestError as error:
                in_doubt |= sent.acts and not isinstance(error, NOTHING_SENT)
                if left and sent.may_follow(error):
                    await self._clock.sleep(PAUSE_SECONDS)
                    continue
                raise _lost(error, in_doubt=in_doubt) from None
            if response.status_code not in AGAIN:
                return _body(response)
            if left == 0:
                break
            await self._clock.sleep(_pause(response.headers))
        raise OutcomeUnknownError(IN_DOUBT) if in_doubt else _error(response)

    async def _request(self, sent: Sent) -> httpx2.Response:
        call = sent.call
        return await self._opened().request(
            sent.operation.verb, call.path, params=list(call.query), content=call.body, headers=sent.headers
        )

    @asynccontextmanager
    async def stream(
        self, sent: Sent, content: AsyncIterator[bytes] | None = None
    ) -> AsyncIterator[httpx2.Response]:
        """Give an answer whose body is read piece by piece; nothing is repeated. Raises as `send`."""
        headers, call = sent.headers, sent.call
        if content is not None:
            headers["Content-Type"] = sent.operation.takes.value
        try:
            async with self._opened().stream(
                sent.operation.verb, call.path, params=list(call.query), content=content, headers=headers
            ) as response:
                if response.status_code >= NOT_DONE:
                    await response.aread()
                    raise _error(response)
                yield response
        except httpx2.RequestError as error:
            raise _lost(error, in_doubt=sent.acts) from None

    def _opened(self) -> httpx2.AsyncClient:
        if self._client is None:
            raise ClosedError
        return self._client


class Unlogged(logging.Filter):
    """Keeps our requests out of the HTTP client's own log: their addresses name people."""

    def __init__(self, base: str) -> None:
        super().__init__()
        self._base = base

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is about somebody else's request."""
        given = record.args if isinstance(record.args, tuple) else ()
        return not any(str(one).startswith(f"{self._base}/v1/") for one in given)


def _body(response: httpx2.Response) -> bytes:
    if response.status_code >= NOT_DONE:
        raise _error(response)
    return response.content


def _error(response: httpx2.Response) -> TieredMemoryError:
    return error_of(response.status_code, document(response.content))


def _pause(headers: Mapping[str, str]) -> float:
    told = headers.get("retry-after", "")
    seconds = float(told) if told.isascii() and told.isdecimal() else PAUSE_SECONDS
    return min(seconds, MOST_PAUSE_SECONDS)


def _lost(error: httpx2.RequestError, *, in_doubt: bool) -> TieredMemoryError:
    if in_doubt:
        return OutcomeUnknownError(IN_DOUBT)
    return StorageError(UNREACHABLE if isinstance(error, NOTHING_SENT) else UNANSWERED)
