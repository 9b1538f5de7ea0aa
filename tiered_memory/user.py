"""One user's memory, as callers see it. Every call is bound to one subject."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Unpack

import anyio.to_thread

from tiered_memory.errors import InvalidInputError
from tiered_memory.forecast_model import ForgettingForecast
from tiered_memory.forget_model import ForgetReport, Life
from tiered_memory.intake import (
    LIMIT_MAX,
    REASON_BYTES,
    TOKEN_BUDGET_MAX,
    Details,
    check_count,
    check_durability,
    check_filter,
    check_id,
    check_memory_id,
    check_text,
    levels_of,
    narrowed,
)
from tiered_memory.model import (
    Context,
    Durability,
    Explanation,
    Filter,
    HistoryEntry,
    Hit,
    Interaction,
    Memory,
    Receipt,
)
from tiered_memory.policy.rules import Policy
from tiered_memory.privacy.objections import Objection
from tiered_memory.recall import ContextOptions
from tiered_memory.router import WriteOptions
from tiered_memory.scope import Call, Scope
from tiered_memory.user_rights import UserRights
from tiered_memory.wiring import load_policy

MOST_DAYS = 3650
MOST_POINTS = 1000
Memories = list[Memory]
Ids = list[str]
Receipts = list[Receipt]
Hits = list[Hit]
History = list[HistoryEntry]
Lives = list[Life]
Objections = list[Objection]


class User(UserRights):
    """One subject's memory. No call reaches another subject's."""

    def __init__(self, scope: Scope) -> None:
        super().__init__(scope)

    async def add(
        self,
        content: str,
        *,
        purpose: str | None = None,
        operation_id: str | None = None,
        durability: Durability | None = None,
        **details: Unpack[Details],
    ) -> Receipt:
        """Give the memory one interaction; see `add_many` for the arguments."""
        interaction = Interaction(content=content, **details)  # type: ignore[arg-type]  # words are checked on intake
        return (await self._add("add", [interaction], purpose, operation_id, durability))[0]

    async def add_many(
        self,
        interactions: Sequence[Interaction],
        *,
        purpose: str | None = None,
        operation_id: str | None = None,
        durability: Durability | None = None,
    ) -> Receipts:
        """Give the memory interactions as one atomic group: all are acknowledged, or none is stored.

        Without a lawful basis for `purpose` (default: the policy's) they stay ephemeral, and the receipts say
        so; `durability` refuses that with ConsentRequiredError. A repeated `operation_id` answers with the first
        call's receipts; with different content it is a ConflictError. Bad input is an InvalidInputError, a full
        journal a BacklogFullError; either way nothing was stored.
        """
        return await self._add("add_many", tuple(interactions), purpose, operation_id, durability)

    async def search(
        self,
        question: str,
        *,
        limit: int = 5,
        where: Filter | None = None,
        as_of: datetime | None = None,
        include_superseded: bool = False,
    ) -> Hits:
        """Return the `limit` best answers, each with its score's terms: what holds good now, or did `as_of` a moment."""
        limit = check_count(limit, "limit")
        chosen = narrowed(where, as_of, include_superseded=include_superseded)
        async with self._using("search") as call:
            parts, active = call
            check_text(question, "question", parts.core.limits.max_content_bytes)
            return call.showing(await parts.recall.search(active, question, limit, chosen, call.sight))

    async def context(
        self,
        question: str,
        *,
        session: str | None = None,
        token_budget: int = 1500,
        where: Filter | None = None,
    ) -> Context:
        """Return the session's turns and recalled memories for a prompt, within `token_budget` tokens.

        What gets in counts as used and grows stronger; what did not is listed with the reason.
        """
        return await self._pack(question, session, token_budget, where)

    async def preview(
        self,
        question: str,
        *,
        session: str | None = None,
        token_budget: int = 1500,
        where: Filter | None = None,
    ) -> Context:
        """Return what `context` would, for somebody who only looks: nothing that gets in counts as used."""
        return await self._pack(question, session, token_budget, where, counts=False)

    async def get(self, memory_id: str) -> Memory:
        """Return one memory; NotFoundError when this user has none of that id, or it was forgotten.

        CorruptionError when it is held and what is stored of it does not verify.
        """
        check_memory_id(memory_id)
        async with self._using("get", memory_id) as call:
            parts, active = call
            found = parts.recall.get(active, memory_id)
            return found if call.sight is None else call.sight.bare(active, found)

    async def list(
        self, *, where: Filter | None = None, limit: int = 100, before: int | None = None
    ) -> Memories:
        """Return current memories newest first; for the next page give the last one's `order` as `before`."""
        check_count(limit, "limit")
        if before is not None:
            check_count(before, "before", low=0, high=2**63 - 1)
        async with self._using("list") as call:
            parts, active = call
            narrow = check_filter(where)
            return call.showing(await parts.recall.page(active, narrow, limit, before, call.sight))

    async def history(self, memory_id: str) -> History:
        """Return the memories that took each other's place up to this one and after it, oldest first.

        Removing a successor does not make what it superseded current again: say that anew, or ask for it.
        """
        check_memory_id(memory_id)
        async with self._using("history", memory_id) as call:
            parts, active = call
            found = await parts.recall.history(active, memory_id)
            return call.showing(found if call.sight is None else call.sight.history(active, found))

    async def forgotten(self) -> Memories:
        """Return the memories that faded and can still be restored."""
        async with self._using("list", called="forgotten") as call:
            parts, active = call
            found = await parts.recall.forgotten(active)
            return call.showing(found if call.sight is None else call.sight.memories(active, found))

    async def damaged(self) -> Ids:
        """Read everything stored of this user again; return the ids of memories that are lost or do not verify.

        They are left out of every other answer, counted (`corruption_detected_total`), and can be deleted.
        """
        async with self._using("damaged") as call:
            parts, active = call
            return await parts.recall.damaged(active, call.sight)

    async def explain(self, memory_id: str) -> Explanation:
        """Return why a memory is kept, how strong it is now, and when and why it will go."""
        check_memory_id(memory_id)
        async with self._using("explain", memory_id) as call:
            parts, active = call
            found = await parts.recall.explain(active, memory_id)
            return found if call.sight is None else call.sight.explanation(active, found)

    async def life(self, memory_id: str, *, points: int = 120) -> Life:
        """Return what `explain` does, with the course of the memory's strength in `points` (2..1000) points."""
        check_memory_id(memory_id)
        check_count(points, "points", low=2, high=MOST_POINTS)
        async with self._using("explain", memory_id) as call:
            parts, active = call
            found = await parts.recall.life(active, memory_id, points)
            return _seen(call, found)

    async def lives(
        self, *, where: Filter | None = None, limit: int = 50, before: int | None = None, points: int = 9
    ) -> Lives:
        """Return a page of `list`, each memory with why it is kept and the course of its strength; see `life`."""
        check_count(points, "points", low=2, high=MOST_POINTS)
        check_count(limit, "limit")
        if before is not None:
            check_count(before, "before", low=0, high=2**63 - 1)
        async with self._using("list") as call:
            parts, active = call
            page = await parts.recall.page(active, check_filter(where), limit, before, call.sight)
            await parts.pager.bring(active, [one.id for one in page])
            found = [await parts.recall.life(active, one.id, points) for one in page]
            return call.showing([_seen(call, one) for one in found])

    async def used(self, memory_ids: Sequence[str]) -> int:
        """Confirm that memories were of use; returns how many grew stronger. Massed uses count about once."""
        checked = [check_memory_id(one) for one in memory_ids]
        async with self._using("use", *checked) as (parts, active):
            return await parts.recall.used(active, checked)

    async def pin(self, memory_id: str) -> None:
        """Protect a memory from fading (not from retention ceilings)."""
        await self._pin(memory_id, pinned=True)

    async def unpin(self, memory_id: str) -> None:
        """Let a pinned memory fade again."""
        await self._pin(memory_id, pinned=False)

    async def delete(self, memory_id: str, *, reason: str = "deleted by the caller") -> None:
        """Remove a memory for good, its bytes included; NotFoundError when there is none."""
        check_memory_id(memory_id)
        check_text(reason, "reason", REASON_BYTES)
        async with self._using("delete", memory_id) as (parts, active):
            await parts.fulfil.delete(active, memory_id, reason)

    async def restore(self, memory_id: str) -> Memory:
        """Bring back a memory that faded, while its undo window lasts."""
        check_memory_id(memory_id)
        async with self._using("restore", memory_id) as call:
            parts, active = call
            found = await parts.fulfil.restore(active, memory_id)
            return found if call.sight is None else call.sight.bare(active, found)

    async def forget(self, *, dry_run: bool = False, confirmed: bool = False) -> ForgetReport:
        """Forget what is due of this user; see `TieredMemory.forget`."""
        async with self._using("forget") as (parts, active):
            return await parts.sweeper.cycle(active.ref.pseudonym, dry_run=dry_run, confirmed=confirmed)

    async def forecast(
        self, days: int = 90, *, policy: Policy | str | Path | None = None
    ) -> ForgettingForecast:
        """Return how many of this user's memories will leave; see `TieredMemory.forecast`."""
        check_count(days, "days", high=MOST_DAYS)
        candidate = await candidate_policy(policy)
        async with self._using("explain", called="forecast") as (parts, active):
            await parts.sweeper.write_uses_of(active)
            return await parts.forecaster.forecast(days, candidate, active.ref.pseudonym)

    async def _add(
        self,
        op: str,
        interactions: Sequence[Interaction],
        purpose: str | None,
        operation_id: str | None,
        durability: Durability | None,
    ) -> Receipts:
        required = check_durability(durability)
        if len(interactions) > LIMIT_MAX:
            raise InvalidInputError(f"one call takes at most {LIMIT_MAX} interactions")
        async with self._using(op) as call:
            parts, active = call
            await self._scope.permit(op, levels_of(interactions))
            chosen = parts.core.policy.default_purpose if purpose is None else check_id(purpose, "purpose")
            options = WriteOptions(chosen, operation_id, required, call.sight)
            return await parts.router.add(active, interactions, options)

    async def _pack(
        self,
        question: str,
        session: str | None,
        token_budget: int,
        where: Filter | None,
        *,
        counts: bool = True,
    ) -> Context:
        check_count(token_budget, "token_budget", high=TOKEN_BUDGET_MAX)
        chosen = None if session is None else check_id(session, "session")
        narrow = check_filter(where)
        async with self._using("context") as call:
            parts, active = call
            check_text(question, "question", parts.core.limits.max_content_bytes)
            options = ContextOptions(chosen, token_budget, narrow, sight=call.sight, counts=counts)
            packed = await parts.recall.context(active, question, options)
            call.showing(packed.items)
            return packed

    async def _pin(self, memory_id: str, *, pinned: bool) -> None:
        check_memory_id(memory_id)
        async with self._using("pin", memory_id) as (parts, active):
            await parts.fulfil.pin(active, memory_id, pinned=pinned)


def _seen(call: Call, life: Life) -> Life:
    """Return a life without the ids of memories that the caller may not see."""
    if call.sight is None:
        return life
    return replace(life, explanation=call.sight.explanation(call[1], life.explanation))


async def candidate_policy(given: Policy | str | Path | None) -> Policy | None:
    """Return a policy given by itself, by a shipped one's name, or as a file; None for none."""
    if given is None or isinstance(given, Policy):
        return given
    return await anyio.to_thread.run_sync(load_policy, str(given))
