"""Judging a ledger: its leaves against the checkpoints that were signed while it grew.

Leaves that came after the newest checkpoint are sound as far as anybody can tell: a crash between a leaf and its
checkpoint is no tampering. A restored store begins an incarnation of its own; what its former self had signed beyond
the place it was restored at is superseded, not contradicted.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from tiered_memory.privacy.checkpoint import Checkpoint, SignedCheckpoint
from tiered_memory.privacy.merkle import Tree, leaf_hash

BLOCK_HEIGHT = 10
RESTORED = "store_restored"
_RESTORED_BYTES = b'"event":"store_restored"'
SHOWN = 20
SignatureCheck = Callable[[SignedCheckpoint], bool]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a ledger is worth: how many entries under which root, what is wrong, and what should be known.

    `covered` is how many entries stand under the newest checkpoint. No problem means: nothing was edited, dropped,
    swapped, added in between or cut off below that.
    """

    entries: int
    root: bytes
    checkpoints: int
    covered: int
    problems: tuple[str, ...]
    notices: tuple[str, ...]

    @property
    def sound(self) -> bool:
        """Whether there is nothing wrong."""
        return not self.problems


class Auditor:
    """Takes leaves in order and judges them against checkpoints.

    `notes` is a log's content in order, None for a note that cannot be read. `known` are checkpoints kept elsewhere.
    `incarnation` (32 hex digits) is the store's present one; empty: that of the last note.
    """

    def __init__(
        self,
        notes: Sequence[SignedCheckpoint | None],
        signature_holds: SignatureCheck,
        *,
        incarnation: str = "",
        known: Sequence[SignedCheckpoint] = (),
    ) -> None:
        self.tree = Tree(block_height=BLOCK_HEIGHT)
        self.next_index = 0
        """Where the store's next row belongs."""
        self._damage: list[str] = []
        self._accepted: list[str] = []
        self._restored: list[tuple[int, str]] = []
        self._roots: dict[int, bytes] = {}
        self._notes = notes
        self._valid = [one is not None and signature_holds(one) for one in notes]
        self._known = [one.checkpoint for one in known if signature_holds(one)]
        self._strangers = len(known) - len(self._known)
        self._trusted = [
            one.checkpoint for one, valid in zip(notes, self._valid, strict=True) if one and valid
        ]
        self._trusted += self._known
        self._wanted = {one.size for one in self._trusted}
        self._incarnation = incarnation or next(
            (one.checkpoint.incarnation for one in notes[::-1] if one), ""
        )
        self._see_root()

    def add(self, leaf: bytes) -> None:
        """Take the next leaf's bytes."""
        if _RESTORED_BYTES in leaf:
            self._note_restore(leaf)
        self.tree.append(leaf_hash(leaf))
        self._see_root()

    def add_row(self, index: int, leaf: bytes, stored_hash: bytes) -> None:
        """Take the next row of the store's table."""
        if index != self.next_index:
            self._damaged(f"entry {self.next_index} is missing: entry {index} follows the one before")
        self.next_index = index + 1
        if leaf_hash(leaf) != stored_hash:
            self._damaged(f"entry {index} does not have the hash that is stored with it")
        self.add(leaf)

    def add_rows(self, rows: Iterable[tuple[int, bytes, bytes]]) -> None:
        """Take rows of the store's table."""
        for index, leaf, stored_hash in rows:
            self.add_row(index, leaf, stored_hash)

    def present_problems(self) -> list[str]:
        """Return what is wrong with the leaves, but for damage that was there when this incarnation began."""
        return [*self._damage, *self._contradictions()[0]]

    def verdict(self) -> Verdict:
        """Judge what was taken so far."""
        problems = [*self._accepted, *self._damage, *self._signatures(), *self._order()]
        contradicted, superseded = self._contradictions()
        present = [one.size for one in self._trusted if one.incarnation == self._incarnation]
        covered = min(max(present, default=0), self.tree.size)
        return Verdict(
            entries=self.tree.size,
            root=self.tree.root(),
            checkpoints=len(self._notes),
            covered=covered,
            problems=tuple(problems + contradicted),
            notices=tuple(self._notices(covered, superseded)),
        )

    def _damaged(self, what: str) -> None:
        if len(self._damage) < SHOWN:
            self._damage.append(what)

    def _see_root(self) -> None:
        if self.tree.size in self._wanted:
            self._roots[self.tree.size] = self.tree.root()

    def _note_restore(self, leaf: bytes) -> None:
        try:
            fields = json.loads(leaf)
            name = str(fields["detail"].get("incarnation", "")) if fields["event"] == RESTORED else None
        except (ValueError, KeyError, TypeError, AttributeError):
            self._damaged(f"entry {self.tree.size} is no audit leaf")
            return
        if name is not None:
            self._restored.append((self.tree.size, name))
        if name and name == self._incarnation:
            self._accepted, self._damage = self._damage, []

    def _signatures(self) -> list[str]:
        found = []
        for number, one in enumerate(self._notes):
            if not self._valid[number]:
                why = "cannot be read" if one is None else "is not signed by the ledger's key"
                found.append(f"checkpoint {number} {why}")
        return found[:SHOWN] + ["a known checkpoint is not signed by the ledger's key"] * bool(
            self._strangers
        )

    def _order(self) -> list[str]:
        """Sizes grow within an incarnation, and an incarnation that ended does not come back."""
        found, ended = [], set[str]()
        last: Checkpoint | None = None
        for number, one in enumerate(self._notes):
            if one is None:
                continue
            now = one.checkpoint
            if last is not None and last.incarnation != now.incarnation:
                ended.add(last.incarnation)
            elif last is not None and (
                now.size < last.size or (now.size == last.size and now.root != last.root)
            ):
                found.append(
                    f"checkpoint {number} contradicts the one before it: the log was forked or reordered"
                )
            if now.incarnation in ended:
                found.append(f"checkpoint {number} belongs to an incarnation that had ended")
            last = now
        if last is not None and last.incarnation != self._incarnation and self._incarnation in ended:
            found.append("the store's incarnation is one that had ended: an older store was put back")
        return found[:SHOWN]

    def _contradictions(self) -> tuple[list[str], int]:
        """Return what the leaves contradict, the first place only, and how many checkpoints a restore superseded."""
        superseded, sound_to = 0, 0
        for one in sorted(self._trusted, key=lambda each: each.size):
            limit = None if one.incarnation == self._incarnation else self._ended_at(one.incarnation)
            if limit is not None and one.size > limit:
                superseded += 1
            elif one.size > self.tree.size:
                missing = one.size - self.tree.size
                return [
                    f"entries are missing at the end: {missing} or more that a checkpoint counts"
                ], superseded
            elif self._roots[one.size] != one.root:
                return [f"entries {sound_to} to {one.size - 1} are not those of the checkpoint"], superseded
            else:
                sound_to = one.size
        return [], superseded

    def _ended_at(self, incarnation: str) -> int | None:
        """Return the index of the restore that ended an incarnation; None when the leaves tell of none."""
        order = [one.checkpoint.incarnation for one in self._notes if one is not None]
        began = order.index(incarnation) if incarnation in order else -1
        before = {*order[: began + 1], incarnation} if began >= 0 else {incarnation}
        named = [index for index, name in self._restored if name and name not in before]
        return min(named or [index for index, name in self._restored if not name], default=None)

    def _notices(self, covered: int, superseded: int) -> list[str]:
        found = []
        if covered < self.tree.size:
            found.append(f"{self.tree.size - covered} entries are newer than the newest checkpoint")
        if superseded:
            found.append(
                f"{superseded} checkpoints of a former incarnation lie beyond the restore that ended it"
            )
        return found
