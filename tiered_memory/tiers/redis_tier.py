"""The hot tier on a Redis server: recent records and session snapshots, all with a time to live.

A subject has four keys under one hash tag, so that every call is one atomic script, in a cluster as well:
a ring of ids ordered by `order`, the records by id, the sessions by expiry, and the snapshots by session.
"""

from __future__ import annotations

import math
from base64 import b32encode
from collections.abc import Iterator, Sequence

from tiered_memory.clock import Clock, to_us
from tiered_memory.errors import ConfigurationError, CorruptionError, HotTierError, InvalidInputError
from tiered_memory.tiers.base import SubjectRef, TierRecord
from tiered_memory.tiers.breaker import BreakerState
from tiered_memory.tiers.local_tier import MOST_SESSIONS
from tiered_memory.tiers.redis_pipeline import RedisLimits, RedisPipeline, load_script

_NO_EXPIRY = b"-" * 16


class RedisTier:
    """Keeps the `capacity` (>= 1) latest records per subject for `ttl_seconds` (> 0) after the last push.

    `url` is a `redis://`, `rediss://` or `unix://` address. Every failure of the server is a `HotTierError`; after
    several in a row calls fail at once for a while (`limits`). Numbers of a record must be in 0..2**64-1.
    Raises `ConfigurationError` when an argument is out of range.
    """

    def __init__(
        self,
        url: str,
        *,
        clock: Clock,
        capacity: int = 50,
        ttl_seconds: float = 3600.0,
        name: str = "hot",
        limits: RedisLimits | None = None,
    ) -> None:
        if capacity < 1 or ttl_seconds <= 0:
            raise ConfigurationError("capacity must be at least 1 and ttl_seconds above 0")
        self._name = name
        self._clock = clock
        self._capacity = capacity
        self._ttl_ms = _milliseconds(ttl_seconds)
        self._pipeline = RedisPipeline(url, limits=limits or RedisLimits(), clock=clock)

    @property
    def name(self) -> str:
        """Short name for metrics and receipts."""
        return self._name

    @property
    def breaker_state(self) -> BreakerState:
        """`closed`, `open` or `half_open`."""
        return self._pipeline.breaker_state

    async def is_up(self) -> bool:
        """Ask the server for a sign of life; False when it gives none or the breaker is open."""
        try:
            return bool(await self._pipeline.command("PING") == b"PONG")
        except HotTierError:
            return False

    async def put(self, subject: SubjectRef, records: Sequence[TierRecord]) -> None:
        """Store records; the same id replaces an older or equal `version` and never a newer one."""
        if not records:
            return
        fields = [field for record in records for field in (record.id, _encode(record))]
        arguments = (self._ttl_ms, self._capacity, *fields)
        await self._pipeline.run(load_script("put"), _keys(subject, "ring", "records"), arguments)

    async def scan(self, subject: SubjectRef, *, limit: int | None = None) -> list[TierRecord]:
        """Return what is held, highest `order` first, at most `limit` (>= 0) records.

        Raises `CorruptionError` when the server holds something this tier did not write.
        """
        if limit == 0:
            return []
        last = -1 if limit is None else limit - 1
        keys = _keys(subject, "ring", "records")
        return list(_decode(await self._pipeline.run(load_script("scan"), keys, (last,))))

    async def remove(self, subject: SubjectRef, ids: Sequence[str]) -> int:
        """Remove records by id; unknown ids are ignored. Return how many were there."""
        if not ids:
            return 0
        return int(await self._pipeline.run(load_script("remove"), _keys(subject, "ring", "records"), ids))

    async def drop(self, subject: SubjectRef) -> int:
        """Remove everything held for the subject, snapshots too; return how many records that was."""
        keys = _keys(subject, "ring", "records", "sessions", "snapshots")
        return int(await self._pipeline.run(load_script("drop"), keys))

    async def save_snapshot(self, subject: SubjectRef, session: str, blob: bytes, ttl_seconds: float) -> None:
        """Keep `blob` under the session's pseudonym for `ttl_seconds` (> 0), replacing an older one."""
        now_us = to_us(self._clock.now())
        expires_us = now_us + math.ceil(ttl_seconds * 1e6)
        arguments = (
            session,
            _fixed(expires_us) + blob,
            expires_us,
            now_us,
            _milliseconds(ttl_seconds),
            MOST_SESSIONS,
        )
        keys = _keys(subject, "sessions", "snapshots")
        await self._pipeline.run(load_script("save_snapshot"), keys, arguments)

    async def load_snapshot(self, subject: SubjectRef, session: str) -> bytes | None:
        """Return the blob, or None when there is none or its time has passed.

        Raises `CorruptionError` when the server holds something this tier did not write.
        """
        value = await self._pipeline.command("HGET", *_keys(subject, "snapshots"), session)
        if value is None or to_us(self._clock.now()) >= _number(value[:16]):
            return None
        return bytes(value[16:])

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._pipeline.close()


def _keys(subject: SubjectRef, *parts: str) -> list[str]:
    tag = b32encode(subject.pseudonym).decode().lower().rstrip("=")
    return [f"tm:{{{tag}}}:{part}" for part in parts]


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def _fixed(number: int) -> bytes:
    """Fixed-width hex sorts as text the way the numbers do; Lua's own numbers end at 2**53."""
    if not 0 <= number < 1 << 64:
        raise InvalidInputError("order, version and expiry must be in 0..2**64-1")
    return b"%016x" % number


def _encode(record: TierRecord) -> bytes:
    expiry = _NO_EXPIRY if record.expires_at_us is None else _fixed(record.expires_at_us)
    return _fixed(record.version) + _fixed(record.order) + expiry + record.payload


def _number(field: bytes) -> int:
    try:
        return int(field, 16)
    except ValueError:
        raise CorruptionError("the hot tier holds something in an unknown form") from None


def _decode(reply: Sequence[bytes]) -> Iterator[TierRecord]:
    for record_id, value in zip(reply[::2], reply[1::2], strict=True):
        expiry = value[32:48]
        yield TierRecord(
            id=record_id.decode("ascii", errors="replace"),
            order=_number(value[16:32]),
            version=_number(value[:16]),
            payload=value[48:],
            expires_at_us=None if expiry == _NO_EXPIRY else _number(expiry),
        )
