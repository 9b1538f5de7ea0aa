"""Requirements of frameworks judged by facts: what is met, by which evidence, and what is missing. Pure.

A judgement says what the running configuration and the ledger show. What lies with the organisation (contracts,
training, an assessment) is said to lie outside, never to be met.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from tiered_memory.accounts.facts import Facts


class Status(StrEnum):
    """How a requirement stands, worst last."""

    MET = "met"
    OUTSIDE = "outside"
    PARTLY = "partly"
    NOT_MET = "not_met"


@dataclass(frozen=True, slots=True)
class Judged:
    """A check's verdict: what shows it, and what is missing. Nothing missing means that it is met."""

    status: Status
    evidence: tuple[str, ...]
    missing: tuple[str, ...] = ()


Check = Callable[[Facts], Judged]


@dataclass(frozen=True, slots=True)
class Requirement:
    """One requirement: where it stands in its framework, what it asks, and the checks that judge it."""

    reference: str
    title: str
    checks: tuple[Check, ...]


@dataclass(frozen=True, slots=True)
class Finding:
    """A requirement, judged."""

    reference: str
    title: str
    status: Status
    evidence: tuple[str, ...]
    missing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Assessment:
    """A framework, judged: its findings in order, and what to do, most pressing first."""

    framework: str
    binds: str
    status: Status
    findings: tuple[Finding, ...]
    recommendations: tuple[str, ...]


def assess(name: str, binds: str, requirements: Iterable[Requirement], facts: Facts) -> Assessment:
    """Judge every requirement. The whole stands as its worst finding does, where the software can tell."""
    findings = tuple(_judge(one, facts) for one in requirements)
    known = [one.status for one in findings if one.status is not Status.OUTSIDE]
    return Assessment(name, binds, worst(known), findings, _recommendations(findings))


def worst(statuses: Sequence[Status]) -> Status:
    """Return the worst of some; nothing is met by nothing, so of none it is OUTSIDE."""
    order = list(Status)
    return max(statuses, key=order.index, default=Status.OUTSIDE)


def judged(evidence: Sequence[str], missing: Sequence[str] = (), *, partly: bool = False) -> Judged:
    """Return MET when nothing is missing, else PARTLY or NOT_MET."""
    bad = Status.PARTLY if partly else Status.NOT_MET
    return Judged(bad if missing else Status.MET, tuple(evidence), tuple(missing))


def outside(what: str) -> Judged:
    """Return that software cannot show it."""
    return Judged(Status.OUTSIDE, (), (what,))


def _judge(requirement: Requirement, facts: Facts) -> Finding:
    verdicts = [check(facts) for check in requirement.checks]
    return Finding(
        requirement.reference,
        requirement.title,
        worst([one.status for one in verdicts]),
        tuple(line for one in verdicts for line in one.evidence),
        tuple(line for one in verdicts for line in one.missing),
    )


def _recommendations(findings: Sequence[Finding]) -> tuple[str, ...]:
    pressing = sorted(
        (one for one in findings if one.status in {Status.NOT_MET, Status.PARTLY}),
        key=lambda one: one.status is Status.PARTLY,
    )
    lines = (f"{one.reference}: {line}" for one in pressing for line in one.missing)
    return tuple(dict.fromkeys(lines))
