"""Legal holds: what a hold covers, and which holds cover a memory. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from tiered_memory.errors import TieredMemoryError

GROUNDS = ("b", "c", "d", "e")
"""The letters of GDPR Art. 17(3) on which a record may outlive an erasure; (a) is freedom of expression."""
EVIDENCE = "e"
"""Art. 17(3)(e): the establishment, exercise or defence of legal claims."""


class OnHoldError(TieredMemoryError, PermissionError):
    """A legal hold covers this memory: its text must stay as it is. Say what is right in a new memory, or release it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Covered:
    """What a hold covers: memories to which every part that is given applies. Names are pseudonyms."""

    tenant: bytes | None = None
    subject: bytes | None = None
    memory_ids: frozenset[str] = frozenset()
    purpose: str | None = None

    def covers(self, tenant: bytes, subject: bytes, memory_id: str, purpose: str) -> bool:
        """Tell whether a memory lies inside."""
        return (
            self.tenant in {None, tenant}
            and self.subject in {None, subject}
            and (not self.memory_ids or memory_id in self.memory_ids)
            and self.purpose in {None, purpose}
        )

    def may_touch(self, tenant: bytes, subject: bytes) -> bool:
        """Tell whether anything of a person may lie inside."""
        return self.tenant in {None, tenant} and self.subject in {None, subject}


class HoldBook:
    """The holds that are in force, in RAM. A hold only ever adds to what is kept; nothing here shortens anything."""

    def __init__(self) -> None:
        self._holds: dict[str, Covered] = {}

    def __bool__(self) -> bool:
        return bool(self._holds)

    def enter(self, name: str, covered: Covered) -> None:
        """Let a hold be in force."""
        self._holds[name] = covered

    def strike(self, name: str) -> None:
        """Let a hold be in force no more."""
        self._holds.pop(name, None)

    def scopes(self) -> Collection[Covered]:
        """Return what the holds cover."""
        return tuple(self._holds.values())

    def names_over(self, tenant: bytes, subject: bytes, memory_id: str, purpose: str) -> list[str]:
        """Return the holds that cover a memory, by name."""
        covering = (
            (name, one.covers(tenant, subject, memory_id, purpose)) for name, one in self._holds.items()
        )
        return sorted(name for name, covers in covering if covers)

    def covers(self, tenant: bytes, subject: bytes, memory_id: str, purpose: str) -> bool:
        """Tell whether any hold covers a memory."""
        return any(one.covers(tenant, subject, memory_id, purpose) for one in self._holds.values())

    def touching(self, tenant: bytes, subject: bytes) -> list[str]:
        """Return the holds that may cover something of a person, by name."""
        return sorted(name for name, one in self._holds.items() if one.may_touch(tenant, subject))


def stays(counts: Iterable[tuple[int, str, str]]) -> tuple[str, ...]:
    """Return what a certificate says of records that outlive an erasure: (how many, ground's letter, review day).

    A hold is not named: what it is about is no business of whoever is shown the certificate.
    """
    return tuple(
        f"{count} {'memory' if count == 1 else 'memories'} under a legal hold: GDPR Art. 17(3)({ground}), sealed "
        f"under the hold's key and not retrievable, until the hold is released; its review is due on {review}"
        for count, ground, review in sorted(counts)
        if count
    )
