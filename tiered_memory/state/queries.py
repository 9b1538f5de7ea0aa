"""The named statements of `sql/queries.sql`."""

from __future__ import annotations

from importlib import resources

MARKER = "-- name: "


def load_sql(name: str) -> str:
    """Return the text of a file in this package's `sql` folder."""
    return resources.files("tiered_memory.state").joinpath("sql", name).read_text(encoding="utf-8")


def parse_queries(text: str) -> dict[str, str]:
    """Return statements by the name in the `-- name:` line above each."""
    parts = text.split(MARKER)[1:]
    named = (part.split("\n", 1) for part in parts)
    return {name.strip(): body.strip() for name, body in named}


SQL = parse_queries(load_sql("queries.sql"))
