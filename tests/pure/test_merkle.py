"""The audit tree against the definition in RFC 6962, section 2.1, written out recursively."""

from __future__ import annotations

import hashlib
import json

from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.privacy.merkle import leaf_hash, tree_root

leaves = st.lists(st.binary(max_size=8), max_size=40)


def by_definition(entries: list[bytes]) -> bytes:
    if not entries:
        return hashlib.sha256(b"").digest()
    if len(entries) == 1:
        return hashlib.sha256(b"\x00" + entries[0]).digest()
    split = 1
    while split * 2 < len(entries):
        split *= 2
    left, right = by_definition(entries[:split]), by_definition(entries[split:])
    return hashlib.sha256(b"\x01" + left + right).digest()


@given(leaves)
def test_the_root_is_the_rfcs(entries: list[bytes]) -> None:
    assert tree_root([leaf_hash(entry) for entry in entries]) == by_definition(entries)


@given(leaves.filter(bool), st.data())
def test_no_edit_keeps_the_root(entries: list[bytes], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(entries) - 1))
    edited = [*entries[:at], entries[at] + b"!", *entries[at + 1 :]]
    hashes = [leaf_hash(entry) for entry in entries]
    assert tree_root([leaf_hash(entry) for entry in edited]) != tree_root(hashes)
    assert tree_root(hashes[:-1]) != tree_root(hashes)


def test_a_leaf_is_canonical_json() -> None:
    leaf = AuditLeaf(AuditEvent.MEMORY_PURGED, 5, "t", "s", 1, detail={"b": 1, "a": "x"})
    encoded = leaf.encode()
    assert encoded == json.dumps(json.loads(encoded), sort_keys=True, separators=(",", ":")).encode()
    assert json.loads(encoded)["event"] == "memory_purged"
