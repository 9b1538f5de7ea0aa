"""Runs one benchmark: `python -m benchmarks NAME`. See `--help`."""

from __future__ import annotations

import argparse
import asyncio
import json
import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from rich import progress as bars
from rich.console import Console

from benchmarks.charts import write_chart
from benchmarks.machine import describe
from benchmarks.registry import MODULES, find
from benchmarks.suite import MISSED, Request, document
from tiered_memory.errors import TieredMemoryError


class Bars:
    """A progress bar per stage, for a person at a terminal."""

    def __init__(self, console: Console) -> None:
        columns = (*bars.Progress.get_default_columns(), bars.MofNCompleteColumn())
        self._bars = bars.Progress(*columns, console=console, transient=True)
        self._task: bars.TaskID | None = None

    def __enter__(self) -> Self:
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def stage(self, title: str, total: int) -> None:
        """Begin a stage; the one before goes."""
        if self._task is not None:
            self._bars.remove_task(self._task)
        self._task = self._bars.add_task(title, total=total)

    def step(self, count: int = 1) -> None:
        """Count steps of the present stage."""
        if self._task is not None:
            self._bars.advance(self._task, count)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the benchmark the arguments name and show what came out; return the exit status.

    That is 0, 1 if it could not be run, and `MISSED` if a result is worse than it may be.
    """
    chosen = _parser().parse_args(arguments)
    console, told = Console(), Console(stderr=True)
    logger = logging.getLogger("tiered_memory")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        found = _run(chosen, told)
    except (OSError, ValueError, KeyError, TieredMemoryError) as error:
        told.print(f"{type(error).__name__}: {error}", style="red", markup=False)
        return 1
    finally:
        logger.setLevel(level)
    benchmark = find(chosen.name)
    for table in benchmark.tables(found["results"]):
        console.print(table)
    if chosen.json is not None:
        write_json(found, chosen.json)
    if chosen.plot is not None:
        for chart in benchmark.charts(found["results"]):
            console.print(f"{write_chart(chart, chosen.plot)}", markup=False)
    missed = benchmark.missed(found["results"])
    for one in missed:
        told.print(f"missed: {one}", style="red", markup=False)
    return MISSED if missed else 0


def write_json(found: dict[str, Any], path: Path) -> None:
    """Write the document so that `path` is either the old file or the whole new one."""
    beside = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with beside.open("w", encoding="utf-8") as file:
            json.dump(found, file, indent=2, ensure_ascii=False, allow_nan=False)
            file.write("\n")
            file.flush()
            os.fsync(file.fileno())
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _run(chosen: argparse.Namespace, told: Console) -> dict[str, Any]:
    benchmark, machine = find(chosen.name), describe()
    request = Request(
        data=chosen.data,
        turns=chosen.turns,
        policy=chosen.policy,
        full=chosen.full,
        seed=chosen.seed,
        seconds=chosen.seconds,
        scale=chosen.scale,
    )
    if told.is_terminal:
        with Bars(told) as shown:
            measured = asyncio.run(benchmark.run(replace(request, progress=shown)))
    else:
        measured = asyncio.run(benchmark.run(request))
    config = {"full": chosen.full, "seed": chosen.seed, **measured.config}
    return document(chosen.name, replace(measured, config=config), machine)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Measures the product itself.")
    parser.add_argument("name", choices=sorted(MODULES))
    parser.add_argument("--data", type=Path, metavar="FILE", help="conversations (default: the bundled demo)")
    parser.add_argument(
        "--turns", type=Path, metavar="FILE", help="pii: conversations without any personal data"
    )
    parser.add_argument("--policy", metavar="NAME|FILE", help="a shipped policy, 'open', or a policy file")
    extent = parser.add_mutually_exclusive_group()
    extent.add_argument("--quick", dest="full", action="store_false", help="a minute or two (the default)")
    extent.add_argument("--full", dest="full", action="store_true", help="everything, however long it takes")
    parser.set_defaults(full=False)
    parser.add_argument("--seed", type=int, default=0, help="seeds what is drawn (default: 0)")
    parser.add_argument("--seconds", type=_positive, metavar="N", help="how long timed load lasts")
    parser.add_argument(
        "--scale", action="store_true", help="forgetting: also a cycle over up to a million rows"
    )
    parser.add_argument("--json", type=Path, metavar="OUT", help="write the JSON document to this file")
    parser.add_argument("--plot", type=Path, metavar="DIR", help="write charts (SVG) into this folder")
    return parser


def _positive(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be above 0")
    return seconds


if __name__ == "__main__":
    sys.exit(main())
