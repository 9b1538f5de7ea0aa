"""Where a store's keys lie, by its settings: the root key's place, and the guards' folder beside it."""

from __future__ import annotations

from dataclasses import dataclass, replace
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
from tiered_memory.failpoints import reach
from tiered_memory.files import sync_path

FILE, ENV = "file", "env"
STATE_NAME = "state.db"
GIVEN = (
    "the root key is given from outside (root_key or TIERED_MEMORY_ROOT_KEY) and cannot be changed from here: hand it to "
    "aws-kms or vault first (`tiered-memory keys move`), or keep it in a file (root_key_file)"
)
CHANGING = "the root key is being changed: open the store once, which finishes that; nothing was changed"


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


def root_file(settings: Settings) -> Path | None:
    """Return the file that has the root key, in clear or wrapped; None when it is given from outside."""
    if settings.root_key is not None or settings.root_key_provider == ENV:
        return None
    if settings.root_key_provider == FILE:
        return settings.root_key_file or settings.data_dir / "keys" / ROOT_NAME
    return keys_folder(settings) / WRAPPED_NAME


@dataclass(frozen=True, slots=True)
class RootPlaces:
    """Where a root key lies, and where the next one does while it is changed."""

    source: FileRoot | WrappedRoot

    @property
    def path(self) -> Path:
        """The file of the present one."""
        return self.source.path

    @property
    def upcoming(self) -> FileRoot | WrappedRoot:
        """The next one, while both are needed."""
        return replace(self.source, path=self.path.with_name(f"{self.path.name}.next"))

    @property
    def done(self) -> Path:
        """The file of the next one, once nothing needs the present one any more."""
        return self.path.with_name(f"{self.path.name}.done")

    @property
    def changing(self) -> bool:
        """Tell whether a change was begun and is not finished."""
        return self.upcoming.path.exists() or self.done.exists()

    def settle(self) -> None:
        """Say that nothing needs the present key any more, and `swap`."""
        self.upcoming.path.rename(self.done)
        sync_path(self.path.parent)
        reach("root.after_done")
        self.swap()

    def swap(self) -> None:
        """Destroy the key that nothing needs any more and put the next one in its place, if it has come to that."""
        if self.done.exists():
            self.source.remove()
            reach("root.after_destroy")
            self.done.rename(self.path)
            sync_path(self.path.parent)


def root_places(settings: Settings) -> RootPlaces:
    """Return where a store's root key lies.

    Raises:
        RootKeyError: it is given from outside, where nothing of it can be changed.
    """
    source = source_of(settings)
    if isinstance(source, FileRoot | WrappedRoot):
        return RootPlaces(source)
    raise RootKeyError(GIVEN)


def load_root(settings: Settings) -> bytes:
    """Return a store's root key.

    Raises:
        RootKeyError: it cannot be had, or is being changed; says what to do.
    """
    source = source_of(settings)
    if isinstance(source, FileRoot | WrappedRoot) and RootPlaces(source).changing:
        raise RootKeyError(CHANGING)
    root = source.load()
    if root is None:
        raise RootKeyError(_missing(settings))
    return root


def load_or_create_root(settings: Settings, entropy: Entropy) -> tuple[bytes, bytes | None]:
    """Return a store's root key, making one for a directory without a store, and the former one while it is changed.

    Raises:
        RootKeyError: it cannot be had; says what to do.
    """
    source = source_of(settings)
    places = RootPlaces(source) if isinstance(source, FileRoot | WrappedRoot) else None
    if places is not None:
        places.swap()
    root = source.load()
    if root is None and (settings.data_dir / STATE_NAME).exists():
        raise RootKeyError(_missing(settings))
    if root is None:
        return create_root_key(source, entropy), None
    upcoming = None if places is None else places.upcoming.load()
    return (root, None) if upcoming is None else (upcoming, root)


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
