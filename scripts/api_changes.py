"""Say what changed between two descriptions of the HTTP API, and whether it breaks who relied on the first.

python scripts/api_changes.py OLD.json NEW.json     print the changes; fail when one of them breaks clients
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

Schema = dict[str, Any]
VERBS = ("get", "put", "post", "patch", "delete")


@dataclass(frozen=True, slots=True)
class Change:
    """One change: where, what, and whether a client of the old description fails over it."""

    where: str
    what: str
    breaks: bool


def changes(old: Schema, new: Schema) -> list[Change]:
    """Return what changed, in the order of the paths."""
    before, after = dict(operations(old)), dict(operations(new))
    found = [Change(where, "is gone", breaks=True) for where in before if where not in after]
    found += [Change(where, "is new", breaks=False) for where in after if where not in before]
    for where, one in before.items():
        if where in after:
            found += _of_operation(where, (old, one), (new, after[where]))
    return found


def operations(document: Schema) -> Iterator[tuple[str, Schema]]:
    """Give every operation under its verb and path."""
    for path, verbs in document["paths"].items():
        yield from ((f"{verb.upper()} {path}", verbs[verb]) for verb in VERBS if verb in verbs)


def _of_operation(where: str, old: tuple[Schema, Schema], new: tuple[Schema, Schema]) -> Iterator[Change]:
    if old[1]["operationId"] != new[1]["operationId"]:
        yield Change(where, f"is called {new[1]['operationId']} now", breaks=True)
    yield from _given(where, _taken(*old), _taken(*new))
    before, after = _answered(*old), _answered(*new)
    yield from (
        Change(where, f"answers no {name} any more", breaks=True) for name in before if name not in after
    )
    yield from (Change(where, f"answers {name}", breaks=False) for name in after if name not in before)
    yield from (
        Change(where, f"answers {name} of another type", breaks=True)
        for name in before
        if name in after and before[name] != after[name]
    )


def _given(
    where: str, before: dict[str, tuple[bool, str]], after: dict[str, tuple[bool, str]]
) -> Iterator[Change]:
    for name, (needed, kind) in before.items():
        if name not in after:
            yield Change(where, f"takes no {name} any more", breaks=True)
        elif after[name][0] and not needed:
            yield Change(where, f"asks for {name}, which could be left out", breaks=True)
        elif after[name] != (needed, kind):
            yield Change(where, f"takes another {name}", breaks=after[name][1] != kind)
    for name, (needed, _) in after.items():
        if name not in before:
            yield Change(where, f"takes {name}", breaks=needed)


def _taken(document: Schema, operation: Schema) -> dict[str, tuple[bool, str]]:
    """Return what a request may give: whether it must, and its type as text."""
    found = {
        f"{one['in']} {one['name']}": (one["required"], _text(document, one["schema"]))
        for one in operation["parameters"]
    }
    for media_type, content in operation.get("requestBody", {}).get("content", {}).items():
        whole = resolved(document, content["schema"])
        required = whole.get("required", [])
        found |= {f"body {media_type}": (False, media_type)}
        found |= {
            f"field {name}": (name in required, _text(document, one))
            for name, one in whole.get("properties", {}).items()
        }
    return found


def _answered(document: Schema, operation: Schema) -> dict[str, str]:
    """Return the fields of the answer of success, each with its type as text."""
    found = {}
    for status, response in operation["responses"].items():
        if status.startswith("2"):
            found[f"status {status}"] = status
            for content in resolved(document, response).get("content", {}).values():
                whole = resolved(document, content["schema"])
                found |= {name: _text(document, one) for name, one in whole.get("properties", {}).items()}
    return found


def resolved(document: Schema, schema: Schema) -> Schema:
    """Follow references to what they name."""
    while "$ref" in schema:
        found: Any = document
        for part in schema["$ref"].removeprefix("#/").split("/"):
            found = found[part]
        schema = found
    return schema


def _text(document: Schema, schema: Any, depth: int = 4) -> str:
    """Return a type as text without what does not bind; what is nested deeper than `depth` is not compared."""
    if isinstance(schema, list):
        return json.dumps([_text(document, one, depth) for one in schema])
    if not isinstance(schema, dict):
        return json.dumps(schema)
    if depth == 0:
        return "…"
    whole = resolved(document, schema)
    kept = {name: one for name, one in whole.items() if name not in {"title", "description", "default"}}
    return json.dumps({name: _text(document, one, depth - 1) for name, one in sorted(kept.items())})


def main(arguments: list[str]) -> int:
    """Print the changes between two files; 1 when one of them breaks clients."""
    old, new = (json.loads(Path(name).read_text(encoding="utf-8")) for name in arguments)
    found = changes(old, new)
    for one in found:
        print(f"{'BREAKS' if one.breaks else 'adds  '} {one.where} {one.what}")
    return int(any(one.breaks for one in found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
