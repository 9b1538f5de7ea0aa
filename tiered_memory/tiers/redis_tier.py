"""The hot tier on a Redis server: recent records and session snapshots, all with a time to live.

A subject has four keys under one hash tag, so that every call is one atomic script, in a cluster as well:
a ring of ids ordered by `order`, the records by id, the sessions by expiry, and the snapshots by session.
"""

from __future__ import annotations

import math
import re
import zlib
from base64 import b32encode
from collections.abc import Callable, Sequence

from tiered_memory.clock import Clock, to_us
from tiered_memory.errors import ConfigurationError, HotTierError, InvalidInputError
from tiered_memory.metrics import TierHeld
from tiered_memory.tiers.base import SubjectRef, TierRecord
from tiered_memory.tiers.breaker import BreakerState
from tiered_memory.tiers.local_tier import MOST_SESSIONS
from tiered_memory.tiers.redis_pipeline import RedisLimits, RedisPipeline, load_script

_NO_EXPIRY = b"-" * 16
_HEADER, _CHECKSUM = 48, 8
"""Bytes of a record's version, order and expiry; and of the CRC-32 over its id, those and the payload."""


def _ignore() -> None:
    """Tell nobody."""


class RedisTier:
    """Keeps the `capacity` (>= 1) latest records per subject for `ttl_seconds` (> 0) after the last push.

    `url` is a `redis://`, `rediss://` or `unix://` address. Every failure of the server is a `HotTierError`; after
    several in a row calls fail at once for a while (`limits`). Numbers of a record must be in 0..2**64-1. What this
    tier did not write, or was damaged since, is left out and told to `on_damage`, once for each value met.
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
        on_damage: Callable[[], None] = _ignore,
    ) -> None:
        if capacity < 1 or ttl_seconds <= 0:
            raise ConfigurationError("capacity must be at least 1 and ttl_seconds above 0")
        self._name = name
        self._on_damage = on_damage
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
        """Return what is held, highest `order` first, at most `limit` (>= 0) records."""
        if limit == 0:
            return []
        last = -1 if limit is None else limit - 1
        keys = _keys(subject, "ring", "records")
        reply = await self._pipeline.run(load_script("scan"), keys, (last,))
        records = [_decoded(one, value) for one, value in zip(reply[::2], reply[1::2], strict=True)]
        for _ in range(records.count(None)):
            self._on_damage()
        return [record for record in records if record is not None]

    async def remove(self, subject: SubjectRef, ids: Sequence[str]) -> int:
        """Remove records by id; unknown ids are ignored. Return how many were there."""
        if not ids:
            return 0
        keys = _keys(subject, "ring", "records")
        return int(await self._pipeline.run(load_script("remove"), keys, ids))

    async def drop(self, subject: SubjectRef) -> int:
        """Remove everything held for the subject, snapshots too; return how many records that was."""
        keys = _keys(subject, "ring", "records", "sessions", "snapshots")
        return int(await self._pipeline.run(load_script("drop"), keys, urgent=True))

    async def save_snapshot(self, subject: SubjectRef, session: str, blob: bytes, ttl_seconds: float) -> None:
        """Keep `blob` under the session's pseudonym for `ttl_seconds` (> 0), replacing an older one."""
        now_us = to_us(self._clock.now())
        expires_us = now_us + math.ceil(ttl_seconds * 1e6)
        arguments = (
            session,
            _snapshot(session, expires_us, blob),
            expires_us,
            now_us,
            _milliseconds(ttl_seconds),
            MOST_SESSIONS,
        )
        keys = _keys(subject, "sessions", "snapshots")
        await self._pipeline.run(load_script("save_snapshot"), keys, arguments)

    async def load_snapshot(self, subject: SubjectRef, session: str) -> bytes | None:
        """Return the blob, or None when there is none, it was damaged, or its time has passed."""
        value = await self._pipeline.command("HGET", *_keys(subject, "snapshots"), session)
        if value is None:
            return None
        expires_us, blob = _number(value[:16]), bytes(value[16 + _CHECKSUM :])
        if expires_us is None or value != _snapshot(session, expires_us, blob):
            self._on_damage()
            return None
        return blob if to_us(self._clock.now()) < expires_us else None

    async def measure(self) -> TierHeld:
        """See `Measured`: the server's own figure of the memory it uses, all its clients' data and its overhead.

        Raises HotTierError when it does not answer, or does not allow the question.
        """
        told = _used_memory(bytes(await self._pipeline.command("INFO", "memory")))
        return TierHeld(None, told)

    async def close(self) -> None:
        """Close the connections; safe to call twice."""
        await self._pipeline.close()


def _keys(subject: SubjectRef, *parts: str) -> list[str]:
    tag = b32encode(subject.pseudonym).decode().lower().rstrip("=")
    return [f"tm:{{{tag}}}:{part}" for part in parts]


def _used_memory(info: bytes) -> int | None:
    """Return the bytes that an INFO answer says are in use."""
    fields = dict(line.split(b":", 1) for line in info.splitlines() if b":" in line)
    used = fields.get(b"used_memory", b"")
    return int(used) if used.isdigit() else None


def _milliseconds(seconds: float) -> int:
    return max(1, math.ceil(seconds * 1000))


def _fixed(number: int) -> bytes:
    """Fixed-width hex sorts as text the way the numbers do; Lua's own numbers end at 2**53."""
    if not 0 <= number < 1 << 64:
        raise InvalidInputError("order, version and expiry must be in 0..2**64-1")
    return b"%016x" % number


def _encode(record: TierRecord) -> bytes:
    expiry = _NO_EXPIRY if record.expires_at_us is None else _fixed(record.expires_at_us)
    header = _fixed(record.version) + _fixed(record.order) + expiry
    return header + _checksum(record.id.encode(), header, record.payload) + record.payload


def _snapshot(session: str, expires_us: int, blob: bytes) -> bytes:
    expiry = _fixed(expires_us)
    return expiry + _checksum(session.encode(), expiry, blob) + blob


def _checksum(*parts: bytes) -> bytes:
    """Seals cover neither an expiry nor whether a value whose key is gone was damaged before."""
    return b"%08x" % zlib.crc32(b"".join(parts))


def _number(field: bytes) -> int | None:
    return int(field, 16) if re.fullmatch(rb"[0-9a-f]{16}", field) else None


def _decoded(record_id: bytes, value: bytes) -> TierRecord | None:
    """Return a record as it was put, or None for anything else."""
    header, payload = value[:_HEADER], value[_HEADER + _CHECKSUM :]
    version, order, expiry = _number(header[:16]), _number(header[16:32]), _number(header[32:])
    if version is None or order is None or value != header + _checksum(record_id, header, payload) + payload:
        return None
    return TierRecord(record_id.decode("ascii", errors="replace"), order, version, payload, expiry)
