"""Where memories go, where they are found, and how the tiers stand."""

from __future__ import annotations

from boards.spec import (
    Board,
    Kind,
    Panel,
    Query,
    Row,
    good_below,
    highest,
    lowest,
    quantile,
    rate,
    share,
    total,
)

ROUTING = Row(
    "Routing",
    (
        Panel(
            title="Routed to",
            good="cold takes what matters for good, warm what is in use, hot the small talk of sessions.",
            runbook="routing",
            unit="ops",
            kind=Kind.STACK,
            queries=(Query(rate("routing_decisions_total", by="target"), "{{target}}"),),
        ),
        Panel(
            title="Routed because",
            good="above_threshold and below_threshold lead. Much of no_basis: agents write for purposes nobody consented to.",
            runbook="routing",
            unit="ops",
            kind=Kind.STACK,
            queries=(Query(rate("routing_decisions_total", by="reason"), "{{reason}}"),),
        ),
        Panel(
            title="Importance at write time",
            good="A steady spread. A jump after a change of policy or agent means that thresholds want a look.",
            runbook="routing",
            unit="percentunit",
            most=1.0,
            queries=(
                Query(quantile(0.1, "importance_score"), "p10"),
                Query(quantile(0.5, "importance_score"), "p50"),
                Query(quantile(0.9, "importance_score"), "p90"),
            ),
        ),
    ),
)


def _hit_share() -> str:
    return share(rate("tier_lookups_total", 'result="hit"', by="tier"), rate("tier_lookups_total", by="tier"))


LOOKUPS = Row(
    "Reading",
    (
        Panel(
            title="Lookups by tier",
            good="Most reads end in RAM. Cold rises after a restart, until the busy users are in RAM again.",
            runbook="recall",
            unit="ops",
            kind=Kind.STACK,
            queries=(Query(rate("tier_lookups_total", by="tier"), "{{tier}}"),),
        ),
        Panel(
            title="Lookups that found something",
            good="Steady for each tier. Hot falls to nothing while it is out of reach.",
            runbook="recall",
            unit="percentunit",
            most=1.0,
            queries=(Query(_hit_share(), "{{tier}}"),),
        ),
        Panel(
            title="How long a tier takes to answer",
            good="hot about a millisecond, cold about ten, both at p95.",
            runbook="recall",
            unit="s",
            queries=(Query(quantile(0.95, "tier_lookup_duration_seconds", by="tier"), "{{tier}} p95"),),
        ),
        Panel(
            title="Tokens in a context",
            good="Below the budgets your agents ask for. p50 near the budget means that memories compete for room.",
            runbook="recall",
            unit="short",
            queries=(
                Query(quantile(0.5, "context_tokens"), "p50"),
                Query(quantile(0.95, "context_tokens"), "p95"),
            ),
        ),
        Panel(
            title="Embedding",
            good="Well below a millisecond with the embedder that is shipped; flat with any.",
            runbook="recall",
            unit="s",
            steps=good_below(0.05, 0.25),
            queries=(
                Query(quantile(0.5, "embedding_duration_seconds"), "p50"),
                Query(quantile(0.99, "embedding_duration_seconds"), "p99"),
            ),
        ),
        Panel(
            title="Texts embedded",
            good="In step with add and search.",
            runbook="recall",
            unit="ops",
            queries=(Query(rate("embedded_texts_total"), "texts"),),
        ),
        Panel(
            title="Users whose index is in RAM",
            good="About as many as are active. It stays below a bound: who is idle longest leaves first.",
            runbook="recall",
            unit="short",
            queries=(Query(total("recall_index_users"), "users"),),
        ),
    ),
)

STANDING = Row(
    "Standing",
    (
        Panel(
            title="Records by tier",
            good="cold holds them all and grows as fast as users write, less what is forgotten.",
            runbook="storing",
            unit="short",
            queries=(Query(total("records", by="tier"), "{{tier}}"),),
        ),
        Panel(
            title="Bytes by tier",
            good="In step with the records. hot stays within the memory that Redis may use.",
            runbook="storing",
            unit="bytes",
            queries=(Query(total("bytes", by="tier"), "{{tier}}"),),
        ),
        Panel(
            title="Reachable",
            good="Every tier at 1.",
            runbook="tieredmemorytierdegraded",
            unit="bool_yes_no",
            most=1.0,
            queries=(Query(lowest("tier_up", by="tier"), "{{tier}}"),),
        ),
        Panel(
            title="Breakers",
            good="closed at 1. open means that a tier failed often and is left alone until a trial call succeeds.",
            runbook="tieredmemorytierdegraded",
            unit="bool_yes_no",
            most=1.0,
            queries=(Query(highest("breaker_state", by="tier, state"), "{{tier}} {{state}}"),),
        ),
        Panel(
            title="RAM of the indexes",
            good="Flat, within the setting that bounds it.",
            runbook="recall",
            unit="bytes",
            queries=(Query(total("recall_index_bytes"), "indexes"),),
        ),
    ),
)

BOARD = Board(
    "tiers-and-routing",
    "tiered-memory-tiers",
    "Tiered memory / Tiers and routing",
    "Where memories go and why, where reads find them, and whether each tier can be reached.",
    (ROUTING, LOOKUPS, STANDING),
)
