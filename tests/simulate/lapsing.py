"""Consents that end by themselves, as the oracle has it."""

from __future__ import annotations

from expected import Person


def lapsed(person: Person, now_us: int) -> list[str]:
    """The purposes whose consent stands open and has expired."""
    given = () if person.erasing else person.consents.items()
    return [p for p, c in given if c.open and c.expires_us is not None and c.expires_us <= now_us]


def lapse(person: Person, now_us: int) -> None:
    """End the consents whose time is over, and what rested on them."""
    for purpose in lapsed(person, now_us):
        person.withdraw(purpose)


def end_lapsed(person: Person, now_us: int, *, dry_run: bool) -> list[str]:
    """Return the ids of what is stored and goes with consents that expired; a dry run leaves it there."""
    purposes = lapsed(person, now_us)
    stored = [one for one in person.items.values() if one.state is not None or one.purge_us is not None]
    ids = [one.id for one in stored if one.purpose in purposes]
    if not dry_run:
        lapse(person, now_us)
    return ids
