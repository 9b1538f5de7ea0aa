"""Keys over keys: root → epoch key (per tenant) → data key (per subject and purpose).

Pure apart from the `Entropy` it is given: it makes and unwraps key records; whoever stores them destroys them.
A data key is random and never derived from an id, so that destroying its record is the end of what it sealed.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass

from tiered_memory.clock import Entropy
from tiered_memory.crypto.envelope import (
    KEY_BYTES,
    NONCE_BYTES,
    Place,
    SealContext,
    SealingKey,
    derive,
)
from tiered_memory.errors import KeyUnavailableError, RootKeyError
from tiered_memory.model import Subject

KEY_ID_BYTES = 16
KEY_RECORD_FORMAT = 1
SUBJECT_PURPOSE = "_subject"
"""Reserved purpose: seals what is about the subject itself (identity, consent details, session tails)."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A wrapped data key as the state store keeps it (format 1, `tests/golden/key_record_v1.json`)."""

    subject: bytes
    purpose: str
    key_id: bytes
    epoch: int
    generation: int
    wrapped: bytes
    created_us: int
    format: int = KEY_RECORD_FORMAT


@dataclass(frozen=True, slots=True)
class EpochRecord:
    """A tenant's wrapping key of one epoch, wrapped under the root key."""

    tenant: bytes
    epoch: int
    wrapped: bytes
    created_us: int
    format: int = KEY_RECORD_FORMAT


class Pseudonyms:
    """Keyed names: one sub-key per use, so that names of different uses cannot be joined."""

    def __init__(self, master: bytes) -> None:
        self._tenant = derive(master, "pseudonym/tenant")
        self._subject = derive(master, "pseudonym/subject")
        self._session = derive(master, "pseudonym/session")
        self._operation = derive(master, "pseudonym/operation")
        self._table = derive(master, "pseudonym/table")
        self._values = derive(master, "pseudonym/value")
        self._purpose = derive(master, "pseudonym/purpose")
        self.marks_key = derive(master, "marks")
        self.signing_seed = derive(master, "ledger/ed25519")
        self.register_key = SealingKey(
            derive(master, "register-id", KEY_ID_BYTES), 0, derive(master, "register")
        )

    def tenant(self, tenant: str) -> bytes:
        """Return the tenant's pseudonym (32 bytes)."""
        return hmac.digest(self._tenant, tenant.encode(), "sha256")

    def subject(self, subject: Subject) -> bytes:
        """Return the subject's pseudonym (32 bytes); tenant and user cannot run into each other."""
        return hmac.digest(self._subject, _joined(subject.tenant, subject.user), "sha256")

    def session(self, subject: bytes, session: str) -> bytes:
        """Return a session's pseudonym (16 bytes) within one subject."""
        return hmac.digest(self._session, subject + session.encode(), "sha256")[:16]

    def operation(self, subject: bytes, operation: str) -> bytes:
        """Return the pseudonym (16 bytes) of a caller's operation id."""
        return hmac.digest(self._operation, subject + operation.encode(), "sha256")[:16]

    def values(self, subject: bytes) -> bytes:
        """Return the secret (32 bytes) under which values in a subject's texts get their tokens."""
        return hmac.digest(self._values, subject, "sha256")

    def purpose(self, subject: bytes, purpose: str) -> bytes:
        """Return a purpose's name (16 bytes) where nobody is to read what one subject agreed to."""
        return hmac.digest(self._purpose, subject + purpose.encode(), "sha256")[:16]

    def table(self, subject: bytes, incarnation: bytes) -> str:
        """Return the cold table's name: letters and digits that tell nothing and are never reused."""
        digest = hmac.digest(self._table, subject, "sha256")[:20]
        return f"{_base32(digest)}-{_base32(incarnation)}"


