"""The first board one opens: is it up, is it quick, does it fail, is anything overdue."""

from __future__ import annotations

from boards.spec import (
    FAILED,
    FAILED_CALL,
    NEVER,
    PLAIN,
    WHERE,
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
    quantile,
    rate,
    series,
    share,
    total,
)

MINUTE, DAY = 60.0, 86_400.0


def _number(title: str, good: str, runbook: str, query: Query, unit: str, **more: object) -> Panel:
    size = {"kind": Kind.NUMBER, "width": 4, "height": 5, "least": None} | more
    return Panel(title=title, good=good, runbook=runbook, unit=unit, queries=(query,), **size)  # type: ignore[arg-type]


AT_A_GLANCE = Row(
    "At a glance",
    (
        _number(
            "Processes up",
            "As many as you run. Red when none answers a scrape.",
            "tieredmemorydown",
            Query(f"sum(up{{{WHERE}}})", "up"),
            "short",
            steps=good_above(1, 1),
        ),
        _number(
            "Requests",
            "Your usual traffic. A sudden fall to zero is a fault of whoever calls, or of the way here.",
            "traffic",
            Query(rate("requests_total"), "requests"),
            "reqps",
            steps=PLAIN,
        ),
        _number(
            "Failures",
            "Zero. Only what the service is to blame for counts: refusals by policy and wrong input do not.",
            "tieredmemoryerrorratio",
            Query(share(rate("errors_total", FAILED), rate("requests_total")), "failed"),
            "percentunit",
            steps=good_below(0.005, 0.02),
        ),
        _number(
            "Slowest 1 %",
            "Below 60 ms: one request in a hundred takes longer than this.",
            "tieredmemorylatencyp99",
            Query(quantile(0.99, "request_duration_seconds"), "p99"),
            "s",
            steps=good_below(0.06, 0.25),
        ),
        _number(
            "Oldest overdue deletion",
            "Zero: nothing that had to be gone is still there.",
            "tieredmemoryoverduedeletion",
            Query(highest("oldest_overdue_deletion_seconds"), "overdue"),
            "s",
            steps=good_below(MINUTE * 60, DAY),
        ),
        _number(
            "Damage found",
            "Zero, always: bytes that did not verify.",
            "tieredmemorycorruptiondetected",
            Query(counted("corruption_detected_total"), "found"),
            "short",
            steps=NEVER,
        ),
    ),
)

CALLS = Row(
    "Calls",
    (
        Panel(
            title="Calls by operation",
            good="The mix your agents usually make: mostly search and context, then add.",
            runbook="traffic",
            unit="reqps",
            kind=Kind.STACK,
            queries=(Query(rate("requests_total", by="op"), "{{op}}"),),
        ),
        Panel(
            title="Calls by outcome",
            good="Nearly everything is ok. not_found, denied, rights and caller_error are answers, the others are failures.",
            runbook="tieredmemoryerrorratio",
            unit="reqps",
            queries=(Query(rate("requests_total", by="outcome"), "{{outcome}}"),),
        ),
        Panel(
            title="Errors by class",
            good="Flat. The name says what is wrong, and its message what to do.",
            runbook="tieredmemoryerrorratio",
            unit="reqps",
            queries=(Query(rate("errors_total", by="error"), "{{error}}"),),
        ),
        Panel(
            title="Failures by operation",
            good="Flat at zero. One operation alone points at one tier: the board on tiers tells which.",
            runbook="tieredmemoryerrorratio",
            unit="percentunit",
            most=1.0,
            steps=good_below(0.005, 0.02),
            queries=(
                Query(
                    share(rate("requests_total", FAILED_CALL, by="op"), rate("requests_total", by="op")),
                    "{{op}}",
                ),
            ),
        ),
        Panel(
            title="Latency",
            good="p50 of a few milliseconds and p99 below 60 ms, both flat.",
            runbook="tieredmemorylatencyp99",
            unit="s",
            steps=good_below(0.06, 0.25),
            queries=(
                Query(quantile(0.5, "request_duration_seconds"), "p50"),
                Query(quantile(0.95, "request_duration_seconds"), "p95"),
                Query(quantile(0.99, "request_duration_seconds"), "p99"),
            ),
        ),
        Panel(
            title="p99 by operation",
            good="add, search and context below 60 ms. export, erase and forget may take seconds.",
            runbook="tieredmemorylatencyp99",
            unit="s",
            queries=(Query(quantile(0.99, "request_duration_seconds", by="op"), "{{op}}"),),
        ),
    ),
)

