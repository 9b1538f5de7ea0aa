"""Fixtures shared by every test, and the rule that CI skips nothing for want of a tool."""

from __future__ import annotations

import os
from collections.abc import Generator
from typing import TypeVar

import pytest
from hypothesis import settings

pytest.register_assert_rewrite("tiered_memory.testing")

# What CI says of a commit must not depend on chance; at a desk every run looks elsewhere.
settings.register_profile("ci", derandomize=True, deadline=None, print_blob=True)
settings.register_profile("desk", deadline=None)
settings.load_profile("ci" if "CI" in os.environ else "desk")

Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
MISSING = ("needs ", "could not import ")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(
    item: pytest.Item, call: pytest.CallInfo[None]
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    del item, call
    report = yield
    return _judged(report)


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(
    collector: pytest.Collector,
) -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    del collector
    report = yield
    return _judged(report)


def _judged(report: Report) -> Report:
    """At a desk a missing tool skips its tests; in CI it fails them, or nobody would see them stop running."""
    if not (report.skipped and os.environ.get("CI") and isinstance(report.longrepr, tuple)):
        return report
    reason = report.longrepr[2].removeprefix("Skipped: ")
    if reason.startswith(MISSING):
        report.outcome = "failed"
        report.longrepr = f"in CI nothing may be missing: {reason}"
    return report


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest modules first: when tests are shared out, none of them is left for the end."""
    items.sort(key=lambda item: "simulate" not in item.path.parts)
