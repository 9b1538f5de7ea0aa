"""The command that hands out the dashboards, the alert rules and the runbooks that come with the package."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Annotated

import typer
from rich.text import Text

from tiered_memory.cli.entry import command, output_of
from tiered_memory.cli.options import Format
from tiered_memory.errors import InvalidInputError
from tiered_memory.plurals import counted

RUNBOOKS = "runbooks.md"
LINKING = {".json", ".yml"}

Target = Annotated[Path, typer.Argument(show_default=False, help="Directory to write to; made if need be.")]
Address = Annotated[
    str,
    typer.Option(
        "--runbooks", help="Where the runbooks can be read: the links of boards and alerts lead there."
    ),
]
Over = Annotated[bool, typer.Option("--force", help="Write over files that differ.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `app`."""
    dashboards = typer.Typer(
        no_args_is_help=True, help="Dashboards for Grafana, alert rules for Prometheus, runbooks."
    )
    command(dashboards, "export")(export)
    app.add_typer(dashboards, name="dashboards", rich_help_panel="Operating")


def export(form: Format, target: Target, runbooks: Address = RUNBOOKS, force: Over = False) -> None:
    """Write the dashboards, alert rules, provisioning files and runbooks into a directory."""
    files = shipped(runbooks)
    differing = [name for name, text in files.items() if _held(target / name) not in {None, text}]
    if differing and not force:
        raise InvalidInputError(
            f"{counted(len(differing), 'file')} there would be written over ({', '.join(differing)}):"
            " give --force, or another directory; nothing was written"
        )
    written = [name for name, text in files.items() if _write(target / name, text)]
    found = {"directory": target, "files": sorted(files), "written": sorted(written)}
    said = f"{counted(len(files), 'file')} in {target}, {len(written)} of them new or changed"
    output_of(form).show(found, Text(said))


def shipped(runbooks: str = RUNBOOKS) -> dict[str, str]:
    """Return the text of each file by its path; links to the runbooks lead to `runbooks`."""
    folder, page = _places()
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path != page]
    files = {path.relative_to(folder).as_posix(): path.read_text(encoding="utf-8") for path in paths}
    return _linked(files, runbooks) | {RUNBOOKS: page.read_text(encoding="utf-8")}


def _linked(files: Mapping[str, str], runbooks: str) -> dict[str, str]:
    linking = {name for name in files if Path(name).suffix in LINKING}
    return {
        name: text.replace(f"{RUNBOOKS}#", f"{runbooks}#") if name in linking else text
        for name, text in files.items()
    }


def _places() -> tuple[Path, Path]:
    """In a wheel both lie inside the package, in a checkout beside it."""
    package = Path(str(resources.files("tiered_memory")))
    inside = package / "dashboards"
    if inside.is_dir():
        return inside, inside / RUNBOOKS
    return package.parent / "dashboards", package.parent / "docs" / RUNBOOKS


def _held(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise InvalidInputError(f"{path} cannot be read ({type(error).__name__})") from None


def _write(path: Path, text: str) -> bool:
    if _held(path) == text:
        return False
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise InvalidInputError(f"{path} cannot be written ({type(error).__name__})") from None
    return True
