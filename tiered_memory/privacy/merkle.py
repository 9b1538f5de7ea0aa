"""The audit tree of RFC 6962 (Certificate Transparency), section 2.1: SHA-256, 0x00 for leaves, 0x01 for nodes.

`Tree` makes roots and proofs; the checks are those of RFC 9162, sections 2.1.3.2 and 2.1.4.2, and need no tree.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence

EMPTY_ROOT = hashlib.sha256().digest()
"""The root of the tree without leaves."""


def leaf_hash(leaf: bytes) -> bytes:
    """Return the hash (32 bytes) of one leaf's canonical bytes."""
    return hashlib.sha256(b"\x00" + leaf).digest()


def node_hash(left: bytes, right: bytes) -> bytes:
    """Return the hash (32 bytes) of an inner node."""
    return hashlib.sha256(b"\x01" + left + right).digest()


def tree_root(leaf_hashes: Sequence[bytes]) -> bytes:
    """Return the root over leaf hashes in order; the empty tree's root is SHA-256 of nothing."""
    return Tree(leaf_hashes).root()


class Tree:
    """A tree that only grows: a leaf costs two hashes on average, a root or a proof O(log n).

    The roots of complete subtrees are kept. With a `block_height` (0 to 20, levels) the nodes below a full block of
    2**block_height leaves are let go, which leaves 64 / 2**block_height bytes per leaf; a proof about a leaf in such
    a block then needs the block's leaf hashes.
    """

    def __init__(self, leaf_hashes: Iterable[bytes] = (), *, block_height: int = 0) -> None:
        self._levels: list[list[bytes]] = [[]]
        self._height = block_height
        self._block = 1 << block_height
        self.size = 0
        for one in leaf_hashes:
            self.append(one)

    def append(self, leaf: bytes) -> None:
        """Add the hash (32 bytes) of the next leaf."""
        levels, node, level = self._levels, leaf, 0
        levels[0].append(node)
        while len(levels[level]) % 2 == 0:
            node = node_hash(levels[level][-2], node)
            level += 1
            if level == len(levels):
                levels.append([])
            levels[level].append(node)
        self.size += 1
        if level >= self._height > 0:
            for below in levels[: self._height]:
                below.clear()

    def root(self, size: int | None = None, block: Sequence[bytes] = ()) -> bytes:
        """Return the root of the first `size` (0 to all) leaves; of all when None.

        An earlier root needs, where blocks are let go, the leaf hashes of `block_of(size)`.
        """
        wanted = self.size if size is None else size
        if not 0 <= wanted <= self.size:
            raise ValueError("the tree is not that large")
        return self._over(0, wanted, self._borrowed(wanted, block)) if wanted else EMPTY_ROOT

    def block_of(self, index: int) -> tuple[int, int]:
        """Return the half-open range of leaves whose hashes a proof about leaf `index` needs; empty when none."""
        start = index - index % self._block
        return (start, start + self._block) if self._height and start + self._block <= self.size else (0, 0)

    def inclusion(self, index: int, size: int | None = None, block: Sequence[bytes] = ()) -> list[bytes]:
        """Return the audit path of leaf `index` (from 0) in the tree of the first `size` leaves, leaf upwards.

        RFC 6962, section 2.1.1. `block` are the leaf hashes of `block_of(index)`.
        """
        wanted = self.size if size is None else size
        if not 0 <= index < wanted <= self.size:
            raise ValueError("there is no such leaf in a tree of that size")
        borrowed = self._borrowed(index, block)
        path, start, end = [], 0, wanted
        while end - start > 1:
            split = start + _split(end - start)
            if index < split:
                path.append(self._over(split, end, borrowed))
                end = split
            else:
                path.append(self._over(start, split, borrowed))
                start = split
        return path[::-1]

    def consistency(self, first: int, second: int | None = None, block: Sequence[bytes] = ()) -> list[bytes]:
        """Return the proof that the tree of `first` (>= 1) leaves is how that of `second` begins.

        RFC 6962, section 2.1.2. `block` are the leaf hashes of `block_of(first)`.
        """
        wanted = self.size if second is None else second
        if not 0 < first <= wanted <= self.size:
            raise ValueError("a proof leads from one leaf or more to as many or more")
        borrowed = self._borrowed(first, block)
        path, start, end, whole = [], 0, wanted, True
        while first != end:
            split = start + _split(end - start)
            if first <= split:
                path.append(self._over(split, end, borrowed))
                end = split
            else:
                path.append(self._over(start, split, borrowed))
                start, whole = split, False
        return ([] if whole else [self._over(start, end, borrowed)]) + path[::-1]

    def _borrowed(self, index: int, block: Sequence[bytes]) -> tuple[int, Tree]:
        start, _ = self.block_of(index)
        return start, Tree(block)

    def _over(self, start: int, end: int, borrowed: tuple[int, Tree]) -> bytes:
        """Return the root over the leaves from `start` to `end`, as the RFC splits them."""
        count = end - start
        if count & (count - 1) == 0:
            return self._node(count.bit_length() - 1, start, borrowed)
        split = start + _split(count)
        return node_hash(self._over(start, split, borrowed), self._over(split, end, borrowed))

    def _node(self, level: int, start: int, borrowed: tuple[int, Tree]) -> bytes:
        """Return the root of the complete subtree of 2**level leaves that begins at leaf `start`."""
        let_go = self.size - self.size % self._block if level < self._height else 0
        if start >= let_go:
            return self._levels[level][(start - let_go) >> level]
        first, block = borrowed
        if not first <= start < first + block.size:
            raise ValueError("the leaf hashes of a block are needed, see `block_of`")
        return block._node(level, start - first, borrowed)  # noqa: SLF001 - a tree of the same sort


def verify_inclusion(leaf: bytes, index: int, size: int, path: Sequence[bytes], root: bytes) -> bool:
    """Tell whether `path` proves that leaf `index` of the tree of `size` leaves under `root` has the hash `leaf`."""
    if not 0 <= index < size:
        return False
    place, last, node = index, size - 1, leaf
    for sibling in path:
        if last == 0:
            return False
        if place & 1 or place == last:
            node = node_hash(sibling, node)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            node = node_hash(node, sibling)
        place, last = place >> 1, last >> 1
    return last == 0 and node == root


def verify_consistency(
    first: int, second: int, first_root: bytes, second_root: bytes, path: Sequence[bytes]
) -> bool:
    """Tell whether `path` proves that the tree of `second` leaves begins with that of `first` (>= 1)."""
    if not 0 < first <= second:
        return False
    if first == second:
        return not path and first_root == second_root
    nodes = list(path) if first & (first - 1) else [first_root, *path]
    if not nodes:
        return False
    place, last = first - 1, second - 1
    while place & 1:
        place, last = place >> 1, last >> 1
    old = new = nodes[0]
    for node in nodes[1:]:
        if last == 0:
            return False
        if place & 1 or place == last:
            old, new = node_hash(node, old), node_hash(node, new)
            while not place & 1 and place:
                place, last = place >> 1, last >> 1
        else:
            new = node_hash(new, node)
        place, last = place >> 1, last >> 1
    return last == 0 and old == first_root and new == second_root


def _split(count: int) -> int:
    """Return the largest power of two below `count` (>= 2)."""
    return 1 << ((count - 1).bit_length() - 1)
