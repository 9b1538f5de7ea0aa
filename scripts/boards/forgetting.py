"""What leaves, by which rule, and whether anything should have left already."""

from __future__ import annotations

from boards.spec import (
    Board,
    Kind,
    Panel,
    Query,
    Row,
    counted,
    good_below,
    highest,
    rare_quantile,
    total,
)

HOUR, DAY = 3_600.0, 86_400.0

LEAVING = Row(
    "Leaving",
    (
        Panel(
            title="Looked at by forgetting",
            good="Memories that were due; steady. Zero for a day means that no cycle runs.",
            runbook="forgetting",
            unit="short",
            queries=(Query(counted("forget_evaluated_total"), "looked at"),),
        ),
        Panel(
            title="Forgotten and removed",
            good="What is forgotten is removed for good when its undo window has passed.",
            runbook="forgetting",
            unit="short",
            queries=(
                Query(counted("forget_forgotten_total"), "forgotten"),
                Query(counted("forget_purged_total"), "removed for good"),
            ),
        ),
        Panel(
            title="Looked at and left, by reason",
            good="not_due leads. hold and floor are duties to keep; brake means that a user would lose too much at once.",
            runbook="forgetting",
            unit="short",
            kind=Kind.BARS,
            queries=(Query(counted("forget_protected_total", by="reason"), "{{reason}}"),),
        ),
        Panel(
            title="Strength of what was looked at",
            good="Spread out. p50 close to the policy's threshold: much is about to be forgotten.",
            runbook="forgetting",
            unit="percentunit",
            most=1.0,
            queries=(
                Query(rare_quantile(0.1, "forget_strength"), "p10"),
                Query(rare_quantile(0.5, "forget_strength"), "p50"),
                Query(rare_quantile(0.9, "forget_strength"), "p90"),
            ),
        ),
        Panel(
            title="Runs that took something",
            good="A few a day, each noted in the ledger.",
            runbook="forgetting",
            unit="short",
            queries=(Query(counted("purge_runs_total"), "runs"),),
        ),
        Panel(
            title="How long a cycle takes",
            good="Seconds; the p95 follows the number of memories that are due.",
            runbook="forgetting",
            unit="s",
            steps=good_below(30, 120),
            queries=(
                Query(rare_quantile(0.5, "forget_cycle_duration_seconds"), "p50"),
                Query(rare_quantile(0.95, "forget_cycle_duration_seconds"), "p95"),
            ),
        ),
        Panel(
            title="Left or came back",
            good="forgotten and purged in step. evicted means that users reach their quota.",
            runbook="forgetting",
            unit="short",
            kind=Kind.BARS,
            queries=(Query(counted("memory_changes_total", by="change"), "{{change}}"),),
        ),
        Panel(
            title="By rule",
            good="decay leads. A ceiling is the policy's longest time; quota is for want of room.",
            runbook="forgetting",
            unit="short",
            kind=Kind.BARS,
            queries=(Query(counted("forget_rules_total", by="rule"), "{{rule}}"),),
        ),
    ),
)

OVERDUE = Row(
    "Overdue",
    (
        Panel(
            title="Oldest overdue deletion",
            good="Zero. Minutes while a tier is away; a day is an alert.",
            runbook="tieredmemoryoverduedeletion",
            unit="s",
            steps=good_below(HOUR, DAY),
            queries=(Query(highest("oldest_overdue_deletion_seconds"), "overdue"),),
        ),
        Panel(
            title="Memories past their deadline",
            good="Those of one interval between cycles at most. It grows when cycles fail, or are stopped by the brake.",
            runbook="tieredmemoryoverduedeletion",
            unit="short",
            queries=(Query(total("retention_overdue_records"), "overdue"),),
        ),
        Panel(
            title="Legal holds in force",
            good="What your lawyers know of. What a hold covers is not deleted.",
            runbook="forgetting",
            unit="short",
            queries=(Query(total("holds_active"), "holds"),),
        ),
        Panel(
            title="Deadlines that follow another policy",
            good="Zero. After a change of policy it falls to zero by itself.",
            runbook="forgetting",
            unit="short",
            queries=(Query(total("policy_reindex_remaining"), "remaining"),),
        ),
        Panel(
            title="Deadlines computed anew",
            good="Zero, but for a while after a change of policy.",
            runbook="forgetting",
            unit="short",
            queries=(Query(counted("policy_reindexed_total"), "computed"),),
        ),
    ),
)

ASKING = Row(
    "Asking the application first",
    (
        Panel(
            title="Answers of the application",
            good="ok alone, or nothing when no hook is set. timeout and error keep the memories until the next cycle.",
            runbook="forgetting",
            unit="short",
            width=12,
            kind=Kind.BARS,
            queries=(Query(counted("forget_hook_calls_total", by="outcome"), "{{outcome}}"),),
        ),
        Panel(
            title="Kept by the application",
            good="Few. A hook that keeps everything is a policy in disguise.",
            runbook="forgetting",
            unit="short",
            width=12,
            queries=(Query(counted("forget_vetoed_total"), "kept"),),
        ),
    ),
)

BOARD = Board(
    "forgetting-and-retention",
    "tiered-memory-forgetting",
    "Tiered memory / Forgetting and retention",
    "What leaves and by which rule, what is kept although it was due, and whether anything is overdue.",
    (LEAVING, OVERDUE, ASKING),
)
