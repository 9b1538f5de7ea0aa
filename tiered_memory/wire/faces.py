"""Where an operation's method is found: the classes of the public face, by root and attribute."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from tiered_memory.api_keys_face import ApiKeysFace
from tiered_memory.auditing import Ledger
from tiered_memory.consent_face import Consent
from tiered_memory.decisions_face import DecisionsFace
from tiered_memory.holds_face import HoldsFace, Retention
from tiered_memory.jobs_face import Jobs
from tiered_memory.keys_face import Keys
from tiered_memory.memory import TieredMemory
from tiered_memory.notices_face import Notices
from tiered_memory.quarantine_face import QuarantineFace
from tiered_memory.reports_face import Reports
from tiered_memory.requests_face import StoreRequests, UserRequests
from tiered_memory.rights_face import Rights
from tiered_memory.shared_face import SharedMemory
from tiered_memory.tenants_face import TenantsFace
from tiered_memory.user import User
from tiered_memory.wire.operation import Operation, Root

FACES: dict[Root, dict[str, type[Any]]] = {
    Root.STORE: {
        "": TieredMemory,
        "api_keys": ApiKeysFace,
        "holds": HoldsFace,
        "jobs": Jobs,
        "keys": Keys,
        "ledger": Ledger,
        "notices": Notices,
        "reports": Reports,
        "requests": StoreRequests,
        "tenants": TenantsFace,
    },
    Root.USER: {
        "": User,
        "consent": Consent,
        "decisions": DecisionsFace,
        "quarantine": QuarantineFace,
        "requests": UserRequests,
        "retention": Retention,
        "rights": Rights,
    },
    Root.LEDGER: {"": Ledger},
    Root.SHARED: {"": SharedMemory},
}
"""Each class by the attribute under which its root's object has it; "" is that object itself."""


def method_of(operation: Operation) -> Callable[..., Any]:
    """Return the method of the public face that an operation calls, unbound."""
    found: Callable[..., Any] = getattr(FACES[operation.root][operation.face], operation.method)
    return found
