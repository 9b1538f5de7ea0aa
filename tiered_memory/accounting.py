"""Gathers what reports are made from: the live configuration, what is held, and the whole ledger, verified now."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from datetime import datetime

import anyio.to_thread

from tiered_memory.accounts.facts import Facts, LedgerFacts, PurposeFacts, RetentionFacts
from tiered_memory.clock import from_us, to_us
from tiered_memory.core import Core
from tiered_memory.model import Sensitivity
from tiered_memory.policy.access_rules import CEILINGS, NOTHING, AccessAction
from tiered_memory.policy.compose import bounds_for
from tiered_memory.policy.disclosure import disclosure_of
from tiered_memory.policy.pii_types import PiiType
from tiered_memory.policy.rules import Policy
from tiered_memory.runtime import Parts
from tiered_memory.state import commands as c
from tiered_memory.state.accounts import HeldByPurpose
from tiered_memory.state.base import SubjectState

IN_USE = frozenset({"current", "leaving"})
IN_CLEAR = "redis://"
A_CENTURY_DAYS = 36_500


class Accountant:
    """Gathers the facts of one runtime. `key_provider` says where its root key comes from."""

    def __init__(self, parts: Parts, key_provider: str) -> None:
        self._parts = parts
        self._key_provider = key_provider

    async def facts(self, since: datetime, until: datetime) -> Facts:
        """Return what is so now, and what the ledger recorded from `since` until before `until`.

        Raises:
            StorageError: something could not be read: nothing is reported by guess.
        """
        core, parts = self._parts.core, self._parts
        await parts.accesses.flush()
        policy, now = core.policy, core.clock.now()
        requests = await parts.requests.due(within_days=A_CENTURY_DAYS)
        holds, epochs = await parts.holds.all(), await parts.key_epochs.status()
        began = [one.since for one in epochs if one.state in IN_USE]
        tenants = list(core.tenancy.entries.values())
        stated = policy.consent
        return Facts(
            at=now,
            since=since,
            until=until,
            policy=core.policy_version,
            controller=stated.controller or None,
            contact=stated.contact or None,
            jurisdiction=policy.jurisdiction or stated.jurisdiction or None,
            purposes=await _purposes(core),
            retention=tuple(_retention(policy)),
            undo_days=policy.forgetting.undo_days,
            pii_modes={level.value: mode.value for level, mode in policy.pii.modes.items()},
            card_mode=_card_mode(policy),
            access=_access(policy),
            reads_logged=all(one.rules.audit for one in tenants),
            notices=len(await parts.notices.all()),
            require_notice=stated.require_published_notice,
            requests_open=len(requests),
            requests_overdue=sum(one.overdue for one in requests),
            holds=sum(one.released_at is None for one in holds),
            holds_to_review=len(await parts.holds.due_for_review()),
            erasures_unfinished=len(await core.state.read(c.SubjectsInState(SubjectState.ERASING))),
            oldest_removal_overdue_seconds=await _overdue_seconds(core),
            key_provider=self._key_provider,
            epochs=len(began),
            oldest_epoch_days=(now - min(began)).total_seconds() / 86_400 if began else None,
            hot_is_encrypted_in_transit=not core.hot_address.startswith(IN_CLEAR),
            tenants=len(tenants),
            indexed_above=core.limits.indexed_above,
            guard_on=policy.guard.scan,
            ledger=await _ledger(core, to_us(since), to_us(until)),
        )


async def _purposes(core: Core) -> tuple[PurposeFacts, ...]:
    held = {one.purpose: one for one in await core.state.read(HeldByPurpose())}
    found = []
    for name, rule in core.policy.purposes.items():
        said, here = disclosure_of(core.policy, name), held.get(name)
        found.append(
            PurposeFacts(
                name=name,
                lawful_basis=rule.lawful_basis.value,
                documentation=said.documentation or None,
                max_sensitivity=rule.max_sensitivity.value,
                data_categories=said.data_categories,
                recipients=said.recipients,
                subjects=here.subjects if here else 0,
                memories=here.memories if here else 0,
            )
        )
    return tuple(found)


def _retention(policy: Policy) -> Iterable[RetentionFacts]:
    for level in Sensitivity:
        bounds = bounds_for(policy, sensitivity=level)
        floor = max((one.days for one in bounds.floors), default=None)
        ceiling = min((one.days for one in bounds.ceilings), default=None)
        rules = tuple(sorted({one.rule for one in (*bounds.floors, *bounds.ceilings)}))
        yield RetentionFacts(record_class=level.value, floor_days=floor, ceiling_days=ceiling, rules=rules)


def _card_mode(policy: Policy) -> str:
    """The type's own mode, or the mildest that any sensitivity has."""
    own = policy.pii.types.get(PiiType.CARD)
    modes = {mode.value for mode in policy.pii.modes.values()}
    if own is not None:
        return own.value
    return "keep_sealed" if "keep_sealed" in modes else min(modes)


def _access(policy: Policy) -> dict[str, dict[str, tuple[str, ...]]]:
    return {
        role.value: {
            action.value: levels for action in AccessAction if (levels := _levels(rule.ceiling(action)))
        }
        for role, rule in policy.access.items()
    }


def _levels(ceiling: str) -> tuple[str, ...]:
    return () if ceiling == NOTHING else CEILINGS[1 : CEILINGS.index(ceiling) + 1]


async def _overdue_seconds(core: Core) -> float:
    waiting, now_us = await core.state.read(c.Removing()), core.now_us()
    return max((now_us - one.since_us for one in waiting), default=0) / 1e6


async def _ledger(core: Core, since_us: int, until_us: int) -> LedgerFacts:
    verdict, told = await core.notary.verify(), _Told(since_us, until_us)
    async for rows in core.notary.rows():
        await anyio.to_thread.run_sync(told.add, [leaf for _, leaf, _ in rows])
    return LedgerFacts(
        sound=verdict.sound,
        problems=verdict.problems,
        entries=verdict.entries,
        covered=verdict.covered,
        events=dict(sorted(told.events.items())),
        people=len(told.people),
        actors=len(told.actors),
        first=told.first,
        last=told.last,
    )


class _Told:
    """What the leaves of a period say, counted."""

    def __init__(self, since_us: int, until_us: int) -> None:
        self._since_us, self._until_us = since_us, until_us
        self.events: Counter[str] = Counter()
        self.people: set[str] = set()
        self.actors: set[str] = set()
        self.first: datetime | None = None
        self.last: datetime | None = None

    def add(self, leaves: Iterable[bytes]) -> None:
        """Count leaves. What is none is the verdict's matter."""
        for leaf in leaves:
            try:
                fields = json.loads(leaf)
            except ValueError:
                continue
            self.first = self.first or from_us(fields["at_us"])
            self.last = from_us(fields["at_us"])
            if self._since_us <= fields["at_us"] < self._until_us:
                self._count(fields)

    def _count(self, fields: Mapping[str, object]) -> None:
        self.events[str(fields["event"])] += 1
        self.actors.add(str(fields["actor"]))
        if fields["subject"]:
            self.people.add(str(fields["subject"]))
