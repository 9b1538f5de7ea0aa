"""Whether what was acknowledged is safe, and reaches the cold tier."""

from __future__ import annotations

from boards.spec import (
    BY_JOB,
    NEVER,
    PLAIN,
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
    rare_quantile,
    rate,
    series,
    total,
)

FAILED_RUN = 'outcome="failed"'


def _failed_runs() -> str:
    """Zero for a job that ran and never failed; a job that never ran has no bar."""
    runs = counted("job_runs_total", by=BY_JOB)
    return f"{counted('job_runs_total', FAILED_RUN, by=BY_JOB)} or 0 * {runs}"


JOURNAL = Row(
    "Journal",
    (
        Panel(
            title="Records waiting",
            good="A few thousand at most. It grows while the cold tier cannot be written.",
            runbook="tieredmemoryjournalbacklog",
            unit="short",
            queries=(Query(total("journal_depth_records"), "records"),),
        ),
        Panel(
            title="Bytes waiting",
            good="Far below the setting that bounds the journal: at the bound, writes are refused.",
            runbook="tieredmemoryjournalbacklog",
            unit="bytes",
            queries=(Query(total("journal_depth_bytes"), "bytes"),),
        ),
        Panel(
            title="Oldest record waiting",
            good="Seconds.",
            runbook="tieredmemoryjournalbacklog",
            unit="s",
            steps=good_below(300, 900),
            queries=(Query(highest("journal_oldest_unapplied_seconds"), "oldest"),),
        ),
        Panel(
            title="Group commit",
            good="p50 about a millisecond, p99 below 25 ms: this is what an acknowledged write waits for.",
            runbook="tieredmemoryfsyncslow",
            unit="s",
            steps=good_below(0.025, 0.1),
            queries=(
                Query(quantile(0.5, "journal_fsync_seconds"), "p50"),
                Query(quantile(0.99, "journal_fsync_seconds"), "p99"),
            ),
        ),
        Panel(
            title="Made durable, and moved to cold",
            good="Both lines alike over an hour: what comes in goes on.",
            runbook="tieredmemoryjournalbacklog",
            unit="ops",
            queries=(
                Query(rate("journal_committed_records_total"), "durable"),
                Query(rate("flushed_records_total"), "in cold"),
            ),
        ),
        Panel(
            title="How long a flush takes",
            good="p95 below a second.",
            runbook="tieredmemoryjournalbacklog",
            unit="s",
            steps=good_below(5, 30),
            queries=(
                Query(rare_quantile(0.5, "flush_duration_seconds"), "p50"),
                Query(rare_quantile(0.95, "flush_duration_seconds"), "p95"),
            ),
        ),
    ),
)

RELIABILITY = Row(
    "Reliability",
    (
        Panel(
            title="Damage found, by store",
            good="Zero everywhere, always.",
            runbook="tieredmemorycorruptiondetected",
            unit="short",
            kind=Kind.BARS,
            steps=NEVER,
            queries=(Query(counted("corruption_detected_total", by="store"), "{{store}}"),),
        ),
        Panel(
            title="Last recovery",
            good="Below a second for each 10 000 records that were replayed.",
            runbook="storing",
            unit="s",
            kind=Kind.NUMBER,
            steps=good_below(10, 60),
            queries=(Query(highest("recovery_seconds"), "replay"),),
        ),
        Panel(
            title="Records replayed since the start",
            good="Zero after a clean stop; what had not reached cold after any other.",
            runbook="storing",
            unit="short",
            kind=Kind.NUMBER,
            steps=PLAIN,
            queries=(Query(counted("recovered_records_total"), "records"),),
        ),
    ),
)

DISK = Row(
    "Disk and process",
    (
        Panel(
            title="Room on the disk",
            good="Above 20 %, and going down slowly if at all.",
            runbook="tieredmemorydiskwillfill",
            unit="bytes",
            queries=(
                Query(lowest("data_dir_free_bytes"), "free"),
                Query(lowest("data_dir_size_bytes"), "size"),
            ),
        ),
        Panel(
            title="Share of the disk that is free",
            good="Above 20 %. Writes are refused when nothing is left; erasing still works.",
            runbook="tieredmemorydiskwillfill",
            unit="percentunit",
            kind=Kind.NUMBER,
            most=1.0,
            steps=good_above(0.05, 0.2),
            queries=(
                Query(
                    f"min({series('data_dir_free_bytes')} / {series('data_dir_size_bytes')})",
                    "free",
                ),
            ),
        ),
        Panel(
            title="Event loop lag",
            good="p99 of a few milliseconds.",
            runbook="tieredmemoryeventlooplag",
            unit="s",
            steps=good_below(0.05, 0.25),
            queries=(Query(quantile(0.99, "event_loop_lag_seconds"), "p99"),),
        ),
    ),
)

JOBS = Row(
    "Jobs",
    (
        Panel(
            title="Runs by outcome",
            good="ok alone. skipped is a job that was paused.",
            runbook="tieredmemoryjobfailing",
            unit="short",
            queries=(Query(counted("job_runs_total", by="outcome"), "{{outcome}}"),),
        ),
        Panel(
            title="Failed runs",
            good="Zero. One now and then is tried again by itself.",
            runbook="tieredmemoryjobfailing",
            unit="short",
            kind=Kind.BARS,
            steps=NEVER,
            queries=(Query(_failed_runs(), f"{{{{{BY_JOB}}}}}"),),
        ),
        Panel(
            title="How long runs take",
            good="flush and gauges below a second; compact and backup follow the size of the store.",
            runbook="tieredmemoryjobfailing",
            unit="s",
            queries=(Query(rare_quantile(0.95, "job_duration_seconds", by=BY_JOB), f"{{{{{BY_JOB}}}}} p95"),),
        ),
        Panel(
            title="Since the last success",
            good="About the interval of each job.",
            runbook="tieredmemoryjobfailing",
            unit="s",
            width=12,
            queries=(
                Query(
                    f"time() - {highest('job_last_success_timestamp_seconds', by=BY_JOB)}",
                    f"{{{{{BY_JOB}}}}}",
                ),
            ),
        ),
        Panel(
            title="Paused",
            good="Zero, unless somebody is at work on the store.",
            runbook="tieredmemoryjobfailing",
            unit="bool_yes_no",
            width=12,
            most=1.0,
            queries=(Query(highest("job_paused", by=BY_JOB), f"{{{{{BY_JOB}}}}}"),),
        ),
    ),
)

BOARD = Board(
    "journal-and-reliability",
    "tiered-memory-journal",
    "Tiered memory / Journal and reliability",
    "Whether what was acknowledged is safe and reaches the cold tier, and whether anything stored was damaged.",
    (JOURNAL, RELIABILITY, DISK, JOBS),
)
