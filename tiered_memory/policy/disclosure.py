"""What the live configuration says of a purpose: for receipts, records of processing, and answers to people. Pure."""

from __future__ import annotations

from dataclasses import dataclass

from tiered_memory.model import LawfulBasis, Sensitivity
from tiered_memory.policy.rules import Policy


@dataclass(frozen=True, slots=True, kw_only=True)
class Disclosure:
    """What is stated of one purpose; an empty text or tuple says that nothing was stated."""

    purpose: str
    lawful_basis: LawfulBasis
    documentation: str
    controller: str
    contact: str
    jurisdiction: str
    withdrawal_method: str
    retention: str
    recipients: tuple[str, ...]
    data_categories: tuple[str, ...]


def disclosure_of(policy: Policy, purpose: str) -> Disclosure:
    """Return what the policy says of a purpose it knows; what it leaves out is the `[consent]` section's.

    Raises:
        KeyError: the policy knows no such purpose.
    """
    rule, common = policy.purposes[purpose], policy.consent
    return Disclosure(
        purpose=purpose,
        lawful_basis=rule.lawful_basis,
        documentation=rule.documentation or "",
        controller=rule.controller or common.controller,
        contact=rule.contact or common.contact,
        jurisdiction=rule.jurisdiction or common.jurisdiction,
        withdrawal_method=common.withdrawal_method,
        retention=rule.retention or _ceilings(policy, rule.max_sensitivity),
        recipients=tuple(rule.recipients),
        data_categories=tuple(rule.data_categories),
    )


def _ceilings(policy: Policy, highest: Sensitivity) -> str:
    """Return the longest time the retention rules allow for any class that the purpose may hold."""
    levels = tuple(Sensitivity)
    allowed = levels[: levels.index(highest) + 1]
    days = [policy.retention[level].ceiling_days for level in allowed]
    known = [one for one in days if one is not None]
    return f"at most {max(known):g} days" if len(known) == len(days) else "no fixed period"
