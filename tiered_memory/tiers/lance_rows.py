"""Sealed records as rows of the engine's, and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from tiered_memory.errors import ColdTierError
from tiered_memory.tiers.base import TierRecord

ROW_SCHEMA = 1
COLUMNS = ["id", "order", "version", "sealed", "expires_us"]
"""What is read of a row."""


def sealed_schema(embedder: str) -> Any:
    """Return the schema of a table whose rows are sealed."""
    import pyarrow as pa

    fields = [
        pa.field("id", pa.string(), nullable=False),
        pa.field("order", pa.int64(), nullable=False),
        pa.field("version", pa.int32(), nullable=False),
        pa.field("schema", pa.int16(), nullable=False),
        pa.field("sealed", pa.binary(), nullable=False),
        pa.field("expires_us", pa.int64(), nullable=True),
    ]
    return pa.schema(
        fields, metadata={"tiered_memory.schema": str(ROW_SCHEMA), "tiered_memory.embedder": embedder}
    )


def sealed_rows(records: Sequence[TierRecord]) -> Any:
    """Return records as rows of `sealed_schema`."""
    import pyarrow as pa

    columns = {
        "id": [r.id for r in records],
        "order": [r.order for r in records],
        "version": [r.version for r in records],
        "schema": [ROW_SCHEMA] * len(records),
        "sealed": [r.payload for r in records],
        "expires_us": [r.expires_at_us for r in records],
    }
    return pa.table(columns, schema=sealed_schema("").remove_metadata())


def records_of(rows: Any) -> list[TierRecord]:
    """Return the records of rows that have `COLUMNS`."""
    return [TierRecord(*row) for row in zip(*(rows[c].to_pylist() for c in COLUMNS), strict=True)]


def any_of(ids: Sequence[str]) -> str:
    """Return the predicate of these ids. Predicates are written into manifests: only opaque ids may enter one."""
    for record_id in ids:
        if not record_id.isalnum():
            raise ColdTierError("a record id is not opaque hex")
    return "id IN (" + ", ".join(f"'{record_id}'" for record_id in ids) + ")"
