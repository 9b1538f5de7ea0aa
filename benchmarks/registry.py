"""The benchmarks by name; a new one is one line here. Modules are imported when their benchmark runs."""

from __future__ import annotations

from importlib import import_module

from benchmarks.suite import Benchmark

MODULES = {
    "faults": "benchmarks.faults",
    "retrieval": "benchmarks.retrieval",
    "importance": "benchmarks.importance",
    "latency": "benchmarks.latency",
    "durability": "benchmarks.durability",
    "daemon": "benchmarks.daemon",
    "schema": "benchmarks.schema",
    "erasure": "benchmarks.erasure",
    "supersession": "benchmarks.supersession",
    "forgetting": "benchmarks.forgetting",
    "privacy": "benchmarks.privacy",
    "pii": "benchmarks.pii",
    "load": "benchmarks.load",
}


def find(name: str) -> Benchmark:
    """Return the benchmark of that name; raises KeyError for another."""
    benchmark: Benchmark = import_module(MODULES[name]).BENCHMARK
    return benchmark
