"""Sealed values put where they do not belong: every one must be refused when it is opened there.

Each sealed value of a store is taken with the place it belongs to; then it is opened, by the product's own ways of
opening, at another's place: another user, tenant, purpose, row, version, order, generation, field, or kind of store.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from benchmarks.store import NOTICE, fresh_folder
from benchmarks.suite import Progress
from tiered_memory import TieredMemory
from tiered_memory.active import ActiveSubject
from tiered_memory.config import load_settings
from tiered_memory.core import Core
from tiered_memory.crypto.envelope import Place, SealContext, SealingKey
from tiered_memory.crypto.keyring import SUBJECT_PURPOSE, KeyRecord
from tiered_memory.errors import CorruptionError
from tiered_memory.register import Entry, Register
from tiered_memory.state import commands as c
from tiered_memory.state.register import Entries
from tiered_memory.tiers.base import TierRecord

TENANTS, USERS, TURNS = ("acme", "acme2", "globex"), ("alice", "bob", "carol"), 6
PURPOSES = ("personalization", "analytics")
POLICY = """
schema = 1
name = "two purposes"
default_purpose = "personalization"
[routing]
cold_threshold = 0.0
[purposes.personalization]
lawful_basis = "consent"
[purposes.analytics]
lawful_basis = "consent"
"""
PLACES = (Place.MEMORY, Place.HOT, Place.TAIL, Place.SNAPSHOT, Place.CONSENT, Place.REGISTER, Place.SUBJECT)


@dataclass(frozen=True, slots=True)
class Sealed:
    """A sealed value, the key that opens it, and where it belongs; for a wrapped key its record and wrapping key."""

    sort: str
    payload: bytes
    key: SealingKey
    context: SealContext
    active: ActiveSubject
    record: TierRecord | None = None
    wrapped: KeyRecord | None = None
    epochs: Mapping[int, SealingKey] = field(default_factory=dict)


@dataclass(slots=True)
class Swapped:
    """What was tried, by sort, and what was accepted."""

    tried: int = 0
    by_sort: Counter[str] = field(default_factory=Counter)
    accepted: list[str] = field(default_factory=list)


async def try_swaps(count: int, seed: int, progress: Progress) -> Swapped:
    """Fill a store of several tenants, users and purposes; try `count` (>= 1) swaps."""
    with fresh_folder() as folder:
        policy = folder / "two.toml"
        policy.write_text(POLICY, encoding="utf-8")
        settings = load_settings(
            data_dir=folder / "data", policy=str(policy), redis_url="local", background=False
        )
        async with TieredMemory.open(settings) as memory:
            await _fill(memory)
            values = await _sealed_values(memory)
            _check_harness(memory, values)
            return _try(_core(memory), values, count, random.Random(seed), progress)


def _core(memory: TieredMemory) -> Core:
    return memory._parts().core  # noqa: SLF001 - what is sealed is behind the public face


async def _fill(memory: TieredMemory) -> None:
    for tenant in TENANTS:
        for name in USERS:
            user = memory.user(name, tenant=tenant)
            for purpose in PURPOSES:
                await user.consent.grant(purpose, notice=NOTICE)
                for number in range(TURNS):
                    text = f"{tenant} {name} keeps fact {number} for {purpose}"
                    await user.add(text, purpose=purpose, session="s", importance=0.9)
    await memory._parts().flusher.drain()  # noqa: SLF001 - as above


async def _sealed_values(memory: TieredMemory) -> list[Sealed]:
    values: list[Sealed] = []
    for tenant in TENANTS:
        for name in USERS:
            user = memory.user(name, tenant=tenant)
            async with memory._parts().directory.using(user.subject) as active:  # noqa: SLF001 - as above
                epochs = await memory._parts().directory._epochs_of(active.tenant)  # noqa: SLF001 - as above
                values += await _of_one(_core(memory), active, epochs)
    return values


async def _of_one(core: Core, active: ActiveSubject, epochs: Mapping[int, SealingKey]) -> list[Sealed]:
    register = Register(core)
    for number in range(2):
        entry = Entry(
            id=f"e{number}",
            kind=("request", "decision")[number],
            status="open",
            at_us=1,
            fields={"n": number},
        )
        await register.put(active, entry)
    found = [
        _record(active, place, one)
        for place, tier in ((Place.MEMORY, core.cold), (Place.HOT, core.hot))
        for one in await tier.scan(active.ref)
    ]
    own = active.sealer(SUBJECT_PURPOSE)
    found += [
        Sealed("consent", row.sealed, own.key, own.context(Place.CONSENT, row.event_id), active)
        for row in await core.state.read(c.Consents(active.ref.pseudonym))
    ]
    for kind in ("request", "decision"):
        for one in await core.state.read(Entries(active.ref.pseudonym, kind)):
            context = own.context(Place.REGISTER, f"{kind}/{one.entry_id}", version=one.version)
            found.append(Sealed("register", one.sealed, own.key, context, active))
    stored = await core.state.read(c.GetSubject(active.ref.pseudonym))
    if stored is not None and stored.identity is not None:
        found.append(
            Sealed("identity", stored.identity, own.key, own.context(Place.SUBJECT, "identity"), active)
        )
    for key in await core.state.read(c.Keys(active.ref.pseudonym)):
        where = own.context(Place.KEY, key.key_id.hex())
        found.append(Sealed("data key", key.wrapped, own.key, where, active, wrapped=key, epochs=epochs))
    return found


def _record(active: ActiveSubject, place: Place, one: TierRecord) -> Sealed:
    sealer = active.sealer_for(one.payload)
    context = sealer.context(place, one.id, order=one.order, version=one.version)
    return Sealed("record", one.payload, sealer.key, context, active, record=one)


def _check_harness(memory: TieredMemory, values: Sequence[Sealed]) -> None:
    """What is where it belongs must open, or a refusal proves nothing."""
    sorts = Counter(one.sort for one in values)
    if min(sorts.get(one, 0) for one in ("record", "consent", "register", "identity", "data key")) < len(
        USERS
    ):
        raise RuntimeError("the store does not have every sort of sealed value")
    for one in values:
        if one.wrapped is None:
            one.key.open(one.payload, one.context)
        else:
            _unwrap(_core(memory), one, one.wrapped)


def _unwrap(core: Core, at: Sealed, record: KeyRecord) -> None:
    core.keyring.open_data_key(at.epochs[record.epoch], at.active.tenant, record)


def _try(
    core: Core, values: Sequence[Sealed], count: int, chance: random.Random, progress: Progress
) -> Swapped:
    swapped = Swapped()
    progress.stage("swapping sealed values", count)
    ways = _ways(core)
    while swapped.tried < count:
        sort, swap = ways[swapped.tried % len(ways)]
        one, other = chance.choice(values), chance.choice(values)
        opens = swap(one, other, chance)
        if opens is None:
            continue
        swapped.tried += 1
        swapped.by_sort[sort] += 1
        progress.step()
        try:
            opens()
        except CorruptionError:
            continue
        swapped.accepted.append(f"{sort}: {one.sort} at a place of {other.sort}")
    return swapped


Swap = Callable[[Sealed, Sealed, random.Random], Callable[[], object] | None]


def _ways(core: Core) -> list[tuple[str, Swap]]:
    return [
        ("value at another's place", _elsewhere),
        ("value under another's key and place", _as_anothers),
        ("record read as another's row", _as_a_row),
        ("wrapped key in another's record", lambda one, other, _: _in_key_record(core, one, other)),
        ("place", _varied(lambda c, r: replace(c, place=r.choice([p for p in PLACES if p is not c.place])))),
        ("version", _varied(lambda c, r: replace(c, version=c.version + r.choice((-1, 1, 7)) & 0xFFFF))),
        ("order", _varied(lambda c, r: replace(c, order=c.order + r.randint(1, 9)))),
        ("generation", _varied(lambda c, r: replace(c, generation=c.generation + r.randint(1, 3)))),
        ("purpose", _varied(lambda c, r: replace(c, purpose=c.purpose + r.choice("x_ ")))),
        ("field", _varied(lambda c, _: replace(c, field=c.field + "2"))),
        ("schema", _varied(lambda c, _: replace(c, schema=c.schema + 1))),
        ("tenant", _varied(lambda c, r: replace(c, tenant=r.randbytes(len(c.tenant))))),
        ("user", _varied(lambda c, r: replace(c, subject=r.randbytes(len(c.subject))))),
        ("record id", _varied(lambda c, r: replace(c, record_id=f"{r.getrandbits(128):032x}"))),
        ("bounds between parts", _varied(_moved_bound)),
        ("damaged", _damaged),
    ]


def _elsewhere(one: Sealed, other: Sealed, _: random.Random) -> Callable[[], object] | None:
    if one.context == other.context or one.wrapped or other.wrapped:
        return None
    return lambda: one.key.open(one.payload, other.context)


def _as_anothers(one: Sealed, other: Sealed, _: random.Random) -> Callable[[], object] | None:
    if one.context == other.context or one.wrapped or other.wrapped:
        return None
    return lambda: other.key.open(one.payload, other.context)


def _as_a_row(one: Sealed, other: Sealed, _: random.Random) -> Callable[[], object] | None:
    """The bytes of one row stand in another's: read as the tiers' readers do, which look for the key by its id."""
    if one.record is None or other.record is None or one.record.payload == other.record.payload:
        return None
    row = replace(other.record, payload=one.record.payload)
    sealer = other.active.sealer_for(row.payload)
    return lambda: sealer.open(other.context.place, row)


def _in_key_record(core: Core, one: Sealed, other: Sealed) -> Callable[[], object] | None:
    if one.wrapped is None or other.wrapped is None or one.wrapped == other.wrapped:
        return None
    swapped = replace(other.wrapped, wrapped=one.wrapped.wrapped)
    return lambda: _unwrap(core, other, swapped)


def _varied(vary: Callable[[SealContext, random.Random], SealContext]) -> Swap:
    def swap(one: Sealed, _: Sealed, chance: random.Random) -> Callable[[], object] | None:
        if one.wrapped is not None:
            return None
        context = vary(one.context, chance)
        return None if context == one.context else lambda: one.key.open(one.payload, context)

    return swap


def _moved_bound(context: SealContext, _: random.Random) -> SealContext:
    """Two neighbouring parts that together read the same."""
    return replace(
        context, record_id=context.record_id + context.purpose[:1], purpose=context.purpose[1:] or "x"
    )


def _damaged(one: Sealed, _: Sealed, chance: random.Random) -> Callable[[], object] | None:
    if one.wrapped is not None:
        return None
    at = chance.randrange(len(one.payload))
    changed = bytes([one.payload[at] ^ (1 << chance.randrange(8))])
    payload = one.payload[:at] + changed + one.payload[at + 1 :]
    return lambda: one.key.open(payload, one.context)
