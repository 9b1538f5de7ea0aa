"""Keys over keys: root → epoch key (per tenant) → data key (per subject and purpose).

Pure apart from the `Entropy` it is given: it makes and unwraps key records; whoever stores them destroys them.
A data key is random and never derived from an id, so that destroying its record is the end of what it sealed.
"""

from __future__ import annotations

import base64
import hmac
from dataclasses import dataclass, replace
from typing import Protocol

from tiered_memory.clock import Entropy
from tiered_memory.crypto.envelope import (
    KEY_BYTES,
    NONCE_BYTES,
    Place,
    SealContext,
    SealingKey,
    derive,
    key_id_of,
)
from tiered_memory.errors import CorruptionError, KeyUnavailableError, RootKeyError
from tiered_memory.model import Subject

KEY_ID_BYTES = 16
EPOCH_BYTES = 4
KEY_RECORD_FORMAT = 1
GUARDED_FORMAT = 2
"""An epoch record that needs a guard besides the root key; a data key's record that was wrapped again."""
EPOCH_ENDED = (
    "the key epoch of these records has ended, or its guard is not here: they cannot be read. If it has not ended, put "
    "the store's keys/epochs back, or run `tiered-memory keys recover`; otherwise erase the user to begin anew"
)
SUBJECT_PURPOSE = "_subject"
"""Reserved purpose: seals what is about the subject itself (identity, consent details, session tails)."""


@dataclass(frozen=True, slots=True)
class KeyRecord:
    """A wrapped data key as the state store keeps it (`tests/golden/key_record_v1.json`, `key_record_v2.json`).

    `epoch` is the one it is wrapped under. In format 1 the key was also made in it; format 2, which a rotation
    writes, carries the epoch of its making inside, because that stands in every envelope the key has sealed.
    """

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
    """A tenant's wrapping key of one epoch, wrapped under the root key (format 1), or under it and a guard (2)."""

    tenant: bytes
    epoch: int
    wrapped: bytes
    created_us: int
    format: int = KEY_RECORD_FORMAT


class GuardStore(Protocol):
    """Keeps the epochs' guards (32 bytes each, by a random id of 16) where no backup of the state store goes."""

    def get(self, guard_id: bytes) -> bytes | None:
        """Return a guard, None when there is none."""
        ...

    def put(self, guard_id: bytes, secret: bytes) -> None:
        """Keep a guard; on disk when this returns."""
        ...


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
    """Makes, wraps and unwraps keys under one root key (32 bytes).

    While the root key changes, what the `former` one wrapped opens as well.
    """

    def __init__(
        self, root: bytes, entropy: Entropy, guards: GuardStore | None = None, former: bytes | None = None
    ) -> None:
        self._entropy = entropy
        self._guards = guards
        self._root = _root_key(root)
        self._former = None if former is None else _root_key(former)

    @property
    def turning(self) -> bool:
        """Tell whether two root keys open what is wrapped."""
        return self._former is not None

    def turn(self, root: bytes) -> None:
        """Wrap with another root key from now on; what the present one wrapped opens until `settle`.

        Raises:
            RootKeyError: the key is being changed to another one already.
        """
        fresh = _root_key(root)
        if fresh.secret == self._root.secret:
            return
        if self._former is not None:
            raise RootKeyError(
                "the root key is being changed already: open the store anew, which finishes that"
            )
        self._root, self._former = fresh, self._root

    def settle(self) -> None:
        """Let go of the former root key."""
        self._former = None

    def nonce(self) -> bytes:
        """Return a fresh 12-byte nonce."""
        return self._entropy.token(NONCE_BYTES)

    def new_master(self, store_id: bytes) -> tuple[bytes, bytes]:
        """Return a new pseudonym master key and its wrapped form."""
        master = self._entropy.token(KEY_BYTES)
        return master, self._root.seal(master, _store_context(store_id), self.nonce())

    def wrap_master(self, store_id: bytes, master: bytes) -> bytes:
        """Return a master key, wrapped."""
        return self._root.seal(master, _store_context(store_id), self.nonce())

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
        """Return a tenant's new wrapping key and its record; its guard is kept before this returns."""
        secret = self._entropy.token(KEY_BYTES)
        if self._guards is None:
            wrapped = self._root.seal(secret, _epoch_context(tenant, epoch), self.nonce())
            return _epoch_key(epoch, secret), EpochRecord(tenant, epoch, wrapped, now_us)
        guard_id, guard = self._entropy.token(KEY_ID_BYTES), self._entropy.token(KEY_BYTES)
        self._guards.put(guard_id, guard)
        context = _epoch_context(tenant, epoch, GUARDED_FORMAT)
        wrapped = self._under(guard_id, guard).seal(secret, context, self.nonce())
        return _epoch_key(epoch, secret), EpochRecord(tenant, epoch, wrapped, now_us, GUARDED_FORMAT)

    def open_epoch(self, record: EpochRecord) -> SealingKey:
        """Return the tenant's wrapping key of `record`.

        Raises:
            KeyUnavailableError: its guard is not there: the epoch has ended, or the guard was lost.
            CorruptionError: the record was altered.
        """
        guard_id = guard_of(record)
        guard = None if guard_id is None or self._guards is None else self._guards.get(guard_id)
        if guard_id is not None and guard is None:
            raise KeyUnavailableError(EPOCH_ENDED)
        return _epoch_key(record.epoch, self._epoch_secret(record, guard_id, guard))

    def rewrap_epoch(self, record: EpochRecord) -> EpochRecord:
        """Return `record` wrapped under the present root key; one without a guard gets one.

        Raises:
            KeyUnavailableError: its guard is not there.
            CorruptionError: the record was altered.
        """
        secret, guard_id = self.open_epoch(record).secret, guard_of(record)
        if self._guards is None:
            context = _epoch_context(record.tenant, record.epoch)
            return replace(record, wrapped=self._root.seal(secret, context, self.nonce()))
        guard = None if guard_id is None else self._guards.get(guard_id)
        if guard_id is None:
            guard_id, guard = self._entropy.token(KEY_ID_BYTES), self._entropy.token(KEY_BYTES)
            self._guards.put(guard_id, guard)
        if guard is None:
            raise KeyUnavailableError(EPOCH_ENDED)
        context = _epoch_context(record.tenant, record.epoch, GUARDED_FORMAT)
        wrapped = self._under(guard_id, guard).seal(secret, context, self.nonce())
        return replace(record, wrapped=wrapped, format=GUARDED_FORMAT)

    def _epoch_secret(self, record: EpochRecord, guard_id: bytes | None, guard: bytes | None) -> bytes:
        context = _epoch_context(record.tenant, record.epoch, record.format)
        try:
            return _joint(self._root, guard_id, guard).open(record.wrapped, context)
        except CorruptionError:
            if self._former is None:
                raise
            return _joint(self._former, guard_id, guard).open(record.wrapped, context)

    def _under(self, guard_id: bytes, guard: bytes) -> SealingKey:
        return _joint(self._root, guard_id, guard)

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
        context = _key_context(tenant, owner, record.key_id, record.format)
        opened = epoch.open(record.wrapped, context)
        born = record.epoch
        if record.format == GUARDED_FORMAT:
            born, opened = int.from_bytes(opened[:EPOCH_BYTES], "big"), opened[EPOCH_BYTES:]
        return SealingKey(record.key_id, born, opened)

    def rewrap(self, old: SealingKey, new: SealingKey, tenant: bytes, record: KeyRecord) -> KeyRecord:
        """Return `record` wrapped under another epoch's key; the data key in it stays the same.

        Raises:
            CorruptionError: the record was altered, or is not wrapped under `old`.
        """
        key = self.open_data_key(old, tenant, record)
        owner = KeyOwner(record.subject, record.purpose, record.generation)
        inner = key.epoch.to_bytes(EPOCH_BYTES, "big") + key.secret
        context = _key_context(tenant, owner, record.key_id, GUARDED_FORMAT)
        wrapped = new.seal(inner, context, self.nonce())
        return replace(record, epoch=new.epoch, wrapped=wrapped, format=GUARDED_FORMAT)

    def _open_under_root(self, wrapped: bytes, context: SealContext) -> bytes:
        former = self._former
        try:
            if former is not None and key_id_of(wrapped) == former.key_id:
                return former.open(wrapped, context)
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


