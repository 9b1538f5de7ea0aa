"""Every operation of the HTTP API, version 1. A public method without its line here fails a test."""

from __future__ import annotations

from functools import cache

from tiered_memory.wire.operation import Operation
from tiered_memory.wire.table_rights import RIGHTS
from tiered_memory.wire.table_shared import SHARED
from tiered_memory.wire.table_store import STORE
from tiered_memory.wire.table_user import USER

OPERATIONS: tuple[Operation, ...] = (*USER, *RIGHTS, *SHARED, *STORE)


@cache
def by_method() -> dict[tuple[str, str, str], Operation]:
    """Return the client's operation for each method, by the name of its root, its face and its own name."""
    return {(one.root.name, one.face, one.method): one for one in OPERATIONS if one.remote}


@cache
def by_name() -> dict[str, Operation]:
    """Return the operations by name."""
    return {one.name: one for one in OPERATIONS}
