"""The sealed envelope: the one format in which content rests anywhere.

Layout, big endian, frozen as version 1 (`tests/golden/envelope_v1.json`)::

    magic "TM" (2) | version (1) | algorithm (1) | key id (16) | epoch (4) | key commitment (32) | nonce (12)
    ciphertext and tag

The additional data is the header up to the commitment followed by every part of the `SealContext`, each prefixed
by its length, so that no two contexts share an encoding. AES-256-GCM-SIV (RFC 8452) tolerates a repeated nonce;
neither it nor GCM commits to its key, hence the 32-byte HKDF commitment (cf. Albertini et al., "How to Abuse and
Fix Authenticated Encryption Without Key Commitment", USENIX Security 2022).
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum, StrEnum
from functools import cached_property

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCMSIV
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tiered_memory.errors import CorruptionError, KeyUnavailableError

MAGIC = b"TM"
VERSION = 1
AAD_DOMAIN = b"tiered_memory/aad/1"
NONCE_BYTES = 12
KEY_BYTES = 32
_HEADER = struct.Struct(">2sBB16sI32s12s")
_BOUND = _HEADER.size - NONCE_BYTES
_NUMBERS = struct.Struct(">QQII")


class Algorithm(IntEnum):
    """Registered ciphers; numbers are part of the stored format."""

    AES_256_GCM_SIV = 1


class Place(StrEnum):
    """What kind of store a sealed value belongs to; a value moved elsewhere does not open."""

    MEMORY = "memory"
    """A memory's record: sealed once, the same bytes in the journal and in the cold table."""
    HOT = "hot"
    TAIL = "tail"
    SNAPSHOT = "snapshot"
    KEY = "key"
    SUBJECT = "subject"
    CONSENT = "consent"
    STORE = "store"
    OPERATION = "operation"
    REGISTER = "register"
    HOLD = "hold"


@dataclass(frozen=True, slots=True)
class SealContext:
    """Where a sealed value belongs. Any difference when opening is a `CorruptionError`.

    `tenant` and `subject` are pseudonyms; `order` and `version` are the record's; `schema` is the version of
    the plaintext's own format.
    """

    tenant: bytes
    subject: bytes
    place: Place
    record_id: str
    purpose: str
    field: str = "record"
    schema: int = 1
    generation: int = 0
    order: int = 0
    version: int = 0

    def encode(self) -> bytes:
        """Return the canonical, injective encoding of this context."""
        parts = (
            self.tenant,
            self.subject,
            self.place.value.encode(),
            self.record_id.encode(),
            self.purpose.encode(),
            self.field.encode(),
        )
        body = b"".join(struct.pack(">H", len(part)) + part for part in parts)
        return AAD_DOMAIN + body + _NUMBERS.pack(self.order, self.generation, self.version, self.schema)


def derive(secret: bytes, info: str, length: int = KEY_BYTES) -> bytes:
    """Return `length` bytes derived from `secret` for one use named by `info` (HKDF-SHA-256, RFC 5869)."""
    return HKDF(
        algorithm=SHA256(), length=length, salt=None, info=b"tiered_memory/1/" + info.encode()
    ).derive(secret)


class SealingKey:
    """A 256-bit secret with its public id and epoch; seals and opens envelopes."""

    def __init__(self, key_id: bytes, epoch: int, secret: bytes) -> None:
        self.key_id = key_id
        self.epoch = epoch
        self.secret = secret
        commitment = derive(secret, f"commitment/{key_id.hex()}")
        self._prefix = _HEADER.pack(
            MAGIC, VERSION, Algorithm.AES_256_GCM_SIV, key_id, epoch, commitment, bytes(NONCE_BYTES)
        )[:_BOUND]
        self._cipher = AESGCMSIV(derive(secret, "seal"))

    @cached_property
    def mac_key(self) -> bytes:
        """The sub-key for fingerprints that must die with this key."""
        return derive(self.secret, "mac")

    def seal(self, plaintext: bytes, context: SealContext, nonce: bytes) -> bytes:
        """Return the envelope of `plaintext`, bound to `context`; `nonce` is 12 random bytes."""
        return b"".join(
            (
                self._prefix,
                nonce,
                self._cipher.encrypt(nonce, plaintext, self._prefix + context.encode()),
            )
        )

    def open(self, envelope: bytes, context: SealContext) -> bytes:
        """Return the plaintext.

        Raises:
            CorruptionError: the bytes were damaged, or belong to another context or key.
        """
        if not hmac.compare_digest(envelope[:_BOUND], self._prefix):
            raise _explain_prefix(envelope, self.key_id)
        nonce = envelope[_BOUND : _HEADER.size]
        try:
            return self._cipher.decrypt(nonce, envelope[_HEADER.size :], self._prefix + context.encode())
        except (InvalidTag, ValueError) as error:
            raise CorruptionError(
                "a sealed record does not verify: damaged, or not from this place"
            ) from error

    def fingerprint(self, data: bytes) -> bytes:
        """Return a 32-byte keyed digest of `data` that means nothing once this key is destroyed."""
        return hmac.digest(self.mac_key, data, "sha256")


def key_id_of(envelope: bytes) -> bytes:
    """Return the id (16 bytes) of the key that seals `envelope`, so that the right key can be found."""
    if len(envelope) < _HEADER.size or envelope[:2] != MAGIC:
        raise CorruptionError("a sealed record is truncated or not an envelope")
    key_id: bytes = _HEADER.unpack_from(envelope)[3]
    return key_id


def _explain_prefix(envelope: bytes, key_id: bytes) -> CorruptionError:
    if key_id_of(envelope) != key_id:
        return KeyUnavailableError("the record was sealed under a key that is not held any more")
    return CorruptionError("a sealed record's header does not verify")
