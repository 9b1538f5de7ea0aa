"""The checks that frameworks share: each looks at one thing in the facts. Pure."""

from __future__ import annotations

from tiered_memory.accounts.facts import Facts
from tiered_memory.accounts.judgement import Check, Judged, judged, outside
from tiered_memory.formats.leaf import AuditEvent
from tiered_memory.plurals import counted, in_days

A_YEAR_DAYS = 366.0
EPOCH_DAYS = 366.0
OVERDUE_SECONDS = 24 * 3600.0
ON_LEVELS = ("restricted",)


def lawful_basis(facts: Facts) -> Judged:
    """Every purpose names its basis, and every basis but consent its documentation."""
    named = [f"{one.name}: {one.lawful_basis}" for one in facts.purposes]
    bare = [
        one.name for one in facts.purposes if one.lawful_basis != "consent" and not (one.documentation or "")
    ]
    return judged(
        [f"purposes and bases: {'; '.join(named) or 'none that may be kept'}"],
        [f"document the basis of {name}" for name in bare],
    )


def consent_recorded(facts: Facts) -> Judged:
    """Consents are events of the ledger, and withdrawing destroys the purpose's key."""
    given, gone = facts.event(AuditEvent.CONSENT_GIVEN), facts.event(AuditEvent.CONSENT_WITHDRAWN)
    asks = any(one.lawful_basis == "consent" for one in facts.purposes)
    evidence = [
        f"{counted(given, 'consent')} given and {gone} withdrawn in the period; withdrawing destroys the purpose's key at once"
    ]
    missing = []
    if asks and not facts.notices:
        missing.append("publish the notice that people are shown (notice publish)")
    elif asks and not facts.require_notice:
        missing.append(
            "set require_published_notice in the policy's [consent], so that no consent lacks its notice"
        )
    return judged(evidence, missing, partly=True)


def storage_limit(facts: Facts) -> Judged:
    """Every class has an end."""
    shown = [f"{one.record_class}: {_days(one.ceiling_days)}" for one in facts.retention]
    endless = [one.record_class for one in facts.retention if one.ceiling_days is None]
    return judged(
        [
            f"ceilings since ingestion: {', '.join(shown)}",
            f"{counted(facts.event(AuditEvent.PURGE_RUN), 'purge run')} recorded",
        ],
        [f"give {name} a ceiling" for name in endless],
    )


def minimised(facts: Facts) -> Judged:
    """What is unimportant fades, and personal data is masked where the policy says so."""
    masked = [level for level, mode in facts.pii_modes.items() if mode in {"mask", "redact", "refuse"}]
    open_levels = [level for level in facts.pii_modes if level not in masked]
    evidence = ["unimportant turns are not kept, and what is kept fades unless it is used"]
    evidence.append(f"personal data is masked, redacted or refused at: {', '.join(masked) or 'no level'}")
    missing = (
        [f"consider a [pii] mode for {', '.join(open_levels)}: it is kept, sealed"] if open_levels else []
    )
    return judged(evidence, missing, partly=True)


def informed(facts: Facts) -> Judged:
    """A notice, a controller and somebody to turn to."""
    missing = [] if facts.notices else ["publish a notice (notice publish)"]
    missing += [] if facts.controller else ["name the controller in the policy"]
    missing += [] if facts.contact else ["name a contact in the policy"]
    evidence = [
        f"{counted(facts.notices, 'notice')} published",
        "`about` tells a person what is held, why and until when",
    ]
    return judged(evidence, missing, partly=bool(facts.notices))


def answers_in_time(facts: Facts) -> Judged:
    """No request is overdue."""
    opened, closed = facts.event(AuditEvent.REQUEST_OPENED), facts.event(AuditEvent.REQUEST_CLOSED)
    asked = counted(opened, "request")
    evidence = [f"{asked} opened and {closed} closed in the period, {facts.requests_open} open now"]
    late = facts.requests_overdue
    return judged(evidence, [f"answer {counted(late, 'overdue request')} (requests due)"] if late else [])


def _right(what: str, *events: AuditEvent) -> Check:
    def check(facts: Facts) -> Judged:
        counts = ", ".join(f"{facts.event(one)} {one.value.replace('_', ' ')}" for one in events)
        return judged([f"{what}; in the period: {counts}"])

    return check


access_right = _right(
    "`export` gives everything held, inferred data included, with hashes", AuditEvent.EXPORTED
)
portability = _right("`export --portability` gives what was provided, in JSON Lines", AuditEvent.EXPORTED)
rectification = _right("`update` writes a new version and keeps the history", AuditEvent.MEMORY_CORRECTED)
restriction = _right("`restrict` freezes and hides", AuditEvent.RESTRICTED, AuditEvent.RESTRICTION_LIFTED)
objection = _right("`object` ends a purpose's processing", AuditEvent.OBJECTED)
human_review = _right(
    "decisions name the memories they used and can be reviewed",
    AuditEvent.DECISION_RECORDED,
    AuditEvent.DECISION_REVIEWED,
)


