"""The audit tree against the definition in RFC 6962, section 2.1, written out recursively."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.formats.leaf import AuditEvent, AuditLeaf
from tiered_memory.privacy.merkle import (
    EMPTY_ROOT,
    Tree,
    leaf_hash,
    node_hash,
    tree_root,
    verify_consistency,
    verify_inclusion,
)

CT_LEAVES = tuple(
    bytes.fromhex(one)
    for one in (
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    )
)
"""The leaves that the reference implementation of Certificate Transparency tests with, and its roots of 1 to 8."""
CT_ROOTS = (
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
)
CT_PATH_0_OF_8 = (
    "96a296d224f285c67bee93c30f8a309157f0daa35dc5b87e410b78630a09cfc7",
    "5f083f0a1a33ca076a95279832580db3e0ef4584bdff1f54c8a360f50de3031e",
    "6b47aaf29ee3c2af9af889bc1fb9254dabd31177f16232dd6aab035ca39bf6e4",
)
BLOCK = 2

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


# --- proofs ------------------------------------------------------------------------------------------------------


def split_of(count: int) -> int:
    split = 1
    while split * 2 < count:
        split *= 2
    return split


def path_by_definition(index: int, entries: list[bytes]) -> list[bytes]:
    """PATH(m, D[n]) of RFC 6962, section 2.1.1."""
    if len(entries) == 1:
        return []
    split = split_of(len(entries))
    if index < split:
        return [*path_by_definition(index, entries[:split]), by_definition(entries[split:])]
    return [*path_by_definition(index - split, entries[split:]), by_definition(entries[:split])]


def subproof(first: int, entries: list[bytes], whole: bool) -> list[bytes]:
    """SUBPROOF(m, D[n], b) of RFC 6962, section 2.1.2."""
    if first == len(entries):
        return [] if whole else [by_definition(entries)]
    split = split_of(len(entries))
    if first <= split:
        return [*subproof(first, entries[:split], whole), by_definition(entries[split:])]
    return [*subproof(first - split, entries[split:], False), by_definition(entries[:split])]


grown = st.integers(1, 70).map(lambda count: [number.to_bytes(2, "big") for number in range(count)])
heights = st.integers(0, 3)


def tree_of(entries: list[bytes], height: int = 0) -> tuple[Tree, list[bytes]]:
    hashes = [leaf_hash(entry) for entry in entries]
    return Tree(hashes, block_height=height), hashes


def block(tree: Tree, hashes: list[bytes], index: int) -> list[bytes]:
    start, end = tree.block_of(index)
    return hashes[start:end]


@pytest.mark.parametrize("size", range(1, 9))
def test_the_roots_of_the_reference_implementation(size: int) -> None:
    assert tree_root([leaf_hash(leaf) for leaf in CT_LEAVES[:size]]).hex() == CT_ROOTS[size - 1]


def test_the_path_of_the_reference_implementation() -> None:
    tree, _ = tree_of(list(CT_LEAVES))
    assert [node.hex() for node in tree.inclusion(0)] == list(CT_PATH_0_OF_8)


def test_the_empty_tree() -> None:
    assert tree_root([]) == Tree().root() == EMPTY_ROOT == hashlib.sha256().digest()


@given(grown, heights, st.data())
def test_every_earlier_root_is_the_rfcs(entries: list[bytes], height: int, data: st.DataObject) -> None:
    tree, hashes = tree_of(entries, height)
    size = data.draw(st.integers(0, len(entries)))
    assert tree.root(size, block(tree, hashes, size)) == by_definition(entries[:size])
    assert tree.root() == by_definition(entries)
    assert tree.size == len(entries)


@given(grown, heights, st.data())
def test_an_inclusion_proof_is_the_rfcs_and_verifies(
    entries: list[bytes], height: int, data: st.DataObject
) -> None:
    tree, hashes = tree_of(entries, height)
    index = data.draw(st.integers(0, len(entries) - 1))
    path = tree.inclusion(index, block=block(tree, hashes, index))
    assert path == path_by_definition(index, entries)
    assert verify_inclusion(hashes[index], index, len(entries), path, by_definition(entries))


@given(grown, st.data())
def test_an_inclusion_proof_in_an_earlier_tree(entries: list[bytes], data: st.DataObject) -> None:
    tree, hashes = tree_of(entries)
    size = data.draw(st.integers(1, len(entries)))
    index = data.draw(st.integers(0, size - 1))
    path = tree.inclusion(index, size)
    assert path == path_by_definition(index, entries[:size])
    assert verify_inclusion(hashes[index], index, size, path, tree.root(size))


@given(grown, heights, st.data())
def test_a_consistency_proof_is_the_rfcs_and_verifies(
    entries: list[bytes], height: int, data: st.DataObject
) -> None:
    tree, hashes = tree_of(entries, height)
    first = data.draw(st.integers(1, len(entries)))
    path = tree.consistency(first, block=block(tree, hashes, first))
    assert path == subproof(first, entries, True)
    old, new = by_definition(entries[:first]), by_definition(entries)
    assert verify_consistency(first, len(entries), old, new, path)


@given(grown, st.data())
def test_no_proof_holds_for_anything_else(entries: list[bytes], data: st.DataObject) -> None:
    tree, hashes = tree_of(entries)
    size, root = len(entries), tree.root()
    index = data.draw(st.integers(0, size - 1))
    path = tree.inclusion(index)
    other = leaf_hash(b"another")
    assert not verify_inclusion(other, index, size, path, root)
    assert not verify_inclusion(hashes[index], index, size, path, other)
    assert not verify_inclusion(hashes[index], index, size, [*path, other], root)
    assert not verify_inclusion(hashes[index], size, size, path, root)
    assert not verify_inclusion(hashes[index], -1, size, path, root)
    if path:
        assert not verify_inclusion(hashes[index], index, size, path[:-1], root)
        at = data.draw(st.integers(0, len(path) - 1))
        assert not verify_inclusion(hashes[index], index, size, [*path[:at], other, *path[at + 1 :]], root)
        elsewhere = data.draw(st.integers(0, size - 1).filter(lambda place: place != index))
        assert not verify_inclusion(hashes[index], elsewhere, size, path, root)


@given(grown.filter(lambda entries: len(entries) > 1), st.data())
def test_no_fork_is_consistent(entries: list[bytes], data: st.DataObject) -> None:
    """What was edited before the first tree ended cannot be proven, with the honest proof or the forger's own."""
    first = data.draw(st.integers(1, len(entries)))
    at = data.draw(st.integers(0, first - 1))
    honest, _ = tree_of(entries)
    forged, _ = tree_of([*entries[:at], b"forged", *entries[at + 1 :]])
    old, new = honest.root(first), forged.root()
    for tree in (honest, forged):
        path = tree.consistency(first)
        assert not verify_consistency(first, len(entries), old, new, path)
        assert not verify_consistency(first, len(entries), old, honest.root(), [*path, new])
    if honest.consistency(first):
        assert not verify_consistency(first, len(entries), old, honest.root(), honest.consistency(first)[:-1])


