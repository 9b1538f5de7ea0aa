"""Operations on a whole memory: for operators, privacy officers and auditors."""

from __future__ import annotations

from functools import partial

from tiered_memory.principals import Grant
from tiered_memory.wire.operation import Carries, Effect, Operation, Root
from tiered_memory.wire.table_user import POLICY_NAME

_op = partial(Operation, root=Root.STORE, face="")
_audit = partial(_op, verb="GET", grant=Grant.AUDIT)
_admin = partial(_op, verb="POST", grant=Grant.ADMIN, effect=Effect.ACTS)
_tenant = "/tenants/{tenant}"

WHOLE = (
    _audit(name="store.health", method="health", path="/health"),
    _audit(name="store.stats", method="stats", path="/stats"),
    _audit(name="store.forecast", method="forecast", path="/forecast", narrow=POLICY_NAME),
    _audit(name="store.purge_runs", method="purge_runs", path="/purge-runs"),
    _audit(
        name="store.events",
        method="events",
        path="/events",
        gives=Carries.LINES,
        narrow={"buffered": int},
    ),
    _admin(name="store.forget", method="forget", path="/forgetting"),
    _admin(name="store.drain", method="drain", path="/drain", status=204),
    _admin(name="store.backup", method="backup", path="/backups", narrow={"archive": str}, local=True),
)


def _ledger(root: Root, prefix: str, face: str, path: str) -> tuple[Operation, ...]:
    of = partial(_audit, root=root, face=face)
    return (
        of(name=f"{prefix}.verification_key", method="verification_key", path=f"{path}/verification-key"),
        of(name=f"{prefix}.entries", method="entries", path=f"{path}/entries"),
        of(name=f"{prefix}.checkpoint", method="checkpoint", path=f"{path}/checkpoint"),
        of(name=f"{prefix}.verify", method="verify", verb="POST", path=f"{path}/verification"),
        of(
            name=f"{prefix}.export",
            method="export",
            verb="POST",
            path=f"{path}/export",
            narrow={"target": str},
            local=True,
        ),
    )


LEDGER = (
    *_ledger(Root.STORE, "ledger", "ledger", "/ledger"),
    *_ledger(Root.LEDGER, "tenant_ledger", "", ""),
)

REPORTS = (
    _audit(name="requests.due", face="requests", method="due", path="/requests/due"),
    _audit(name="requests.overdue", face="requests", method="overdue", path="/requests/overdue"),
    _audit(name="requests.erasures", face="requests", method="erasures", path="/erasures"),
    _audit(name="reports.activities", face="reports", method="activities", path="/reports/activities"),
    _audit(
        name="reports.compliance",
        face="reports",
        method="compliance",
        path="/reports/compliance/{framework}",
    ),
)

HOLDS = (
    _admin(name="holds.list", face="holds", method="list", verb="GET", path="/holds", effect=Effect.READS),
    _admin(
        name="holds.due_for_review",
        face="holds",
        method="due_for_review",
        verb="GET",
        path="/holds/due",
        effect=Effect.READS,
    ),
    _admin(name="holds.place", face="holds", method="place", path="/holds", status=201),
    _admin(name="holds.release", face="holds", method="release", path="/holds/{name}/release"),
    _admin(
        name="holds.export",
        face="holds",
        method="export",
        path="/holds/{name}/export",
        narrow={"path": str},
        local=True,
    ),
)

KEYS = (
    _admin(name="keys.status", face="keys", method="status", verb="GET", path="/keys", effect=Effect.READS),
    _admin(name="keys.rotate", face="keys", method="rotate", path="/keys/rotation"),
    _admin(name="keys.rotate_root", face="keys", method="rotate_root", path="/keys/root-rotation"),
)

JOBS = (
    _admin(name="jobs.list", face="jobs", method="list", verb="GET", path="/jobs", effect=Effect.READS),
    _admin(name="jobs.get", face="jobs", method="get", verb="GET", path="/jobs/{name}", effect=Effect.READS),
    _admin(name="jobs.run", face="jobs", method="run", path="/jobs/{name}/run"),
    _admin(name="jobs.pause", face="jobs", method="pause", path="/jobs/pause"),
    _admin(name="jobs.resume", face="jobs", method="resume", path="/jobs/resume"),
)

API_KEYS = (
    _admin(
        name="api_keys.list",
        face="api_keys",
        method="list",
        verb="GET",
        path="/api-keys",
        effect=Effect.READS,
    ),
    _admin(name="api_keys.create", face="api_keys", method="create", path="/api-keys", status=201),
    _admin(name="api_keys.revoke", face="api_keys", method="revoke", path="/api-keys/{key_id}/revocation"),
    _admin(
        name="api_keys.rotate",
        face="api_keys",
        method="rotate",
        path="/api-keys/{key_id}/rotation",
        status=201,
    ),
)

NOTICES = (
    _audit(name="notices.list", face="notices", method="list", path="/notices", grant=Grant.RIGHTS),
    _audit(name="notices.get", face="notices", method="get", path="/notices/{name}", grant=Grant.RIGHTS),
    _admin(name="notices.publish", face="notices", method="publish", path="/notices", status=201),
)

TENANTS = (
    _admin(
        name="tenants.list", face="tenants", method="list", verb="GET", path="/tenants", effect=Effect.READS
    ),
    _admin(name="tenants.register", face="tenants", method="register", path="/tenants", status=201),
    _audit(name="tenants.get", face="tenants", method="get", path=_tenant),
    _admin(name="tenants.change", face="tenants", method="change", verb="PATCH", path=_tenant),
    _audit(name="tenants.usage", face="tenants", method="usage", path=f"{_tenant}/usage"),
    _admin(name="tenants.erase", face="tenants", method="erase", path=f"{_tenant}/erasure"),
    _admin(
        name="tenants.backup",
        face="tenants",
        method="backup",
        path=f"{_tenant}/backups",
        narrow={"archive": str},
        local=True,
    ),
    _audit(
        name="tenants.events",
        face="tenants",
        method="events",
        path=f"{_tenant}/events",
        gives=Carries.LINES,
        narrow={"buffered": int},
    ),
)

STORE: tuple[Operation, ...] = (
    *WHOLE,
    *LEDGER,
    *REPORTS,
    *HOLDS,
    *JOBS,
    *KEYS,
    *API_KEYS,
    *NOTICES,
    *TENANTS,
)
