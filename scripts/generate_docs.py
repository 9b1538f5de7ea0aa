"""Write the parts of the documentation that follow from the code, or check that they are up to date.

python scripts/generate_docs.py            rewrite what stands between the markers of the files in docs
python scripts/generate_docs.py --check    change nothing; fail when something would change
"""

from __future__ import annotations

import ast
import inspect
import re
import sys
import textwrap
import tomllib
from collections.abc import Callable, Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import typer.main
from annotated_types import Ge, Gt, Le, Lt

from tiered_memory.cli.app import build
from tiered_memory.config import ENV_PREFIX, Settings
from tiered_memory.metrics.catalogue import FAMILIES, OWN_LABELS, Family, most_series
from tiered_memory.metrics.words import OTHER, Vocabulary
from tiered_memory.wire.faces import method_of
from tiered_memory.wire.openapi import description
from tiered_memory.wire.operation import Operation
from tiered_memory.wire.problems import STATUSES, MalformedError
from tiered_memory.wire.table import OPERATIONS

ROOT = Path(__file__).resolve().parent.parent
DOCS = ROOT / "docs"
NONE = "-"
SENTENCE_END = re.compile(r"(?<!\bArt)\. ")
SIGNS = {Ge: "≥", Gt: ">", Le: "≤", Lt: "<"}


def settings_table() -> str:
    """Return a table of every setting: how to give it, its default and bounds, what it means."""
    meanings = attribute_docstrings(Settings)
    rows = [
        (f"`{name}`", f"`{ENV_PREFIX}{name.upper()}`", default_of(field), bounds_of(field), meanings[name])
        for name, field in Settings.model_fields.items()
    ]
    return table(("setting", "environment", "default", "bounds", "meaning"), rows)


def policies_table() -> str:
    """Return every value of the shipped policies side by side; a key that a file leaves out has the default's."""
    files = {path.stem: read_toml(path) for path in sorted((ROOT / "policies").glob("*.toml"))}
    default = {key: value for key, value in files["default"].items() if key != "purposes"}
    policies = {name: dict(leaves(default)) | dict(leaves(values)) for name, values in files.items()}
    keys = dict.fromkeys(key for values in policies.values() for key in values)
    rows = [
        (f"`{key}`", *(named(values.get(key)) for values in policies.values()))
        for key in keys
        if key not in {"schema", "name"}
    ]
    differing = [row for row in rows if len(set(row[1:])) > 1]
    shared = [row[:2] for row in rows if len(set(row[1:])) == 1]
    head = ("key", *(f"`{name}`" for name in policies))
    return f"{table(head, differing)}\n\nIn all of them alike:\n\n{table(('key', 'value'), shared)}"


def named(value: object) -> str:
    """Return a value as `shown`; rules by their names."""
    return ", ".join(f"`{rule['name']}`" for rule in value) if isinstance(value, list) else shown(value)


def commands_table() -> str:
    """Return the commands of the command line, each with the first sentence of its help."""
    rows = [
        (f"`tiered-memory {name}`", summary) for name, summary in commands(typer.main.get_command(build()))
    ]
    return table(("command", "what it does"), rows)


def metrics_table() -> str:
    """Return a table of every family of series, one of every label's values, and how many series there are."""
    words = Vocabulary()
    rows = [
        (
            f"`{one.full_name}`",
            one.kind.value,
            labelled(one),
            one.unit,
            one.meaning,
            one.source,
            str(one.most_series(words)),
        )
        for one in FAMILIES
    ]
    sets = {field: label for one in FAMILIES for label, field in one.labels.items()}
    values = [
        (f"`{field}`", f"`{label}`", ", ".join(f"`{word}`" for word in sorted(getattr(words, field))))
        for field, label in sorted(sets.items())
    ]
    head = ("name", "type", "labels: values", "unit", "meaning", "reported by", "series at most")
    most = f"At most {most_series()} series in all, however many people are served."
    dimension = f"The values of each label; besides, each but `result` has `{OTHER}`:"
    found = (most, table(head, rows), dimension, table(("values", "label", "words"), values))
    return "\n\n".join(found)


def labelled(family: Family) -> str:
    """Return a family's labels, each with the name of its set of values."""
    own = [f"`{label}`" for label in OWN_LABELS.get(family.name, ())]
    return ", ".join(own or [f"`{label}`: `{field}`" for label, field in family.labels.items()]) or NONE


