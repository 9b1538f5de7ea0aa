"""Where a store's keys lie, by its settings: the root key's place, and the guards' folder beside it."""

from __future__ import annotations

from pathlib import Path

from tiered_memory.clock import Entropy
from tiered_memory.config import Settings
from tiered_memory.crypto.guards import GuardFolder
from tiered_memory.crypto.kms import (
    ROOT_NAME,
    WRAPPED_NAME,
    FileRoot,
    GivenRoot,
    RootSource,
    WrappedRoot,
    create_root_key,
)
from tiered_memory.crypto.providers import provider_of
from tiered_memory.errors import RootKeyError

FILE, ENV = "file", "env"
STATE_NAME = "state.db"


def keys_folder(settings: Settings) -> Path:
    """Return the folder of the root key's file."""
    return (settings.root_key_file or settings.data_dir / "keys" / ROOT_NAME).parent


def guards_of(settings: Settings) -> GuardFolder:
    """Return the epochs' guards: beside the root key, and so outside of every backup."""
    return GuardFolder(keys_folder(settings) / "epochs")


def source_of(settings: Settings, provider: str | None = None) -> RootSource:
    """Return where the root key is kept; `provider` takes the place of the setting.

    Raises:
        ConfigurationError: the provider's name is none.
    """
    name = provider or settings.root_key_provider
    given = None if settings.root_key is None else settings.root_key.get_secret_value()
    if name == ENV or (name == FILE and provider is None and given is not None):
        return GivenRoot(given)
    if name == FILE:
        return FileRoot(settings.root_key_file or settings.data_dir / "keys" / ROOT_NAME)
    return WrappedRoot(keys_folder(settings) / WRAPPED_NAME, name, provider_of(name))


def load_root(settings: Settings) -> bytes:
    """Return a store's root key.

    Raises:
        RootKeyError: it cannot be had; says what to do.
    """
    root = source_of(settings).load()
    if root is None:
        raise RootKeyError(_missing(settings))
    return root


def load_or_create_root(settings: Settings, entropy: Entropy) -> bytes:
    """Return a store's root key, making one for a directory without a store; see `load_root`."""
    source = source_of(settings)
    root = source.load()
    if root is None and (settings.data_dir / STATE_NAME).exists():
        raise RootKeyError(_missing(settings))
    return create_root_key(source, entropy) if root is None else root


def _missing(settings: Settings) -> str:
    elsewhere = [name for name in (ROOT_NAME, WRAPPED_NAME) if (keys_folder(settings) / name).exists()]
    if elsewhere:
        return (
            f"the root key is not where root_key_provider says, but there is a {elsewhere[0]}: set root_key_provider to "
            "the provider the key was moved to; nothing was changed"
        )
    return (
        "this store has a root key, but its file is missing: run `tiered-memory keys recover` with an escrow file, or "
        "restore it from your backup (root_key_file or TIERED_MEMORY_ROOT_KEY); nothing was changed"
    )
