"""Plays a page's console blocks in an empty directory and compares what is printed with what the page shows.

    python scripts/walkthrough.py docs/privacy-walkthrough.md           # exit code 1 and the differences
    python scripts/walkthrough.py docs/privacy-walkthrough.md --write   # puts what was printed into the page

A line that begins with `$ ` is a command, continued after a backslash; the lines up to the next are what it prints to
either stream. Ids, digests, dates and times may be others than the page's: what stood for the page's id is put in its
place in later commands. `...` stands for any part of a line. A command fails if, and only if, the page shows an error.
"""

from __future__ import annotations

import argparse
import contextlib
import difflib
import os
import re
import shlex
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PROGRAM, SETTINGS = "tiered-memory", "TIERED_MEMORY_"
FENCE = re.compile(r"^```console\n(.*?)^```$", re.DOTALL | re.MULTILINE)
ID = re.compile(r"(?<![\w…])[0-9a-f]{8,64}(?!\w)|(?<=…)[0-9a-f]{8,64}(?!\w)")
VARIES = re.compile(
    rf"(?P<id>{ID.pattern})|(?P<date>\d{{4}}-\d\d-\d\d)|(?P<time>\d\d:\d\d(?::\d\d)?)|(?P<any>\.\.\.)"
)
SHELL = re.compile(r"[|<>;&*]")


@dataclass(slots=True)
class Step:
    """A command as the page has it, and the lines the page shows after it."""

    lines: list[str]
    shown: list[str] = field(default_factory=list)

    @property
    def command(self) -> str:
        """The command on one line."""
        return " ".join(line.removesuffix("\\").strip() for line in self.lines).removeprefix("$ ")

    @property
    def fails(self) -> bool:
        """Whether the page shows an error."""
        return any(line.startswith("error: ") for line in self.shown)


def steps_of(block: str) -> list[Step]:
    """Return a block's commands, each with what is shown after it."""
    found: list[Step] = []
    continued = False
    for line in block.splitlines():
        if line.startswith("$ "):
            found.append(Step([line]))
        elif continued:
            found[-1].lines.append(line)
        else:
            found[-1].shown.append(line)
            continue
        continued = line.endswith("\\")
    return found


def tidy(text: str) -> list[str]:
    """Return printed lines without trailing blanks, outer blank lines, and more than one blank line at once."""
    lines = [line.rstrip() for line in text.splitlines()]
    kept = [line for at, line in enumerate(lines) if line or (at and lines[at - 1])]
    while kept and not kept[-1]:
        kept.pop()
    return kept[1:] if kept and not kept[0] else kept


