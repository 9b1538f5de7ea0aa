"""The escrow file: a store's root key and its live guards, sealed under a passphrase.

Format 1 (`tests/golden/escrow_v1.json`) is JSON: the parameters of scrypt (RFC 7914), its salt (16 bytes, hex), and
an envelope (hex) of JSON with the root key and the guards.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from tiered_memory.crypto.envelope import KEY_BYTES, Place, SealContext, SealingKey
from tiered_memory.errors import CorruptionError, InvalidInputError

ESCROW_FORMAT = 1
SALT_BYTES = 16
SCRYPT_N, SCRYPT_R, SCRYPT_P = 2**17, 8, 1
"""OWASP's first choice for scrypt: 128 MiB and some tenths of a second a guess."""
MOST_N = 2**20
SHORTEST_PASSPHRASE = 12


@dataclass(frozen=True, slots=True)
class EscrowedKeys:
    """A root key (32 bytes) and guards (32 bytes each) by their ids."""

    root: bytes
    guards: dict[bytes, bytes]


def seal_escrow(keys: EscrowedKeys, passphrase: str, salt: bytes, nonce: bytes, n: int = SCRYPT_N) -> bytes:
    """Return the file's bytes; `salt` is 16 and `nonce` 12 random bytes, `n` scrypt's cost (a power of two).

    Raises:
        InvalidInputError: the passphrase is shorter than 12 characters.
    """
    if len(passphrase) < SHORTEST_PASSPHRASE:
        raise InvalidInputError(f"the passphrase must have at least {SHORTEST_PASSPHRASE} characters")
    inner = {
        "root": keys.root.hex(),
        "guards": {guard_id.hex(): secret.hex() for guard_id, secret in sorted(keys.guards.items())},
    }
    cost = {"n": n, "r": SCRYPT_R, "p": SCRYPT_P}
    sealed = _key(passphrase, salt, cost).seal(json.dumps(inner).encode("ascii"), _CONTEXT, nonce)
    fields = {"format": ESCROW_FORMAT, "scrypt": cost, "salt": salt.hex(), "sealed": sealed.hex()}
    return json.dumps(fields, sort_keys=True, indent=1).encode("ascii") + b"\n"


def open_escrow(data: bytes, passphrase: str) -> EscrowedKeys:
    """Return the keys in an escrow file.

    Raises:
        CorruptionError: it is no escrow file, was altered, or the passphrase is another one.
    """
    try:
        fields = json.loads(data)
        cost, salt, sealed = fields["scrypt"], bytes.fromhex(fields["salt"]), bytes.fromhex(fields["sealed"])
        known = fields["format"] == ESCROW_FORMAT and 1 < cost["n"] <= MOST_N
        known = known and (cost["r"], cost["p"]) == (SCRYPT_R, SCRYPT_P)
        key = _key(passphrase, salt, cost) if known else None
    except (ValueError, KeyError, TypeError):
        key = None
    if key is None:
        raise CorruptionError("this is no escrow file of a version that is known here")
    try:
        inner = json.loads(key.open(sealed, _CONTEXT))
    except CorruptionError:
        raise CorruptionError(
            "the escrow file does not open: another passphrase, or it was altered"
        ) from None
    guards = {bytes.fromhex(one): bytes.fromhex(secret) for one, secret in inner["guards"].items()}
    return EscrowedKeys(bytes.fromhex(inner["root"]), guards)


_CONTEXT = SealContext(b"", b"", Place.STORE, "", "", field="escrow")


def _key(passphrase: str, salt: bytes, cost: dict[str, Any]) -> SealingKey:
    kdf = Scrypt(salt=salt, length=KEY_BYTES, n=cost["n"], r=cost["r"], p=cost["p"])
    return SealingKey(salt, 0, kdf.derive(passphrase.encode()))
