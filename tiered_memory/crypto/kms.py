"""Where the root key comes from: given, in a file only its owner can read, or made on first use."""

from __future__ import annotations

import logging
import stat
from pathlib import Path

from tiered_memory.clock import Entropy
from tiered_memory.crypto.envelope import KEY_BYTES
from tiered_memory.crypto.keyring import Keyring
from tiered_memory.errors import RootKeyError
from tiered_memory.files import replace_file

logger = logging.getLogger("tiered_memory")

OTHERS = stat.S_IRWXG | stat.S_IRWXO


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


def create_root_key(path: Path, entropy: Entropy) -> bytes:
    """Make a new key, on disk before it is used."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    key = entropy.token(KEY_BYTES)
    replace_file(path, f"{key.hex()}\n".encode("ascii"), mode=0o400)
    logger.warning(
        "made a new root key (mode 0400): back it up apart from the data; without it every memory is unreadable"
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
