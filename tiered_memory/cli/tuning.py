"""The command that replays a history under candidate policies. It opens no store and stores nothing."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tiered_memory.cli.bulk import lines_in, opened
from tiered_memory.cli.entry import command, output_of
from tiered_memory.cli.options import Format
from tiered_memory.errors import InvalidInputError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tiered_memory.cli.histories import Line
    from tiered_memory.cli.output import Output
    from tiered_memory.forgetting.rehearsal import History, Rehearsal
    from tiered_memory.policy.rules import Policy

STDIN = "-"
DAY_US = 86_400_000_000
LONGEST_HORIZON_DAYS = 3650
MOST_SHOWN = 1000
EXAMPLES = 5


@dataclass(frozen=True, slots=True)
class Candidate:
    """A policy, its number in the answer (from 1), what it makes of the history, and whether none beats it."""

    number: int
    policy: Policy
    found: Rehearsal
    best: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Tuning:
    """A whole answer. `shown` is how many examples are shown with their contents; 0: none."""

    lines: Sequence[Line]
    history: History
    candidates: Sequence[Candidate]
    chosen: Candidate | None
    shown: int


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "tune", rich_help_panel="Operating")(tune)


@dataclass(frozen=True, slots=True, kw_only=True)
class Trial:
    """Which policies to compare."""

    policy: Annotated[
        list[str] | None,
        typer.Option(show_default="default, seed and a grid", help="A candidate: a file, or a shipped name."),
    ] = None
    set: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            show_default=False,
            help="A change to try beside, e.g. decay.threshold=0.05; all at once.",
        ),
    ] = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which row to go into."""

    choose: Annotated[
        str | None, typer.Option(show_default=False, help="Row to go into: its number or name.")
    ] = None
    write: Annotated[
        Path | None, typer.Option(show_default=False, help="New policy file for the chosen row.")
    ] = None


def tune(
    form: Format,
    trial: Trial,
    choice: Choice,
    source: Annotated[
        str,
        typer.Option(
            "--input", show_default=False, help="File of JSON lines, or -: turns, and when they were used."
        ),
    ],
    horizon_days: Annotated[
        int, typer.Option(min=0, max=LONGEST_HORIZON_DAYS, help="Days to go on after the last line.")
    ] = 0,
    show: Annotated[
        int, typer.Option(min=0, max=MOST_SHOWN, help="Examples to show with what they say.")
    ] = 0,
) -> None:
    """Replay a history under candidate policies: what would be kept, forgotten and stored. Stores nothing."""
    from tiered_memory.cli import tuning_views

    output = output_of(form)
    policies = candidates(trial.policy or [], trial.set or [])
    picked = _picked(policies, choice)
    lines, history = _history(output, source, horizon_days)
    found = _rehearsed(output, history, policies, show or EXAMPLES)
    chosen = None if picked is None else found[picked]
    made = Tuning(lines=lines, history=history, candidates=found, chosen=chosen, shown=show)
    if chosen is not None and choice.write is not None:
        _write(choice.write, chosen.policy)
    bounded = [one.name for one in policies if one.quota.bounded]
    if bounded:
        output.note(f"quotas are not replayed, and there are some in: {', '.join(bounded)}", "yellow")
    output.show(tuning_views.document(made), tuning_views.picture(made))


def candidates(names: Sequence[str], settings: Sequence[str]) -> list[Policy]:
    """Return the policies to compare: those named, each also with the settings; by default a grid as well.

    Raises:
        PolicyError: there is no such policy, or the settings make none.
    """
    from tiered_memory.policy.variants import around, changed
    from tiered_memory.wiring import load_policy

    bases = [load_policy(name) for name in names or ["default"]]
    if settings:
        renamed = [replace(changed(one, settings), name=f"{one.name}+set") for one in bases]
        return [*bases, *renamed]
    return bases if names else [*bases, load_policy("seed"), *around(bases[0])]


def _picked(policies: Sequence[Policy], choice: Choice) -> int | None:
    """Return the index of the chosen policy; a lone one need not be chosen to be written."""
    choose = choice.choose
    if choose is None:
        if choice.write is not None and len(policies) > 1:
            raise InvalidInputError("say with --choose which row to write")
        return None if choice.write is None else 0
    named = [at for at, one in enumerate(policies) if choose in {str(at + 1), one.name}]
    if len(named) == 1:
        return named[0]
    if named:
        raise InvalidInputError(f"{len(named)} rows are called {choose!r}; choose by number")
    known = ", ".join(one.name for one in policies)
    raise InvalidInputError(f"--choose: no row is called {choose!r}; there are 1 to {len(policies)}: {known}")


def _history(output: Output, source: str, horizon_days: int) -> tuple[Sequence[Line], History]:
    from tiered_memory.bulk import collector_paused
    from tiered_memory.cli.histories import Reader, scored
    from tiered_memory.clock import SystemClock
    from tiered_memory.config import Settings
    from tiered_memory.forgetting.rehearsal import History

    path = None if source == STDIN else Path(source)
    reader = Reader(SystemClock().now(), Settings.model_fields["max_content_bytes"].default)
    with collector_paused():
        with opened(path) as stream, _told(output, "reading", lines_in(path)) as report:
            needs = reader.read(stream, report)
        with _told(output, "scoring", len(reader.lines)) as report:
            turns = scored(reader.lines, report)
        ends = [*(turn.said_us for turn in turns), *(need.at_us for need in needs)]
        return reader.lines, History(turns, needs, max(ends, default=0) + horizon_days * DAY_US)


def _rehearsed(
    output: Output, history: History, policies: Sequence[Policy], examples: int
) -> list[Candidate]:
    from tiered_memory.forgetting.rehearsal import best, rehearse

    found = []
    with _told(output, "replaying", len(policies)) as report:
        for policy in policies:
            found.append(rehearse(history, policy, examples))
            report(len(found))
    marked = zip(policies, found, best(found), strict=True)
    return [Candidate(number, *one) for number, one in enumerate(marked, start=1)]


@contextmanager
def _told(output: Output, what: str, total: int | None) -> Iterator[Callable[[int], None]]:
    """Show how far a step has come, on a terminal."""
    with output.progress(what, total) as progress:
        yield lambda done: progress.update(progress.task_ids[0], completed=done)


def _write(path: Path, policy: Policy) -> None:
    from tiered_memory.policy.variants import as_toml

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(as_toml(policy))
    except FileExistsError:
        raise InvalidInputError("the file for the policy is there already; give a new one") from None
    except OSError as error:
        raise InvalidInputError(f"the policy cannot be written ({type(error).__name__})") from None
