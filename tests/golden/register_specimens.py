"""A specimen of the register's entries: a person's and a tenant's, sealed as the state store keeps them."""

from __future__ import annotations

from dataclasses import asdict
from types import SimpleNamespace
from typing import Any

from specimens import KEY, NOW, SUBJECT, TENANT

from tiered_memory.clock import to_us
from tiered_memory.core import Sealer
from tiered_memory.crypto.keyring import Pseudonyms
from tiered_memory.register import Entry, Register

NONCE = b"n" * 12
NAMES = Pseudonyms(bytes(range(64, 96)))
REF: Any = SimpleNamespace(pseudonym=SUBJECT, generation=2)
PERSON: Any = SimpleNamespace(
    ref=REF, own_key=lambda: KEY, sealer=lambda purpose: Sealer(TENANT, REF, purpose, KEY)
)
ENTRY = Entry(
    id="0c" * 16,
    kind="decision",
    status="requested",
    at_us=to_us(NOW),
    fields={
        "decision": "kein Kredit",
        "used": [["0a" * 16, 4]],
        "automated": True,
        "key": b"k" * 16,
        "outcome": None,
        "share": 0.25,
    },
    due_us=to_us(NOW) + 86_400_000_000,
    version=2,
)


def register() -> Register:
    """Return a register that seals with fixed keys and enters nothing."""
    core: Any = SimpleNamespace(names=NAMES, keyring=SimpleNamespace(nonce=lambda: NONCE))
    return Register(core)


def register_v1() -> dict[str, Any]:
    rows = {
        "person": register().row(PERSON, ENTRY),
        "tenant": register().common_row(TENANT, ENTRY),
        "store": register().common_row(b"", ENTRY),
    }
    return {
        owner: {name: _hexed(value) for name, value in asdict(row).items()} for owner, row in rows.items()
    }


def _hexed(value: Any) -> Any:
    return f"hex:{value.hex()}" if isinstance(value, bytes) else value
