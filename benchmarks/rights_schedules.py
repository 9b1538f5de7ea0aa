"""Seeded interleavings of people's rights: whatever meets, what was taken away is never seen again, and the rest is there.

The engines, the gates and the kills are those of `schedules`; here no call is sure to be among those that meet.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from benchmarks.rights_works import HOLD, KEEPS_PAST, OTHER, POLICY, RightsWorks, until
from benchmarks.schedule_works import EXPECTED, WHO, Read, Said, Stage, Work
from benchmarks.schedules import BRICKED, RESURRECTED, SUBJECT_TABLES, Schedule
from tiered_memory.errors import (
    AccessDeniedError,
    ConflictError,
    EpochEndedError,
    ErasureIncompleteError,
    RestrictedError,
    TenantUnavailableError,
    TenantUnknownError,
)
from tiered_memory.privacy.holds import OnHoldError
from tiered_memory.privacy.tenancy import TenantStatus

REFUSALS = (
    # A rotation that wraps a key of the tenant again meanwhile; the next call ends it.
    ErasureIncompleteError,
    *EXPECTED,
    AccessDeniedError,
    ConflictError,
    EpochEndedError,
    OnHoldError,
    RestrictedError,
    TenantUnavailableError,
    TenantUnknownError,
)
STAYS = ("tenant", "hold", "erasure", "purge_run", "epoch")
"""What the register keeps of a store in which nobody is left: nothing in it is personal."""

APART = frozenset({"quarantined", "explain"})
"""Reads by which somebody judges what is kept apart."""


class RightsSchedule(Schedule):
    """One interleaving in which rights are exercised, from an empty directory to the verdict."""

    expected = REFUSALS

    def __init__(self, seed: int, directory: Path, *, real_cold: bool = False) -> None:
        super().__init__(seed, directory, real_cold=real_cold)
        policy = directory.parent / "rights.toml"
        policy.write_text(POLICY)
        self._stage = Stage(seed, directory, real_cold=real_cold, policy=str(policy))
        self._works: RightsWorks = RightsWorks(self._stage, self._chance)

    async def _before(self) -> None:
        works, chance = self._works, self._chance
        if chance.random() < 0.4:
            await self._stage.memory.tenants.register(WHO.tenant)
        await super()._before()
        await works.share()
        await works.contribute()
        known = (works.hold, works.restrict, works.quarantine, works.update, works.contribute)
        await works.quietly(*(work for work in known if chance.random() < 0.25))

    async def _fade(self) -> str:
        """Have one memory forgotten and another one kept; return the kept one's id."""
        user, works = self._stage.user(), self._works
        kept, faint = works.say_now("keptone", durable=True), works.say_now("faintone", durable=False)
        kept.id = (await user.add("keptone word", importance=0.9)).id
        faint.id = (await user.add("faintone word", importance=0.25)).id
        kept.ended = faint.ended = next(works.ticks)
        self._stage.clock.advance(40 * 86_400.0)
        await self._stage.memory.forget(confirmed=True)
        return kept.id

    def _chosen(self) -> list[Work]:
        everything, chance = self._works.all(), self._chance
        rights = self._works.of_rights()
        chosen = [chance.choice(rights) for _ in range(chance.randrange(1, 5))]
        return chosen + [chance.choice(everything) for _ in range(chance.randrange(1, 6))]

    async def _settle(self) -> None:
        works, memory = self._works, self._stage.memory
        await self._stage.parts.inflight.settle()
        if any(one.status is TenantStatus.ERASING for one in await memory.tenants.list()):
            await works.erase_tenant()
        await self._finish_erasure()
        await works.quietly(works.lift_restriction)
        await memory.drain()

    async def _finish_erasure(self) -> None:
        """An erasure that was cut short keeps its person shut out until somebody finishes it."""
        cut_short = any(one.ended is None for one in self._works.rights.endings)
        if cut_short and self._works.rights.freed and self._chance.random() < 0.5:
            await self._works.erase()

    # --- the verdict ---------------------------------------------------------------------------------------------

    async def _look(self) -> None:
        works, record = self._works, self._works.record
        looks = (works.reload, works.search, works.context, works.forgotten, works.quarantined)
        await works.quietly(*looks, works.look_at_shared, works.export)
        for began, ended in record.erasures:
            gone = {one.word for one in record.gone(began)}
            for read in record.reads:
                if read.ended > ended and read.contents & gone:
                    self._note(RESURRECTED, f"{read.kind} shows what was erased")
        self._judge_hidden()
        self._judge_restricted()
        await self._judge_lost()
        await self._judge_held()
        if record.erasures:
            last = max(began for began, _ in record.erasures)
            for trace in self._traces({one.id for one in record.gone(last)}):
                self._note(RESURRECTED, trace)

    def _judge_hidden(self) -> None:
        """What a call took out of sight is seen by none that begins afterwards."""
        rights = self._works.rights
        for one in rights.hidden:
            again = rights.shown_again.get(one.memory_id, ()) if one.memory_id else ()
            end, since = until(one.span, again), one.span.ended or 0
            for read in self._works.record.reads:
                apart = APART if one.memory_id else frozenset[str]()
                exempt = one.past and read.kind in KEEPS_PAST | apart
                in_time = read.began > since and (end is None or read.ended < end)
                if in_time and not exempt and read.contents & one.words:
                    self._note(RESURRECTED, f"{read.kind} shows what is gone by {one.by}")

    def _judge_restricted(self) -> None:
        """While a restriction is in force nothing is served but what the person is entitled to."""
        rights = self._works.rights
        for span in rights.restricted:
            end, since = until(span, rights.freed), span.ended or 0
            for read in self._works.record.reads:
                served = read.kind not in {"export", "shared"} and read.contents
                if served and read.began > since and (end is None or read.ended < end):
                    self._note(RESURRECTED, f"{read.kind} serves what is restricted")

    async def _judge_lost(self) -> None:
        """What was acknowledged and nobody took away is there."""
        works = self._works
        reads = {read.kind: read for read in works.record.reads}
        seen = self._shown(reads, "list", "quarantined", "forgotten")
        for word in self._owed(works.record.said):
            if word not in seen:
                self._note(BRICKED, f"what was acknowledged is lost ({word})")
        ours = self._shown(reads, "shared")
        for word in self._owed(works.shared_said):
            if word not in ours:
                self._note(BRICKED, f"what was contributed is lost ({word})")

    @staticmethod
    def _shown(reads: dict[str, Read], *kinds: str) -> frozenset[str]:
        return frozenset[str]().union(*(reads[kind].contents for kind in kinds if kind in reads))

    def _owed(self, said: list[Said]) -> Iterator[str]:
        rights = self._works.rights
        taken = {word for _, words in rights.removals for word in words} | rights.corrected
        for one in said:
            ended = any(span.may_overlap(one.began) for span in rights.endings)
            if one.durable and one.word not in taken and not ended:
                yield one.word

    async def _judge_held(self) -> None:
        """What a hold covers stays until its release, whoever erases or withdraws."""
        rights = self._works.rights
        span = rights.holds[-1] if rights.holds else None
        if span is None or until(span, rights.unheld) is not None:
            return
        since = span.ended or 0
        path = self._stage.directory.parent / "held.jsonl"
        await self._stage.memory.holds.export(HOLD, path)
        kept = {json.loads(line)["content"].split()[0] for line in path.read_text().splitlines()}
        for began, _ in self._works.record.erasures:
            for word in self._must_be_kept(since, began):
                if word not in kept:
                    self._note(BRICKED, f"what a hold covered is lost ({word})")

    def _must_be_kept(self, since: int, began: int) -> Iterator[str]:
        """What was there when the hold was placed, and nobody had tried to take away before."""
        rights = self._works.rights
        earlier = {word for span, words in rights.removals if span.began < since for word in words}
        for one in self._works.record.said:
            sure = one.durable and one.word not in earlier | rights.corrected
            ended = any(span.began < since and span.may_overlap(one.began) for span in rights.endings)
            if sure and not ended and one.ended is not None and one.ended < began:
                yield one.word

    def _traces(self, ids: set[str]) -> Iterator[str]:
        """Other people's rows are no traces of this one."""
        pseudonym = self._stage.core.names.subject(WHO).hex()
        rows = self._stage.state.rows
        found = rows(f"SELECT generation FROM subjects WHERE subject = x'{pseudonym}'")  # noqa: S608
        generation = found[0][0] if found else 0
        for table in SUBJECT_TABLES:
            where = f"subject = x'{pseudonym}' AND generation < {generation}"
            if rows(f"SELECT 1 FROM {table} WHERE {where}"):  # noqa: S608 - names of this module
                yield f"{table} has rows of the old generation"
        mine = f"owner = x'{pseudonym}' AND generation < {generation}"
        if rows(f"SELECT 1 FROM register WHERE {mine}"):  # noqa: S608
            yield "the register has entries of the old generation"
        yield from self._named(ids)
        yield from self._sealed_before(generation)

    async def _begin_anew(self) -> None:
        self._works.record.erasures = self._works.record.erasures or [(0, 0)]
        await self._works.quietly(self._works.lift_restriction, self._works.lift_objection)
        await super()._begin_anew()
        self._judge_hidden()

    async def _erase_for_good(self) -> None:
        """When the hold is released, and everybody erased, nothing is left of anybody."""
        works = self._works
        await works.quietly(works.release_hold)
        await works.quietly(self._erase_space)
        await self._stage.memory.user(OTHER, tenant=WHO.tenant).erase(reason="request")
        await super()._erase_for_good()
        left = self._stage.state.rows(f"SELECT kind FROM register WHERE kind NOT IN {STAYS}")  # noqa: S608
        if left:
            self._note(RESURRECTED, f"the register keeps {sorted({row[0] for row in left})}")

    async def _erase_space(self) -> None:
        await self._works.space(OTHER).erase(reason="request")
