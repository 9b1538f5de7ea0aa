"""The audit tree of RFC 6962 (Certificate Transparency), section 2.1: SHA-256, 0x00 for leaves, 0x01 for nodes."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash (32 bytes) of one leaf's canonical bytes."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash (32 bytes) of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes in order; the empty tree's root is SHA-256 of nothing."""
    if not leaf_hashes:
        return hashlib.sha256().digest()
    level = list(leaf_hashes)
    while len(level) > 1:
        level = _next_level(level)
    return level[0]


def _next_level(level: list[bytes]) -> list[bytes]:
    """Pair from the left; a last odd node moves up unchanged, which equals the RFC's split at a power of two."""
    paired = [node_hash(level[i], level[i + 1]) for i in range(0, len(level) - 1, 2)]
    return paired + level[len(paired) * 2 :]
