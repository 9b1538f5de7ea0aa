"""`Idempotency-Key`: a repeated request is answered with the first one's answer.

Where the operation has an operation id of its own, the key is that id, and the store remembers it through restarts.
Elsewhere answers are remembered in RAM, within bounds: a restart forgets them.
"""

from __future__ import annotations

import hashlib
import re
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from dataclasses import dataclass

import anyio
from starlette.responses import Response

from tiered_memory.clock import Clock
from tiered_memory.daemon.answers import SAFE_HEADERS
from tiered_memory.errors import ConflictError, InvalidInputError
from tiered_memory.wire.headers import KEY

HEADER = "idempotency-key"
_KEY = re.compile(KEY)
MOST_ANSWERS = 10_000
MOST_BYTES = 64 * 1024
"""A longer answer is not remembered: its request then acts again."""
MOST_BYTES_IN_ALL = 32 * 1024 * 1024
FIRST_ERROR = 400
"""What was refused did nothing, and may be asked again: the reason may have gone."""


@dataclass(slots=True)
class _Remembered:
    fingerprint: bytes
    about: tuple[str, str]
    until: float
    done: anyio.Event
    answer: tuple[int, bytes, str | None] | None = None


class Answers:
    """Answers by the request that they were given to."""

    def __init__(self, clock: Clock, hours: float) -> None:
        self._clock = clock
        self._seconds = hours * 3600.0
        self._known: OrderedDict[tuple[str, ...], _Remembered] = OrderedDict()
        self._bytes = 0

    async def once(
        self,
        key: tuple[str, ...],
        said: bytes,
        work: Callable[[], Awaitable[Response]],
        about: tuple[str, str] = ("", ""),
    ) -> Response:
        """Return what `work` answers, or answered when `key` was first given with the same `said`.

        `about` is the tenant and the person it is about, where it is about one.

        Raises:
            ConflictError: it was given with something else.
        """
        fingerprint = hashlib.sha256(said).digest()
        while (known := self._current(key)) is not None:
            if known.fingerprint != fingerprint:
                raise ConflictError(
                    "this Idempotency-Key was used before for another request; nothing was done"
                )
            await known.done.wait()
            if known.answer is not None:
                status, body, media_type = known.answer
                return Response(body, status, {**SAFE_HEADERS, "Idempotent-Replayed": "true"}, media_type)
        entry = _Remembered(fingerprint, about, self._clock.monotonic() + self._seconds, anyio.Event())
        return await self._first(key, entry, work)

    def let_go(self, tenant: str, user: str | None = None) -> None:
        """Remember nothing more about a person, or about a whole tenant: they were erased."""
        for key, one in list(self._known.items()):
            if one.answer is not None and one.about[0] == tenant and user in {None, one.about[1]}:
                self._forget(key)

    async def _first(
        self, key: tuple[str, ...], entry: _Remembered, work: Callable[[], Awaitable[Response]]
    ) -> Response:
        self._known[key] = entry
        try:
            answer = await work()
            if answer.status_code < FIRST_ERROR and len(answer.body) <= MOST_BYTES:
                entry.answer = (answer.status_code, bytes(answer.body), answer.media_type)
                self._bytes += len(answer.body)
        finally:
            if entry.answer is None:
                self._forget(key)
            entry.done.set()
        if len(self._known) > MOST_ANSWERS or self._bytes > MOST_BYTES_IN_ALL:
            self._trim()
        return answer

    def _current(self, key: tuple[str, ...]) -> _Remembered | None:
        known = self._known.get(key)
        if known is not None and known.until < self._clock.monotonic():
            self._forget(key)
            return None
        return known

    def _trim(self) -> None:
        """The oldest go first; what is still in work is left, or its repetition would act a second time."""
        for key in [key for key, one in self._known.items() if one.answer is not None]:
            if len(self._known) <= MOST_ANSWERS and self._bytes <= MOST_BYTES_IN_ALL:
                return
            self._forget(key)

    def _forget(self, key: tuple[str, ...]) -> None:
        known = self._known.pop(key, None)
        if known is not None and known.answer is not None:
            self._bytes -= len(known.answer[1])


def checked_key(given: str | None) -> str | None:
    """Return a key that may be one; raises InvalidInputError."""
    if given is None or _KEY.fullmatch(given):
        return given
    raise InvalidInputError("an Idempotency-Key has 1 to 256 characters of ASCII")
