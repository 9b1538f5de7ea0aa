"""What is done to a store's key files: escrow and recovery, and handing the root key to another keeper.

All of it is done while the store is closed, except that an escrow file may be written at any time.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tiered_memory.branches import Branches
from tiered_memory.clock import Entropy, SystemEntropy
from tiered_memory.config import Settings
from tiered_memory.crypto.envelope import NONCE_BYTES
from tiered_memory.crypto.escrow import SALT_BYTES, SCRYPT_N, EscrowedKeys, open_escrow, seal_escrow
from tiered_memory.errors import ConfigurationError, InvalidInputError, RootKeyError
from tiered_memory.files import replace_file
from tiered_memory.key_files import STATE_NAME, guards_of, load_root, source_of
from tiered_memory.ownership import Ownership
from tiered_memory.root_keys import RootReport
from tiered_memory.wiring import Overrides


@dataclass(frozen=True, slots=True)
class EscrowReport:
    """How many guards went into the escrow file, or came out of it and were missing."""

    guards: int
    root: bool = True


def escrow_keys(
    settings: Settings, target: Path, passphrase: str, *, entropy: Entropy | None = None, n: int = SCRYPT_N
) -> EscrowReport:
    """Write the root key and the live guards to a new file (mode 0400), sealed under a passphrase.

    Do it again after each rotation: the file of before holds guards of epochs that have ended, and must be destroyed
    for their end to hold. `n` is scrypt's cost.

    Raises:
        InvalidInputError: the file exists, or the passphrase is too short.
        RootKeyError: the root key cannot be had.
    """
    if target.exists():
        raise InvalidInputError(
            "the escrow file exists already: name a new one, and destroy the old one afterwards"
        )
    chance, keys = entropy or SystemEntropy(), EscrowedKeys(load_root(settings), guards_of(settings).every())
    data = seal_escrow(keys, passphrase, chance.token(SALT_BYTES), chance.token(NONCE_BYTES), n)
    try:
        replace_file(target, data, mode=0o400)
    except OSError as error:
        raise ConfigurationError(f"the escrow file cannot be written ({type(error).__name__})") from None
    return EscrowReport(len(keys.guards))


def recover_keys(
    settings: Settings, escrow: Path, passphrase: str, *, entropy: Entropy | None = None
) -> EscrowReport:
    """Put back what is missing of a store's keys; what is there is left alone.

    Raises:
        CorruptionError: the file was altered, or the passphrase is another one; nothing was written.
        RootKeyError: another root key is there; nothing was written.
        ConfigurationError: the escrow file cannot be read, or the store is open.
    """
    try:
        data = escrow.read_bytes()
    except OSError as error:
        raise ConfigurationError(f"the escrow file cannot be read ({type(error).__name__})") from None
    keys, guards = open_escrow(data, passphrase), guards_of(settings)
    with _owned(settings.data_dir):
        present = source_of(settings).load()
        if present not in {None, keys.root}:
            raise RootKeyError(
                "the root key that is there is another one than the escrow file's; nothing was changed"
            )
        missing = {one: secret for one, secret in keys.guards.items() if guards.get(one) is None}
        for guard_id, secret in missing.items():
            guards.put(guard_id, secret)
        if present is None:
            source_of(settings).keep(keys.root, entropy or SystemEntropy())
    return EscrowReport(len(missing), root=present is None)


def move_root(settings: Settings, provider: str, *, entropy: Entropy | None = None) -> None:
    """Hand the root key to another provider (`file`, `aws-kms:...`, `vault:...`) and destroy it where it was.

    From then on open the store with `root_key_provider` set to it. Cut short between, the key is in both places.

    Raises:
        RootKeyError: a provider refuses, or what it keeps does not come back; nothing was destroyed.
        ConfigurationError: there is no store, it is open, or the provider's name is none.
    """
    if not (settings.data_dir / STATE_NAME).exists():
        raise ConfigurationError(f"there is no memory in {settings.data_dir} whose root key could be moved")
    if provider == settings.root_key_provider:
        raise InvalidInputError("the root key is kept by this provider already")
    with _owned(settings.data_dir):
        root, there = load_root(settings), source_of(settings, provider)
        there.keep(root, entropy or SystemEntropy())
        if there.load() != root:
            raise RootKeyError("the provider does not give back what it was given; nothing was destroyed")
        source_of(settings).remove()


async def rotate_root(settings: Settings) -> RootReport:
    """Put a new root key in the place of the old of a store that nobody has open; see `TieredMemory.keys`.

    Raises:
        ConfigurationError: there is no store, or it is open.
    """
    if not (settings.data_dir / STATE_NAME).exists():
        raise ConfigurationError(f"there is no memory in {settings.data_dir} whose root key could be changed")
    branches = Branches(settings.model_copy(update={"background": False}), Overrides())
    await branches.open()
    try:
        return await branches.rotate_root()
    finally:
        await branches.close()


@contextmanager
def _owned(data_dir: Path) -> Iterator[None]:
    """Keep the store closed meanwhile."""
    data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    ownership = Ownership(data_dir)
    ownership.acquire()
    try:
        yield
    finally:
        ownership.release()
