"""What the tests of archives share: reading them, and checking lines against the schemas that come with them."""

from __future__ import annotations

import json
import re
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

TYPES: dict[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "number": (int, float),
    "integer": (int,),
    "boolean": (bool,),
    "null": (type(None),),
}
KNOWN = {
    "$schema", "title", "description", "type", "properties", "required", "additionalProperties", "items", "enum",
    "format", "pattern", "minimum", "maximum",
}  # fmt: skip


def lines(path: Path, name: str) -> list[dict[str, Any]]:
    """Return the decoded lines of one of an archive's files."""
    with zipfile.ZipFile(path) as archive:
        return [json.loads(line) for line in archive.read(name).splitlines()]


def document(path: Path, name: str) -> Any:
    with zipfile.ZipFile(path) as archive:
        return json.loads(archive.read(name))


def text(path: Path, name: str) -> str:
    with zipfile.ZipFile(path) as archive:
        return archive.read(name).decode()


def every_problem(path: Path) -> list[str]:
    """Return what in an archive is not as its schemas say."""
    found = []
    with zipfile.ZipFile(path) as archive:
        for name in archive.namelist():
            stem, _, ending = name.rpartition(".")
            if ending not in {"json", "jsonl"} or name == "manifest.json" or name.startswith("schema/"):
                continue
            schema = json.loads(archive.read(f"schema/{stem}.schema.json"))
            data = archive.read(name)
            records = data.splitlines() if ending == "jsonl" else [data]
            found += [one for record in records for one in problems(json.loads(record), schema, name)]
    return found


def problems(value: Any, schema: dict[str, Any], where: str) -> list[str]:
    """Return how a value departs from a schema; a word of JSON Schema that is not checked here is a mistake."""
    assert set(schema) <= KNOWN, set(schema) - KNOWN
    found = [f"{where}: {problem}" for problem in _own(value, schema)]
    if isinstance(value, dict):
        found += _object(value, schema, where)
    if isinstance(value, list) and "items" in schema:
        found += [
            one for n, item in enumerate(value) for one in problems(item, schema["items"], f"{where}[{n}]")
        ]
    return found


def _own(value: Any, schema: dict[str, Any]) -> list[str]:
    wanted = schema.get("type", [])
    kinds = [wanted] if isinstance(wanted, str) else wanted
    found = []
    if kinds and not any(_is(value, kind) for kind in kinds):
        return [f"{value!r} is no {wanted}"]
    if "enum" in schema and value not in schema["enum"]:
        found.append(f"{value!r} is none of {schema['enum']}")
    if isinstance(value, str):
        if schema.get("format") == "date-time" and datetime.fromisoformat(value).utcoffset() is None:
            found.append(f"{value!r} has no offset")
        if not re.search(schema.get("pattern", ""), value):
            found.append(f"{value!r} is not like {schema['pattern']}")
    number = isinstance(value, (int, float)) and not isinstance(value, bool)
    if number and not schema.get("minimum", value) <= value <= schema.get("maximum", value):
        found.append(f"{value!r} is out of bounds")
    return found


def _is(value: Any, kind: str) -> bool:
    return isinstance(value, TYPES[kind]) and (kind == "boolean" or not isinstance(value, bool))


def _object(value: dict[str, Any], schema: dict[str, Any], where: str) -> list[str]:
    known, more = schema.get("properties", {}), schema.get("additionalProperties", True)
    found = [f"{where}: {name} is missing" for name in schema.get("required", ()) if name not in value]
    for name, item in value.items():
        if name in known:
            found += problems(item, known[name], f"{where}.{name}")
        elif more is False:
            found.append(f"{where}: {name} is not known")
        elif isinstance(more, dict):
            found += problems(item, more, f"{where}.{name}")
    return found
