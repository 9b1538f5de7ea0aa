"""Operations on one person's memories."""

from __future__ import annotations

from functools import partial

from tiered_memory.principals import Grant
from tiered_memory.wire.bounds import PolicyName
from tiered_memory.wire.operation import Carries, Effect, Operation, Root
from tiered_memory.wire.paging import Cursor, Page
from tiered_memory.wire.signatures import NOTHING

_op = partial(Operation, root=Root.USER, face="")
_read = partial(_op, grant=Grant.READ)
_write = partial(_op, grant=Grant.WRITE)
POLICY_NAME = {"policy": PolicyName | None}
"""A policy is named over the wire: files of the daemon's machine are not read for anybody."""

USER: tuple[Operation, ...] = (
    _write(name="memories.add", method="add", verb="POST", path="/memories", status=201, effect=Effect.ACTS),
    _write(
        name="memories.add_many",
        method="add_many",
        verb="POST",
        path="/memories/batch",
        status=201,
        effect=Effect.ACTS,
    ),
    _write(
        name="memories.stream_in",
        method="add_many",
        verb="POST",
        path="/memories/lines",
        effect=Effect.ACTS,
        takes=Carries.LINES,
        gives=Carries.LINES,
        narrow={"interactions": NOTHING, "operation_id": NOTHING},
        remote=False,
    ),
    _read(
        name="memories.stream_out",
        method="list",
        verb="GET",
        path="/memories/lines",
        gives=Carries.LINES,
        narrow={"where": NOTHING, "limit": NOTHING, "before": NOTHING},
        remote=False,
    ),
    _read(
        name="memories.page",
        method="list",
        verb="GET",
        path="/memories",
        narrow={"where": NOTHING, "before": NOTHING},
        added={"cursor": Cursor | None},
        answers=Page,
        remote=False,
    ),
    _read(name="memories.list", method="list", verb="POST", path="/memories/query"),
    _read(name="memories.search", method="search", verb="POST", path="/search"),
    _read(name="memories.context", method="context", verb="POST", path="/context"),
    _read(name="memories.preview", method="preview", verb="POST", path="/context/preview"),
    _read(name="memories.get", method="get", verb="GET", path="/memories/{memory_id}"),
    _read(name="memories.history", method="history", verb="GET", path="/memories/{memory_id}/history"),
    _read(name="memories.explain", method="explain", verb="GET", path="/memories/{memory_id}/explanation"),
    _read(name="memories.life", method="life", verb="GET", path="/memories/{memory_id}/life"),
    _read(name="memories.lives", method="lives", verb="POST", path="/lives"),
    _read(name="memories.forgotten", method="forgotten", verb="GET", path="/forgotten"),
    _read(name="memories.damaged", method="damaged", verb="GET", path="/damaged"),
    _read(name="memories.forecast", method="forecast", verb="GET", path="/forecast", narrow=POLICY_NAME),
    _write(name="memories.used", method="used", verb="POST", path="/uses", effect=Effect.ACTS),
    _write(
        name="memories.pin",
        method="pin",
        verb="PUT",
        path="/memories/{memory_id}/pin",
        status=204,
        effect=Effect.IDEMPOTENT,
    ),
    _write(
        name="memories.unpin",
        method="unpin",
        verb="DELETE",
        path="/memories/{memory_id}/pin",
        status=204,
        effect=Effect.IDEMPOTENT,
    ),
    _write(
        name="memories.restore",
        method="restore",
        verb="POST",
        path="/memories/{memory_id}/restoration",
        effect=Effect.IDEMPOTENT,
    ),
    _op(
        name="memories.delete",
        method="delete",
        verb="DELETE",
        path="/memories/{memory_id}",
        grant=Grant.DELETE,
        status=204,
        effect=Effect.IDEMPOTENT,
    ),
    _op(
        name="memories.update",
        method="update",
        verb="PATCH",
        path="/memories/{memory_id}",
        grant=Grant.RIGHTS,
        effect=Effect.ACTS,
    ),
    _op(
        name="memories.forget",
        method="forget",
        verb="POST",
        path="/forgetting",
        grant=Grant.DELETE,
        effect=Effect.ACTS,
    ),
    _op(
        name="memories.roll_back",
        method="roll_back",
        verb="POST",
        path="/rollback",
        grant=Grant.DELETE,
        effect=Effect.IDEMPOTENT,
    ),
    _op(
        name="quarantine.list",
        face="quarantine",
        method="list",
        verb="GET",
        path="/quarantine",
        grant=Grant.READ,
    ),
    _op(
        name="quarantine.put",
        face="quarantine",
        method="put",
        verb="POST",
        path="/quarantine/{memory_id}",
        grant=Grant.DELETE,
        status=204,
        effect=Effect.IDEMPOTENT,
    ),
    _op(
        name="quarantine.release",
        face="quarantine",
        method="release",
        verb="POST",
        path="/quarantine/{memory_id}/release",
        grant=Grant.DELETE,
        effect=Effect.IDEMPOTENT,
    ),
)