@dataclass(slots=True)
class Walk:
    """A walk through a page in a directory of its own; `names` maps ids of the page to those of this walk."""

    folder: Path
    environment: dict[str, str]
    names: dict[str, str] = field(default_factory=dict)

    def run(self, command: str) -> tuple[list[str], int]:
        """Return what a command of the page printed, and its exit code."""
        command = ID.sub(lambda found: self._here(found.group()), command)
        if command.startswith("export "):
            self.environment |= dict(word.split("=", 1) for word in shlex.split(command)[1:])
            return [], 0
        if command.startswith(PROGRAM) and not SHELL.search(command):
            return self._in_this_process(shlex.split(command)[1:])
        done = subprocess.run(  # noqa: S603  # the commands are the page's own
            ["/bin/sh", "-c", command],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        return tidy(done.stdout), done.returncode

    def _in_this_process(self, arguments: list[str]) -> tuple[list[str], int]:
        """Starting Python for every command would take most of the time."""
        from typer.testing import CliRunner

        from tiered_memory.cli.app import build

        settings = {name: value for name, value in self.environment.items() if name.startswith(SETTINGS)}
        around = dict.fromkeys(name for name in os.environ if name.startswith(SETTINGS))
        with contextlib.chdir(self.folder):
            done = CliRunner(env={**around, **settings}).invoke(build(), arguments)
        if done.exception is not None and not isinstance(done.exception, SystemExit):
            raise done.exception
        return tidy(done.output), done.exit_code

    def _here(self, name: str) -> str:
        whole = next((one for one in self.names if one.startswith(name)), None)
        return name if whole is None else self.names[whole][: len(name)]

    def there(self, line: str) -> str:
        """Return a printed line with the page's ids in the place of this walk's."""
        back = {here: name for name, here in self.names.items()}

        def named(found: re.Match[str]) -> str:
            whole = next((one for one in back if one.startswith(found.group())), None)
            return found.group() if whole is None else back[whole][: len(found.group())]

        return ID.sub(named, line)

    def agrees(self, shown: str, printed: str) -> bool:
        """Tell whether a line is what the page shows; remember which ids stand for the page's."""
        ids = [one.group() for one in VARIES.finditer(shown) if one.lastgroup == "id"]
        found = re.fullmatch(pattern(shown), printed)
        if found is None:
            return False
        names = dict(self.names)
        for name, here in zip(ids, found.groups(), strict=True):
            if any(_alike(name, one) is not _alike(here, other) for one, other in names.items()):
                return False
            names.setdefault(name, here)
        self.names = names
        return True


def _alike(one: str, other: str) -> bool:
    """Tell whether one may be the beginning of the other: ids are shown shortened."""
    return one.startswith(other) or other.startswith(one)


def pattern(shown: str) -> str:
    """Return the regular expression of lines that agree with a shown one; its groups are the ids."""
    made, at = "", 0
    for one in VARIES.finditer(shown):
        forms = {"date": r"\d{4}-\d\d-\d\d", "time": re.sub(r"\d", r"\\d", one.group()), "any": ".*"}
        form = f"([0-9a-f]{{{len(one.group())}}})" if one.lastgroup == "id" else forms[str(one.lastgroup)]
        made, at = made + re.escape(shown[at : one.start()]) + form, one.end()
    return made + re.escape(shown[at:])


def compared(walk: Walk, step: Step, printed: list[str]) -> list[str]:
    """Return the lines the page should show: its own where they agree, what was printed where not."""
    if len(printed) == len(step.shown):
        pairs = zip(step.shown, printed, strict=True)
        return [shown if walk.agrees(shown, line) else walk.there(line) for shown, line in pairs]
    return [walk.there(line) for line in printed]


def play(page: str, walk: Walk) -> tuple[str, list[str]]:
    """Return the page as it should be, and what went otherwise than it says."""
    problems: list[str] = []

    def played(block: re.Match[str]) -> str:
        lines: list[str] = []
        for step in steps_of(block.group(1)):
            printed, code = walk.run(step.command)
            right = compared(walk, step, printed)
            if right != step.shown:
                problems.extend([f"$ {step.command}", *difflib.ndiff(step.shown, right)])
            if bool(code) is not any(line.startswith("error: ") for line in right):
                problems.append(f"$ {step.command}\nends with exit code {code}")
            lines += [*step.lines, *right]
        return "```console\n" + "".join(f"{line}\n" for line in lines) + "```"

    return FENCE.sub(played, page), problems


def environment(folder: Path) -> dict[str, str]:
    """Return an environment in which the program and this Python are found and no setting reaches."""
    programs = folder / ".programs"
    programs.mkdir()
    for name, command in ((PROGRAM, "-m tiered_memory"), ("python", "")):
        script = programs / name
        script.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} {command} "$@"\n', encoding="utf-8")
        script.chmod(0o755)
    kept = {name: value for name, value in os.environ.items() if not name.startswith(SETTINGS)}
    return {
        **kept,
        "PYTHONPATH": str(ROOT),
        "PATH": f"{programs}{os.pathsep}{kept.get('PATH', '')}",
        "COLUMNS": "100",
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Play one page."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("page", type=Path)
    parser.add_argument("--write", action="store_true", help="put what was printed into the page")
    given = parser.parse_args(arguments)
    page = given.page.resolve()
    text = page.read_text(encoding="utf-8")
    with tempfile.TemporaryDirectory() as folder:
        walk = Walk(Path(folder), environment(Path(folder)))
        found, problems = play(text, walk)
    if given.write:
        page.write_text(found, encoding="utf-8")
    sys.stdout.write("".join(f"{line}\n" for line in problems))
    return 1 if problems and not given.write else 0


if __name__ == "__main__":
    sys.path.insert(0, str(ROOT))
    sys.exit(main())
