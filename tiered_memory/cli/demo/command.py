"""The command `demo`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import aclosing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, SpinnerColumn, TextColumn
from rich.text import Text

from tiered_memory.cli.entry import command, output_of
from tiered_memory.cli.options import Format
from tiered_memory.cli.output import Output, console
from tiered_memory.errors import ConfigurationError

if TYPE_CHECKING:
    from tiered_memory.cli.demo.facts import Act
    from tiered_memory.cli.demo.source import Conversation

WIDEST = 100


@dataclass(frozen=True, slots=True, kw_only=True)
class Playground(Format):
    """Where a demo plays: never in a store that is in use, so the environment's data directory is not taken."""

    data: Annotated[
        Path | None,
        typer.Option(show_default="a temporary one", help="New or empty directory to play in; it stays."),
    ] = None
    config: Annotated[Path | None, typer.Option(help="Settings file (TOML).")] = None


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    command(app, "demo", rich_help_panel="Begin here")(demo)


def demo(
    ground: Playground,
    source: Annotated[
        Path | None,
        typer.Option(
            "--input",
            show_default="a bundled one",
            help="Conversation: JSON lines of content, role, time, …; or a file in LoCoMo's shape.",
        ),
    ] = None,
    number: Annotated[
        int, typer.Option("--conversation", help="Which conversation of a file in LoCoMo's shape.")
    ] = 1,
) -> None:
    """Watch a memory's whole life: consent, routing, recall, forgetting, erasure with proof."""
    if ground.data is not None and ground.data.exists() and not _is_empty(ground.data):
        raise ConfigurationError("a demo plays in a new or empty directory; this one holds something")
    output = output_of(ground)
    telling = _Telling(output)
    telling.banner()
    with telling.waiting("starting the engines"):
        import anyio

        from tiered_memory.cli.demo.source import bundled, read

        conversation = bundled() if source is None else read(source, number)
        telling.prepare()
    anyio.run(telling.perform, ground, conversation)


def _is_empty(path: Path) -> bool:
    return path.is_dir() and not any(path.iterdir())


class _Telling:
    """Plays a demo and tells it as it goes, or writes its document at the end."""

    def __init__(self, output: Output) -> None:
        self._output = output
        self._acts: list[Act] = []
        self._console: Console = console(widest=WIDEST)
        self._progress: Progress | None = None

    def banner(self) -> None:
        """Say at once what is going to be seen."""
        if not self._output.as_document:
            self._console.print(
                Text.assemble((" tiered_memory ", "bold white on blue"), "  a memory's whole life")
            )

    def prepare(self) -> None:
        """Import the engines: the longest part of a start."""
        from tiered_memory.cli.demo import render, script

        self._play = script.play
        self._teller = render.Teller(self._console)

    async def perform(self, ground: Playground, conversation: Conversation) -> None:
        """Play the acts."""
        from tiered_memory.cli.demo.facts import document
        from tiered_memory.cli.demo.stage import Ground

        where = Ground(data=ground.data, config=ground.config)
        async with aclosing(self._play(where, conversation, self)) as acts:
            async for act in acts:
                self._end_progress()
                self._acts.append(act)
                if not self._output.as_document:
                    self._teller.tell(act)
        if self._output.as_document:
            self._output.show(document(self._acts))

    def progress(self, done: int, total: int, now: datetime) -> None:
        """Show how far an act has come, on a terminal."""
        if self._progress is None:
            columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn())
            self._progress = Progress(
                *columns, console=self._output.err, transient=True, disable=not self._output.err.is_terminal
            )
            self._progress.add_task("", total=total)
            self._progress.start()
        self._progress.update(self._progress.task_ids[0], completed=done, description=f"{now:%d %B %Y}")

    def _end_progress(self) -> None:
        if self._progress is not None:
            self._progress.stop()
            self._progress = None

    @contextmanager
    def waiting(self, what: str) -> Iterator[None]:
        """Show that something is going on, on a terminal."""
        if not self._output.err.is_terminal:
            yield
            return
        with self._output.err.status(what):
            yield
