"""Where the root key comes from: given, in a file only its owner can read, or in one that a service wraps.

The root key is made on first use. Synchronous: a service may take seconds to answer.
"""

from __future__ import annotations

import binascii
import json
import logging
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from tiered_memory.clock import Entropy
from tiered_memory.crypto.envelope import KEY_BYTES
from tiered_memory.crypto.keyring import Keyring
from tiered_memory.crypto.providers import RootKeyProvider
from tiered_memory.errors import RootKeyError
from tiered_memory.files import destroy_file, replace_file

logger = logging.getLogger("tiered_memory")

OTHERS = stat.S_IRWXG | stat.S_IRWXO


ROOT_NAME, WRAPPED_NAME = "root.key", "root.wrapped"
WRAPPED_FORMAT = 1
CONTEXT_BYTES = 16


class RootSource(Protocol):
    """A place the root key is kept in."""

    def load(self) -> bytes | None:
        """Return the root key, None when it is not there; raises RootKeyError when it cannot be had."""
        ...

    def keep(self, root: bytes, entropy: Entropy) -> None:
        """Put a root key there, on disk when this returns; what was there is replaced."""
        ...

    def remove(self) -> None:
        """Destroy what is there."""
        ...


@dataclass(frozen=True, slots=True)
class GivenRoot:
    """The key itself, out of the environment."""

    text: str | None

    def load(self) -> bytes | None:
        """See `RootSource`."""
        if self.text is None:
            raise RootKeyError("root_key_provider is env: give the root key in TIERED_MEMORY_ROOT_KEY")
        return parse_root_key(self.text)

    def keep(self, root: bytes, entropy: Entropy) -> None:
        """An environment is not ours to write."""
        del root, entropy
        raise RootKeyError(
            "a root key cannot be put into the environment from here: use file, aws-kms or vault"
        )

    def remove(self) -> None:
        """Nothing of it lies on disk."""


@dataclass(frozen=True, slots=True)
class FileRoot:
    """The key in clear, in a file that only its owner may read."""

    path: Path

    def load(self) -> bytes | None:
        """See `RootSource`."""
        return read_root_key(self.path) if self.path.exists() else None

    def keep(self, root: bytes, entropy: Entropy) -> None:
        """See `RootSource`."""
        del entropy
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self.path, f"{root.hex()}\n".encode("ascii"), mode=0o400)

    def remove(self) -> None:
        """See `RootSource`."""
        destroy_file(self.path)


@dataclass(frozen=True, slots=True)
class WrappedRoot:
    """The key as a service wrapped it: JSON with the provider's name, the store's context and the wrapped bytes."""

    path: Path
    name: str
    provider: RootKeyProvider

    def load(self) -> bytes | None:
        """See `RootSource`."""
        if not self.path.exists():
            return None
        try:
            fields = json.loads(self.path.read_bytes())
            wrapped, context = bytes.fromhex(fields["wrapped"]), str(fields["context"])
            known = fields["format"] == WRAPPED_FORMAT and len(bytes.fromhex(context)) == CONTEXT_BYTES
        except (OSError, ValueError, KeyError, TypeError, binascii.Error):
            known = False
        if not known:
            raise RootKeyError("the wrapped root key (root.wrapped) is damaged: put it back from your copy")
        root = self.provider.unwrap(wrapped, context)
        if len(root) != KEY_BYTES:
            raise RootKeyError("what the service unwrapped is no root key: check root_key_provider")
        return root

    def keep(self, root: bytes, entropy: Entropy) -> None:
        """See `RootSource`."""
        context = entropy.token(CONTEXT_BYTES).hex()
        wrapped = self.provider.wrap(root, context)
        fields = {
            "format": WRAPPED_FORMAT,
            "provider": self.name,
            "context": context,
            "wrapped": wrapped.hex(),
        }
        self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(self.path, json.dumps(fields, sort_keys=True).encode("ascii"))

    def remove(self) -> None:
        """See `RootSource`."""
        destroy_file(self.path)


def parse_root_key(text: str) -> bytes:
    """Return the 32 bytes that 64 hex digits stand for."""
    try:
        key = bytes.fromhex(text.strip())
    except ValueError:
        key = b""
    if len(key) != KEY_BYTES:
        raise RootKeyError("the root key must be 64 hex digits (32 bytes)")
    return key


def read_root_key(path: Path) -> bytes:
    """Return the key in a file that nobody but its owner may read."""
    if path.stat().st_mode & OTHERS:
        raise RootKeyError("others may read the root key file: make it mode 0400, then open again")
    try:
        return parse_root_key(path.read_text(encoding="ascii", errors="replace"))
    except OSError as error:
        raise RootKeyError(f"the root key file cannot be read ({type(error).__name__})") from None


def create_root_key(source: RootSource, entropy: Entropy) -> bytes:
    """Make a new key, kept before it is used."""
    key = entropy.token(KEY_BYTES)
    source.keep(key, entropy)
    logger.warning(
        "made a new root key: run `tiered-memory keys escrow` and keep its file apart from the data; without the keys "
        "every memory is unreadable"
    )
    return key


def read_or_create_state_key(path: Path, keyring: Keyring, entropy: Entropy) -> bytes:
    """Return the key of the state store's pages, wrapped under the root key in the file `path`.

    Raises:
        RootKeyError: the root key is not the one this store was made with.
    """
    if path.exists():
        return keyring.open_state_key(path.read_bytes())
    key = entropy.token(KEY_BYTES)
    replace_file(path, keyring.wrap_state_key(key))
    return key