def _root_key(root: bytes) -> SealingKey:
    if len(root) != KEY_BYTES:
        raise RootKeyError(f"the root key must be {KEY_BYTES} bytes, got {len(root)}")
    return SealingKey(derive(root, "root-id", KEY_ID_BYTES), 0, derive(root, "wrap"))


def _joint(root: SealingKey, guard_id: bytes | None, guard: bytes | None) -> SealingKey:
    """With a guard, neither half alone says anything of what this key seals."""
    if guard_id is None or guard is None:
        return root
    return SealingKey(guard_id, 0, derive(root.secret + guard, "epoch-wrap/2"))


def _epoch_key(epoch: int, secret: bytes) -> SealingKey:
    return SealingKey(derive(secret, "epoch-id", KEY_ID_BYTES), epoch, secret)


def _store_context(store_id: bytes) -> SealContext:
    return SealContext(b"", b"", Place.STORE, store_id.hex(), "", field="master")


_STATE_KEY = SealContext(b"", b"", Place.STORE, "", "", field="state-key")


def _epoch_context(tenant: bytes, epoch: int, schema: int = KEY_RECORD_FORMAT) -> SealContext:
    return SealContext(tenant, b"", Place.KEY, str(epoch), "", field="epoch-key", schema=schema)


def guard_of(record: EpochRecord) -> bytes | None:
    """Return the id of the guard that an epoch record needs, None for one of format 1, which needs none.

    Raises:
        CorruptionError: the record is no envelope.
    """
    return None if record.format == KEY_RECORD_FORMAT else key_id_of(record.wrapped)


def _key_context(
    tenant: bytes, owner: KeyOwner, key_id: bytes, schema: int = KEY_RECORD_FORMAT
) -> SealContext:
    return SealContext(
        tenant,
        owner.subject,
        Place.KEY,
        key_id.hex(),
        owner.purpose,
        field="data-key",
        schema=schema,
        generation=owner.generation,
    )


def _joined(*parts: str) -> bytes:
    encoded = [part.encode() for part in parts]
    return b"".join(len(part).to_bytes(4, "big") + part for part in encoded)


def _base32(data: bytes) -> str:
    return base64.b32encode(data).decode().rstrip("=").lower()