HTTP = Row(
    "HTTP",
    (
        Panel(
            title="Answers",
            good="2xx nearly alone. 4xx is the caller's to mend; 5xx is a failure of the service.",
            runbook="traffic",
            unit="reqps",
            kind=Kind.STACK,
            queries=(Query(rate("http_requests_total", by="status"), "{{status}}"),),
        ),
        Panel(
            title="p99 by group of routes",
            good="memories, search and context below 60 ms. rights and operate may take seconds.",
            runbook="tieredmemorylatencyp99",
            unit="s",
            queries=(Query(quantile(0.99, "http_request_duration_seconds", by="group"), "{{group}}"),),
        ),
        Panel(
            title="Being answered now",
            good="Low and uneven. A plateau is the limit of concurrent requests.",
            runbook="traffic",
            unit="short",
            queries=(Query(total("http_in_flight"), "in flight"),),
        ),
        Panel(
            title="Turned away at the door",
            good="Near zero. rate_limited names an agent that runs wild, unauthenticated a key that is wrong or gone.",
            runbook="traffic",
            unit="reqps",
            width=12,
            queries=(Query(rate("http_rejected_total", by="reason"), "{{reason}}"),),
        ),
        Panel(
            title="API keys",
            good="Now and then one is created or rotated. Many refused or unknown: somebody is trying keys.",
            runbook="traffic",
            unit="short",
            width=12,
            kind=Kind.BARS,
            queries=(Query(counted("api_key_events_total", by="event"), "{{event}}"),),
        ),
    ),
)

STATE = Row(
    "State",
    (
        Panel(
            title="Tiers reachable",
            good="Every tier at 1. With hot at 0 everything goes on, a little slower.",
            runbook="tieredmemorytierdegraded",
            unit="bool_yes_no",
            most=1.0,
            queries=(Query(lowest("tier_up", by="tier"), "{{tier}}"),),
        ),
        Panel(
            title="Journal backlog",
            good="Seconds. It grows while the cold tier cannot be written, and shrinks by itself afterwards.",
            runbook="tieredmemoryjournalbacklog",
            unit="s",
            steps=good_below(300, 900),
            queries=(Query(highest("journal_oldest_unapplied_seconds"), "oldest not in cold"),),
        ),
        Panel(
            title="Event loop lag",
            good="p99 of a few milliseconds: how late the process wakes.",
            runbook="tieredmemoryeventlooplag",
            unit="s",
            steps=good_below(0.05, 0.25),
            queries=(
                Query(quantile(0.5, "event_loop_lag_seconds"), "p50"),
                Query(quantile(0.99, "event_loop_lag_seconds"), "p99"),
            ),
        ),
        Panel(
            title="Version",
            good="One version, but for the minutes of a roll-out.",
            runbook="traffic",
            unit="none",
            kind=Kind.NUMBER,
            least=None,
            steps=PLAIN,
            queries=(
                Query(
                    f"count by (version, python_version) ({series('build_info')})",
                    "{{version}} on Python {{python_version}}",
                ),
            ),
        ),
    ),
)

BOARD = Board(
    "overview",
    "tiered-memory-overview",
    "Tiered memory / Overview",
    "Is it up, is it quick, does it fail, is anything overdue. The other boards say why.",
    (AT_A_GLANCE, CALLS, HTTP, STATE),
)