class Keyring:
    """Makes, wraps and unwraps keys under one root key (32 bytes)."""

    def __init__(self, root: bytes, entropy: Entropy) -> None:
        if len(root) != KEY_BYTES:
            raise RootKeyError(f"the root key must be {KEY_BYTES} bytes, got {len(root)}")
        self._entropy = entropy
        self._root = SealingKey(derive(root, "root-id", KEY_ID_BYTES), 0, derive(root, "wrap"))

    def nonce(self) -> bytes:
        """Return a fresh 12-byte nonce."""
        return self._entropy.token(NONCE_BYTES)

    def new_master(self, store_id: bytes) -> tuple[bytes, bytes]:
        """Return a new pseudonym master key and its wrapped form."""
        master = self._entropy.token(KEY_BYTES)
        return master, self._root.seal(master, _store_context(store_id), self.nonce())

    def open_master(self, store_id: bytes, wrapped: bytes) -> bytes:
        """Return the master key.

        Raises:
            RootKeyError: this is not the root key the store was made with.
        """
        return self._open_under_root(wrapped, _store_context(store_id))

    def wrap_state_key(self, key: bytes) -> bytes:
        """Return the state store's page key, wrapped."""
        return self._root.seal(key, _STATE_KEY, self.nonce())

    def open_state_key(self, wrapped: bytes) -> bytes:
        """Return the state store's page key; raises RootKeyError when the root key is another one."""
        return self._open_under_root(wrapped, _STATE_KEY)

    def new_epoch(self, tenant: bytes, epoch: int, now_us: int) -> tuple[SealingKey, EpochRecord]:
        """Return a tenant's new wrapping key and its record."""
        secret = self._entropy.token(KEY_BYTES)
        wrapped = self._root.seal(secret, _epoch_context(tenant, epoch), self.nonce())
        return _epoch_key(epoch, secret), EpochRecord(tenant, epoch, wrapped, now_us)

    def open_epoch(self, record: EpochRecord) -> SealingKey:
        """Return the tenant's wrapping key of `record`."""
        secret = self._root.open(record.wrapped, _epoch_context(record.tenant, record.epoch))
        return _epoch_key(record.epoch, secret)

    def new_data_key(
        self, epoch: SealingKey, tenant: bytes, owner: KeyOwner, now_us: int
    ) -> tuple[SealingKey, KeyRecord]:
        """Return a new data key for one subject and purpose, and its record."""
        key_id, secret = self._entropy.token(KEY_ID_BYTES), self._entropy.token(KEY_BYTES)
        context = _key_context(tenant, owner, key_id)
        wrapped = epoch.seal(secret, context, self.nonce())
        record = KeyRecord(
            owner.subject, owner.purpose, key_id, epoch.epoch, owner.generation, wrapped, now_us
        )
        return SealingKey(key_id, epoch.epoch, secret), record

    def open_data_key(self, epoch: SealingKey, tenant: bytes, record: KeyRecord) -> SealingKey:
        """Return the data key of `record`; raises CorruptionError when the record was altered or swapped."""
        owner = KeyOwner(record.subject, record.purpose, record.generation)
        secret = epoch.open(record.wrapped, _key_context(tenant, owner, record.key_id))
        return SealingKey(record.key_id, record.epoch, secret)

    def _open_under_root(self, wrapped: bytes, context: SealContext) -> bytes:
        try:
            return self._root.open(wrapped, context)
        except KeyUnavailableError as error:
            raise RootKeyError(
                "the root key does not open this store: supply the key it was created with "
                "(root_key_file or TIERED_MEMORY_ROOT_KEY); nothing was changed"
            ) from error

    def ram_key(self) -> SealingKey:
        """Return a key that is never stored: what it seals dies with the process."""
        return SealingKey(self._entropy.token(KEY_ID_BYTES), 0, self._entropy.token(KEY_BYTES))


@dataclass(frozen=True, slots=True)
class KeyOwner:
    """Whose key, and for what."""

    subject: bytes
    purpose: str
    generation: int


def _epoch_key(epoch: int, secret: bytes) -> SealingKey:
    return SealingKey(derive(secret, "epoch-id", KEY_ID_BYTES), epoch, secret)


def _store_context(store_id: bytes) -> SealContext:
    return SealContext(b"", b"", Place.STORE, store_id.hex(), "", field="master")


_STATE_KEY = SealContext(b"", b"", Place.STORE, "", "", field="state-key")


def _epoch_context(tenant: bytes, epoch: int) -> SealContext:
    return SealContext(tenant, b"", Place.KEY, str(epoch), "", field="epoch-key")


def _key_context(tenant: bytes, owner: KeyOwner, key_id: bytes) -> SealContext:
    return SealContext(
        tenant,
        owner.subject,
        Place.KEY,
        key_id.hex(),
        owner.purpose,
        field="data-key",
        generation=owner.generation,
    )


def _joined(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