def erasure(facts: Facts) -> Judged:
    """Erasures end, and what was deleted is gone soon."""
    done = facts.event(AuditEvent.ERASURE_FINISHED)
    missing = []
    if facts.erasures_unfinished:
        begun = counted(facts.erasures_unfinished, "erasure")
        missing.append(f"finish {begun}: reopen the store, or erase again")
    if facts.oldest_removal_overdue_seconds > OVERDUE_SECONDS:
        missing.append("a deletion has been waiting for more than a day: see the forgetting runbook")
    return judged(
        [f"{counted(done, 'erasure')} finished in the period, each with a signed certificate"], missing
    )


def sealed(facts: Facts) -> Judged:
    """Content is sealed at rest under keys of its subject and purpose."""
    evidence = [
        "content, vectors and terms are sealed with AES-256-GCM-SIV under a key per subject and purpose",
        f"the root key comes from: {facts.key_provider}",
    ]
    if facts.indexed_above is None:
        return judged(evidence)
    memories = counted(facts.indexed_above, "memory", "memories")
    shown = f"users above {memories} have plain vectors of public and internal text"
    return judged([*evidence, shown], ["unset indexed_above_memories to seal every vector"], partly=True)


def keys_turned(facts: Facts) -> Judged:
    """The wrapping keys are changed at least once a year."""
    ended = facts.event(AuditEvent.EPOCH_ENDED)
    evidence = [f"{counted(facts.epochs, 'key epoch')} in use, {ended} ended in the period"]
    old = facts.oldest_epoch_days is not None and facts.oldest_epoch_days > EPOCH_DAYS
    return judged(
        evidence, ["rotate the key epoch (keys rotate): the oldest is over a year old"] if old else []
    )


def ledger_sound(facts: Facts) -> Judged:
    """The ledger verifies from its first entry."""
    entries = counted(facts.ledger.entries, "ledger entry", "ledger entries")
    evidence = [f"{entries}, {facts.ledger.covered} under a signed checkpoint, verified now"]
    missing = [f"the ledger does not verify: {one}" for one in facts.ledger.problems]
    if facts.directories_unread:
        missing.append(
            f"{not_read(facts.directories_unread)}: no ledger in there was verified; repair what keeps it shut"
        )
    return judged(evidence, missing)


def not_read(directories: int) -> str:
    """Return what is said of tenants' own directories that are not in a report."""
    return f"{counted(directories, 'directory', 'directories')} of tenants' own could not be read"


def audit_kept(facts: Facts) -> Judged:
    """The ledger is never trimmed."""
    first = f" since {facts.ledger.first:%Y-%m-%d}" if facts.ledger.first else ""
    return judged([f"audit entries{first} are all kept: the ledger is append-only and nothing trims it"])


def reads_logged(facts: Facts) -> Judged:
    """Who read what sort of memories is in the ledger."""
    entries = counted(facts.event(AuditEvent.ACCESSED), "entry", "entries")
    evidence = [f"{entries} of reads, by {counted(facts.ledger.actors, 'actor')}"]
    evidence.append(f"{counted(facts.event(AuditEvent.ACCESS_REFUSED), 'refusal')} recorded")
    return judged(evidence, [] if facts.reads_logged else ["reads are not logged"])


def roles_limited(facts: Facts) -> Judged:
    """Some role may read less than everything, and the ordinary one does not read what is restricted."""
    shown = [
        f"{role} reads {', '.join(one.get('read', ())) or 'nothing'}" for role, one in facts.access.items()
    ]
    agent = facts.access.get("agent", {}).get("read", ())
    missing = ["take `restricted` from the agent's [access] table"] if set(ON_LEVELS) & set(agent) else []
    return judged([f"roles: {'; '.join(shown) or 'none'}"], missing, partly=True)


def cards(facts: Facts) -> Judged:
    """Card numbers are not kept readable."""
    evidence = [f"[pii.types] CARD: {facts.card_mode}"]
    kept = facts.card_mode == "keep_sealed"
    return judged(evidence, ['set CARD = "mask", "redact" or "refuse" in [pii.types]'] if kept else [])


def in_transit(facts: Facts) -> Judged:
    """The hot tier is reached over a private socket or TLS."""
    evidence = ["the hot tier is in this process, on a private socket, or reached over TLS"]
    if facts.hot_is_encrypted_in_transit:
        return judged(evidence)
    return judged(
        ["hot holds sealed records only"], ["reach Redis over rediss:// or a unix socket"], partly=True
    )


def holds_reviewed(facts: Facts) -> Judged:
    """Holds are looked at when they said they would be."""
    late = facts.holds_to_review
    evidence = [
        f"{counted(facts.holds, 'hold')} in force, {facts.event(AuditEvent.HOLD_RELEASED)} released in the period"
    ]
    return judged(evidence, [f"review {counted(late, 'hold')} whose date has passed"] if late else [])


def poisoning_guarded(facts: Facts) -> Judged:
    """What tries to instruct the agent is set apart."""
    memories = counted(facts.event(AuditEvent.QUARANTINED), "memory", "memories")
    evidence = [f"{memories} quarantined in the period"]
    return judged(evidence, [] if facts.guard_on else ["turn the policy's [guard] on"])


def by_organisation(what: str) -> Check:
    """Return the check of something that lies with the organisation."""

    def check(_facts: Facts) -> Judged:
        return outside(what)

    return check


def _days(days: float | None) -> str:
    return "no end" if days is None else in_days(days)