def test_senseless_proofs_are_refused() -> None:
    tree, hashes = tree_of([b"a", b"b", b"c"])
    for first, second in ((0, 3), (4, 3), (2, 4)):
        with pytest.raises(ValueError, match="proof leads"):
            tree.consistency(first, second)
        assert not verify_consistency(first, second, hashes[0], tree.root(), [])
    for index, size in ((-1, 3), (3, 3), (0, 4)):
        with pytest.raises(ValueError, match="no such leaf"):
            tree.inclusion(index, size)
    with pytest.raises(ValueError, match="not that large"):
        tree.root(4)


def test_a_tree_that_let_its_blocks_go_asks_for_them() -> None:
    tree, hashes = tree_of([bytes([number]) for number in range(37)], BLOCK)
    assert tree.block_of(5) == (4, 8)
    assert tree.block_of(36) == (0, 0)
    with pytest.raises(ValueError, match="needed"):
        tree.inclusion(5)
    with pytest.raises(ValueError, match="needed"):
        tree.inclusion(5, block=hashes[:4][:0])
    assert verify_inclusion(hashes[36], 36, 37, tree.inclusion(36), tree.root())


def test_a_million_leaves_leave_little_behind() -> None:
    """Counted on 2**14 leaves: a proof has as many nodes as the tree is high, and few nodes are held."""
    size = 1 << 14
    tree = Tree((leaf_hash(number.to_bytes(4, "big")) for number in range(size)), block_height=10)
    held = sum(len(level) for level in tree._levels)
    assert held < 2 * (size >> 10)
    hashes = [leaf_hash(number.to_bytes(4, "big")) for number in range(1 << 10)]
    path = tree.inclusion(3, block=hashes)
    assert len(path) == 14
    assert path[0] == hashes[2]
    assert path[1] == node_hash(hashes[0], hashes[1])
