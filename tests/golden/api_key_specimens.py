"""A specimen of an API key as the register keeps it, and the text that it must go on accepting."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from register_specimens import NAMES, register
from specimens import NOW

from tiered_memory.api_keys import entry_of
from tiered_memory.clock import to_us
from tiered_memory.principals import Grant
from tiered_memory.privacy.api_keys import KeyTerms, StoredKey, digested, key_text

TEXT = key_text("0123456789abcdef", bytes(range(32)))
API_KEY = StoredKey(
    id="0123456789abcdef",
    terms=KeyTerms(
        name="Support-Bot",
        grants=frozenset({Grant.READ, Grant.RIGHTS}),
        tenant="acme",
        user="alice",
        roles=frozenset({"agent", "support"}),
        actor="bot 7",
        expires_us=to_us(NOW) + 86_400_000_000,
    ),
    digest=NAMES.register_key.fingerprint(digested(TEXT)),
    at_us=to_us(NOW),
    tenant_generation=1,
    user_generation=2,
    revoked_us=to_us(NOW) + 1,
    revoked_because="verloren",
    replaced_by="f" * 16,
    used_day=20_777,
    version=3,
)


def api_key_v1() -> dict[str, Any]:
    row = asdict(register().common_row(b"", entry_of(API_KEY)))
    kept = {key: f"hex:{value.hex()}" if isinstance(value, bytes) else value for key, value in row.items()}
    return {"text": TEXT, "row": kept}
