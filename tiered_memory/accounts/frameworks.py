"""The frameworks that are reported on: their requirements, and the checks that judge each. Pure.

Engineering input, not legal advice. Sources: Regulation (EU) 2016/679; 45 CFR Part 164; 17 CFR 210.2-06 and the
Sarbanes-Oxley Act, sections 302, 404 and 802; PCI DSS v4.0.1.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType

from tiered_memory.accounts import checks as k
from tiered_memory.accounts.facts import Facts
from tiered_memory.accounts.judgement import Assessment, Check, Requirement, assess


@dataclass(frozen=True, slots=True)
class Framework:
    """A framework's name, what of a memory store it binds, and its requirements."""

    title: str
    binds: str
    requirements: tuple[Requirement, ...]


def _all(*requirements: tuple[str, str, tuple[Check, ...]]) -> tuple[Requirement, ...]:
    return tuple(Requirement(*one) for one in requirements)


GDPR = Framework(
    "GDPR",
    "all personal data of people in the Union that a memory holds",
    _all(
        ("Art. 5(1)(c)", "Data minimisation", (k.minimised,)),
        ("Art. 5(1)(e)", "Storage limitation", (k.storage_limit,)),
        ("Art. 5(2)", "Accountability: the record of what was done verifies", (k.ledger_sound,)),
        ("Art. 6", "A lawful basis for every purpose", (k.lawful_basis,)),
        ("Art. 7", "Consent can be shown and withdrawn", (k.consent_recorded,)),
        ("Art. 12(3)", "Requests are answered within a month", (k.answers_in_time,)),
        ("Art. 13, 14", "People are informed", (k.informed,)),
        ("Art. 15", "Right of access", (k.access_right,)),
        ("Art. 16", "Right to rectification", (k.rectification,)),
        ("Art. 17", "Right to erasure", (k.erasure, k.holds_reviewed)),
        ("Art. 18", "Right to restriction", (k.restriction,)),
        ("Art. 20", "Right to data portability", (k.portability,)),
        ("Art. 21", "Right to object", (k.objection,)),
        ("Art. 22", "Decisions that rest on memories can be reviewed by a human", (k.human_review,)),
        ("Art. 25", "Data protection by design and by default", (k.roles_limited, k.poisoning_guarded)),
        ("Art. 28", "Processors are bound by contract", (k.by_organisation("contracts with processors"),)),
        ("Art. 30", "Records of processing activities", (k.lawful_basis, k.informed)),
        ("Art. 32", "Security of processing", (k.sealed, k.keys_turned, k.reads_logged, k.in_transit)),
        ("Art. 33, 34", "Breaches are notified", (k.by_organisation("a procedure for breaches"),)),
        ("Art. 35", "Impact assessment", (k.by_organisation("an assessment where one is due"),)),
    ),
)
HIPAA = Framework(
    "HIPAA",
    "protected health information; the six years of 164.316(b)(2)(i) bind compliance documentation, not memories",
    _all(
        ("164.308(a)(1)", "Risk analysis", (k.by_organisation("a risk analysis"),)),
        ("164.312(a)(1)", "Access control", (k.roles_limited,)),
        ("164.312(a)(2)(iv)", "Encryption at rest", (k.sealed, k.keys_turned)),
        ("164.312(b)", "Audit controls", (k.reads_logged, k.ledger_sound)),
        ("164.312(c)(1)", "Integrity", (k.ledger_sound, k.sealed)),
        ("164.312(e)(1)", "Transmission security", (k.in_transit,)),
        ("164.316(b)(2)(i)", "Documentation is kept six years", (k.audit_kept,)),
        ("164.502(b)", "Minimum necessary", (k.minimised, k.roles_limited)),
        ("164.524", "Access of individuals", (k.access_right, k.answers_in_time)),
        ("164.526", "Amendment", (k.rectification,)),
        ("164.528", "Accounting of disclosures", (k.reads_logged,)),
        ("164.504(e)", "Business associates are bound", (k.by_organisation("associate agreements"),)),
    ),
)
SOX = Framework(
    "SOX",
    "records of audits and of controls over financial reporting; seven years bind auditors' papers, not memories",
    _all(
        ("Sec. 302, 404", "Controls leave evidence", (k.ledger_sound, k.reads_logged)),
        ("Sec. 404", "Access is limited", (k.roles_limited,)),
        ("Sec. 802", "Audit records are not altered or destroyed", (k.ledger_sound, k.holds_reviewed)),
        ("17 CFR 210.2-06", "Audit records are kept seven years", (k.audit_kept,)),
        ("Sec. 404", "Management assesses the controls", (k.by_organisation("the assessment"),)),
    ),
)
PCI_DSS = Framework(
    "PCI DSS",
    "account data; 10.5.1's twelve months bind audit logs. Memories should not hold account data at all",
    _all(
        ("3.2.1", "Account data is kept only as long as needed", (k.cards, k.storage_limit)),
        ("3.4.1", "The account number is masked when shown", (k.cards,)),
        ("3.5.1", "The account number is unreadable where stored", (k.cards, k.sealed)),
        ("3.6, 3.7", "Keys are managed", (k.keys_turned,)),
        ("4.2.1", "Strong cryptography in transit", (k.in_transit,)),
        ("7.2", "Access by need to know", (k.roles_limited,)),
        ("10.2", "Access is logged", (k.reads_logged,)),
        ("10.3", "Logs are protected from change", (k.ledger_sound,)),
        ("10.5.1", "Logs are kept twelve months", (k.audit_kept,)),
        ("12", "Policies, training, incident response", (k.by_organisation("the programme"),)),
    ),
)
FRAMEWORKS: Mapping[str, Framework] = MappingProxyType(
    {"gdpr": GDPR, "hipaa": HIPAA, "sox": SOX, "pci_dss": PCI_DSS}
)


def judge(name: str, facts: Facts) -> Assessment:
    """Return a framework (a key of `FRAMEWORKS`), judged by `facts`."""
    found = FRAMEWORKS[name]
    return assess(found.title, found.binds, found.requirements, facts)
