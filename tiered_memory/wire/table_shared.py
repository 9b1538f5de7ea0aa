"""Operations on memories that several people and agents share."""

from __future__ import annotations

from functools import partial

from tiered_memory.principals import Grant
from tiered_memory.wire.operation import Effect, Operation, Root

_op = partial(Operation, root=Root.SHARED, face="")
_read = partial(_op, grant=Grant.READ)
_write = partial(_op, grant=Grant.WRITE, effect=Effect.ACTS)

SHARED: tuple[Operation, ...] = (
    _write(name="shared.create", method="create", verb="PUT", path="", status=204),
    _read(name="shared.members", method="members", verb="GET", path="/members"),
    _read(name="shared.changes", method="changes", verb="GET", path="/changes"),
    _write(name="shared.grant_access", method="grant_access", verb="POST", path="/members"),
    _write(
        name="shared.revoke_access", method="revoke_access", verb="POST", path="/members/removal", status=204
    ),
    _write(name="shared.add", method="add", verb="POST", path="/memories", status=201),
    _read(name="shared.list", method="list", verb="POST", path="/memories/query"),
    _read(name="shared.search", method="search", verb="POST", path="/search"),
    _read(name="shared.context", method="context", verb="POST", path="/context"),
    _read(name="shared.get", method="get", verb="GET", path="/memories/{memory_id}"),
    _op(
        name="shared.delete",
        method="delete",
        verb="DELETE",
        path="/memories/{memory_id}",
        grant=Grant.DELETE,
        status=204,
        effect=Effect.IDEMPOTENT,
    ),
    _op(
        name="shared.erase",
        method="erase",
        verb="POST",
        path="/erasure",
        grant=Grant.ERASE,
        effect=Effect.IDEMPOTENT,
    ),
)
