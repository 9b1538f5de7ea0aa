"""Objections (GDPR Art. 21): to which purposes they apply, and what becomes of what is held for one. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum

from tiered_memory.errors import InvalidInputError, ObjectionNotApplicableError
from tiered_memory.model import LawfulBasis

OBJECTION = "objection"
"""The kind of an objection's entry in the register; its id is the purpose."""


class ObjectionStatus(StrEnum):
    """Where an objection stands.

    `OBJECTED`: what was held for the purpose is erased. `RESTRICTED`: the controller documented compelling grounds,
    so it is kept and not retrievable. `LIFTED`: the person took the objection back.
    """

    OBJECTED = "objected"
    RESTRICTED = "restricted"
    LIFTED = "lifted"


OPEN = frozenset({ObjectionStatus.OBJECTED, ObjectionStatus.RESTRICTED})
OBJECTIONABLE = frozenset({LawfulBasis.LEGITIMATE_INTERESTS, LawfulBasis.PUBLIC_TASK})
"""The bases that Art. 21(1) names: letters (f) and (e) of Art. 6(1)."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Objection:
    """An objection as it stands: `status` is one of `ObjectionStatus`, `at_us` when that came about.

    `covered` is how many memories were kept for the purpose when the person objected.
    """

    purpose: str
    status: str
    at_us: int
    reason: str
    compelling_grounds: str
    covered: int


def check_objectionable(basis: LawfulBasis) -> None:
    """Refuse an objection to a purpose that rests on another basis than Art. 21(1) names.

    Raises:
        InvalidInputError: it rests on consent, which is withdrawn.
        ObjectionNotApplicableError: it rests on a basis that nobody can object to; the message names it.
    """
    if basis in OBJECTIONABLE:
        return
    if basis is LawfulBasis.CONSENT:
        raise InvalidInputError("this purpose rests on consent: withdraw the consent instead of objecting")
    raise ObjectionNotApplicableError(
        f"this purpose rests on {basis.value}: the right to object (GDPR Art. 21) applies to legitimate_interests and "
        "public_task only; ask for erasure or restriction instead"
    )


def open_objections(entries: Iterable[tuple[str, str]]) -> dict[str, ObjectionStatus]:
    """Return the purposes that stand objected to, from pairs of purpose and status; the last of a purpose counts.

    A status this version does not know counts as an objection: in doubt nothing is processed.
    """
    latest = dict(entries)
    known = {status.value: status for status in ObjectionStatus}
    found = {purpose: known.get(status, ObjectionStatus.RESTRICTED) for purpose, status in latest.items()}
    return {purpose: status for purpose, status in found.items() if status in OPEN}
