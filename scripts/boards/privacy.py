"""Whether people's rights are fulfilled, in time, and provably."""

from __future__ import annotations

from boards.spec import (
    NEVER,
    Board,
    Kind,
    Panel,
    Query,
    Row,
    counted,
    good_above,
    good_below,
    highest,
    lowest,
    or_none,
    rare_quantile,
    rate,
    total,
)

HOUR, DAY = 3_600.0, 86_400.0
UNFINISHED = 'outcome!="verified"'

ERASING = Row(
    "Erasing",
    (
        Panel(
            title="Erasures not verified",
            good="Zero. incomplete or failed: the keys are gone, bytes of somebody may be left.",
            runbook="tieredmemoryerasurefailed",
            unit="short",
            kind=Kind.NUMBER,
            least=None,
            steps=NEVER,
            queries=(Query(or_none(counted("erasures_total", UNFINISHED)), "not verified"),),
        ),
        Panel(
            title="Erasures",
            good="verified alone.",
            runbook="tieredmemoryerasurefailed",
            unit="short",
            kind=Kind.BARS,
            queries=(Query(counted("erasures_total", by="outcome"), "{{outcome}}"),),
        ),
        Panel(
            title="How long an erasure takes, by phase",
            good="Below a second in each phase; cold and verify take most of it.",
            runbook="tieredmemoryerasurefailed",
            unit="s",
            steps=good_below(5, 30),
            queries=(Query(rare_quantile(0.95, "erasure_duration_seconds", by="phase"), "{{phase}} p95"),),
        ),
        Panel(
            title="Oldest overdue deletion",
            good="Zero: nothing that had to be gone is still there.",
            runbook="tieredmemoryoverduedeletion",
            unit="s",
            steps=good_below(HOUR, DAY),
            queries=(Query(highest("oldest_overdue_deletion_seconds"), "overdue"),),
        ),
    ),
)

CONSENT = Row(
    "Consent",
    (
        Panel(
            title="Consent decisions",
            good="given leads. A wave of withdrawn is people telling you something.",
            runbook="rights",
            unit="short",
            kind=Kind.BARS,
            queries=(Query(counted("consent_changes_total", by="action"), "{{action}}"),),
        ),
        Panel(
            title="Consents as they stand",
            good="open leads. expired ones want to be asked for again.",
            runbook="rights",
            unit="short",
            kind=Kind.STACK,
            queries=(Query(total("consent_state", by="state"), "{{state}}"),),
        ),
        Panel(
            title="Refused by the access table",
            good="Near zero. A role that is refused often is set up wrongly, or is probing.",
            runbook="rights",
            unit="ops",
            queries=(Query(rate("access_denied_total", by="action"), "{{action}}"),),
        ),
    ),
)

REQUESTS = Row(
    "Requests of persons",
    (
        Panel(
            title="Open",
            good="Few, each with somebody who works on it.",
            runbook="tieredmemoryerasuredeadlinenear",
            unit="short",
            queries=(
                Query(total("requests_open"), "open"),
                Query(total("requests_overdue"), "overdue"),
            ),
        ),
        Panel(
            title="Until the next is due",
            good="Weeks. Orange from five days down, red when it is overdue. Nothing is shown while none is open.",
            runbook="tieredmemoryerasuredeadlinenear",
            unit="s",
            kind=Kind.NUMBER,
            steps=good_above(1, 5 * DAY),
            queries=(Query(lowest("request_next_due_seconds"), "next"),),
        ),
        Panel(
            title="How long answers take",
            good="export and about: seconds. A request: days, and less than a month.",
            runbook="rights",
            unit="s",
            queries=(Query(rare_quantile(0.95, "dsar_duration_seconds", by="kind"), "{{kind}} p95"),),
        ),
    ),
)

PROOF = Row(
    "Keys, ledger, quarantine",
    (
        Panel(
            title="Age of the oldest key epoch",
            good="Below 35 days: until an epoch ends, backups from it reveal what was erased since.",
            runbook="tieredmemorykeyrotationoverdue",
            unit="s",
            steps=good_below(30 * DAY, 35 * DAY),
            queries=(Query(highest("key_epoch_age_seconds"), "epoch"),),
        ),
        Panel(
            title="Age of the root key",
            good="Below 400 days.",
            runbook="tieredmemorykeyrotationoverdue",
            unit="s",
            kind=Kind.NUMBER,
            steps=good_below(365 * DAY, 400 * DAY),
            queries=(Query(highest("root_key_age_seconds"), "root key"),),
        ),
        Panel(
            title="Put apart, by reason",
            good="Near zero. scanned is what looked like instructions planted in a memory.",
            runbook="tieredmemoryquarantinespike",
            unit="short",
            kind=Kind.BARS,
            queries=(Query(counted("quarantined_total", by="reason"), "{{reason}}"),),
        ),
        Panel(
            title="Entries that wait for a checkpoint",
            good="Below a day. Zero: all are signed.",
            runbook="tieredmemoryledgercheckpointstale",
            unit="s",
            width=12,
            steps=good_below(DAY, 2 * DAY),
            queries=(Query(highest("ledger_checkpoint_age_seconds"), "oldest unsigned"),),
        ),
        Panel(
            title="Ledger entries written",
            good="In step with what people decide, and with what is deleted.",
            runbook="rights",
            unit="ops",
            width=12,
            queries=(Query(rate("ledger_entries_total"), "entries"),),
        ),
    ),
)

BOARD = Board(
    "privacy-and-erasure",
    "tiered-memory-privacy",
    "Tiered memory / Privacy and erasure",
    "Whether people's rights are fulfilled, in time and provably. Nobody can be recognised here: there are counts only.",
    (ERASING, REQUESTS, CONSENT, PROOF),
)
