"""Facts of a store's directories as facts of the whole. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace

from tiered_memory.accounts.facts import Facts, LedgerFacts, PurposeFacts


def merged(main: Facts, own: Mapping[str, Facts], unread: int) -> Facts:
    """Return the facts of the main directory and of tenants' `own`, by their opaque names, as one.

    The policy, the tenants, the notices and the holds are the main directory's, which the others follow. `unread` is
    how many directories could not be read: nothing is known of them.
    """
    every = [main, *own.values()]
    return replace(
        main,
        purposes=tuple(_purpose(one, every) for one in main.purposes),
        requests_open=sum(one.requests_open for one in every),
        requests_overdue=sum(one.requests_overdue for one in every),
        erasures_unfinished=sum(one.erasures_unfinished for one in every),
        oldest_removal_overdue_seconds=max(one.oldest_removal_overdue_seconds for one in every),
        epochs=sum(one.epochs for one in every),
        oldest_epoch_days=max(
            (one.oldest_epoch_days for one in every if one.oldest_epoch_days is not None), default=None
        ),
        hot_is_encrypted_in_transit=all(one.hot_is_encrypted_in_transit for one in every),
        ledger=_ledgers(main.ledger, {name: one.ledger for name, one in own.items()}),
        directories=len(every),
        directories_unread=unread,
    )


def _purpose(purpose: PurposeFacts, every: Sequence[Facts]) -> PurposeFacts:
    same = [one for facts in every for one in facts.purposes if one.name == purpose.name]
    return replace(
        purpose, subjects=sum(one.subjects for one in same), memories=sum(one.memories for one in same)
    )


def _ledgers(main: LedgerFacts, own: Mapping[str, LedgerFacts]) -> LedgerFacts:
    every = [main, *own.values()]
    named = tuple(f"directory {name}: {one}" for name, facts in own.items() for one in facts.problems)
    events: Counter[str] = Counter()
    for one in every:
        events.update(one.events)
    return replace(
        main,
        sound=all(one.sound for one in every),
        problems=(*main.problems, *named),
        entries=sum(one.entries for one in every),
        covered=sum(one.covered for one in every),
        events=dict(sorted(events.items())),
        people=sum(one.people for one in every),
        actors=sum(one.actors for one in every),
        first=min((one.first for one in every if one.first), default=None),
        last=max((one.last for one in every if one.last), default=None),
    )