def http_tables() -> str:
    """Return the operations of the HTTP API, and the errors with their statuses."""
    operations = [
        (f"`{one.verb} {one.template}`", f"`{one.name}`", f"`{one.grant.value}`", summary_of(one))
        for one in OPERATIONS
    ]
    known = sorted(
        (status, kind.__name__, SENTENCE_END.split(" ".join((kind.__doc__ or "").split()))[0].rstrip("."))
        for kind, status in STATUSES.items()
        if kind is not MalformedError
    )
    errors = [(str(status), f"`{name}`", words) for status, name, words in known]
    return (
        f"{table(('request', 'operation', 'scope', 'what it does'), operations)}\n\n"
        f"Errors, and the kinds of each that are not named here, are answered with:\n\n"
        f"{table(('status', 'class', 'meaning'), errors)}"
    )


def summary_of(one: Operation) -> str:
    """Return the first sentence of what an operation's method says of itself."""
    paragraph = (inspect.getdoc(method_of(one)) or "").split("\n\n", maxsplit=1)[0]
    return SENTENCE_END.split(" ".join(paragraph.split()))[0].rstrip(".").replace("|", "\\|")


WHOLE: dict[str, Callable[[], bytes]] = {"openapi.json": description}
"""Files of docs that are generated from end to end."""
SECTIONS: dict[str, Callable[[], str]] = {
    "metrics": metrics_table,
    "settings": settings_table,
    "policies": policies_table,
    "commands": commands_table,
    "http": http_tables,
}


def generated(name: str, text: str) -> str:
    """Return `text`, docs/NAME.md, with its marked section written anew."""
    marked = re.compile(rf"(<!-- generated: {name} -->\n).*?(<!-- end: {name} -->)", re.DOTALL)
    if not marked.search(text):
        raise SystemExit(f"docs/{name}.md has no section marked {name!r}")
    content = SECTIONS[name]()
    return marked.sub(lambda found: f"{found[1]}{content}\n{found[2]}", text)


def main(arguments: list[str]) -> int:
    """Rewrite the files; with `--check` only say whether that would change any."""
    stale = []
    for name in SECTIONS:
        path = DOCS / f"{name}.md"
        before = path.read_text(encoding="utf-8")
        after = generated(name, before)
        if before != after:
            stale.append(f"docs/{name}.md")
            if arguments != ["--check"]:
                path.write_text(after, encoding="utf-8")
    for name, made in WHOLE.items():
        path = DOCS / name
        if not path.is_file() or path.read_bytes() != made():
            stale.append(f"docs/{name}")
            if arguments != ["--check"]:
                path.write_bytes(made())
    if arguments == ["--check"]:
        print(f"{', '.join(stale)}: out of date, run `make docs`" if stale else "docs are up to date")
        return int(bool(stale))
    return 0


def commands(group: Any, prefix: str = "") -> Iterator[tuple[str, str]]:
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{prefix}{name} ")
        elif not command.hidden:
            paragraph = " ".join((command.help or "").split("\n\n", maxsplit=1)[0].split())
            yield prefix + name, SENTENCE_END.split(paragraph)[0].rstrip(".")


def attribute_docstrings(owner: type) -> dict[str, str]:
    """Return the strings that stand below a class's annotated attributes."""
    body = ast.parse(textwrap.dedent(inspect.getsource(owner))).body[0].body  # type: ignore[attr-defined]
    return {
        first.target.id: " ".join(second.value.value.split())
        for first, second in pairwise(body)
        if isinstance(first, ast.AnnAssign)
        and isinstance(second, ast.Expr)
        and hasattr(second.value, "value")
    }


def leaves(values: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, object]]:
    for key, value in values.items():
        if isinstance(value, dict):
            yield from leaves(value, f"{prefix}{key}.")
        else:
            yield prefix + key, value


def read_toml(path: Path) -> dict[str, Any]:
    return tomllib.loads(path.read_text(encoding="utf-8"))


def default_of(field: Any) -> str:
    return shown(field.default)


def bounds_of(field: Any) -> str:
    bounds = [one for one in field.metadata if type(one) in SIGNS]
    return ", ".join(f"{SIGNS[type(one)]} {next(iter(vars_of(one)))}" for one in bounds) or NONE


def vars_of(bound: Any) -> list[object]:
    return [getattr(bound, name) for name in ("ge", "gt", "le", "lt") if hasattr(bound, name)]


def shown(value: object) -> str:
    if value is None:
        return NONE
    return f"`{str(value).lower() if isinstance(value, bool) else value}`"


def table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> str:
    lines = [head, tuple("---" for _ in head), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
