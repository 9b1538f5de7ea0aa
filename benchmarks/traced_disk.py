"""A disk that forgets: what a directory may look like after a power cut, by the system calls that made it.

Nothing survives for certain but what was fsynced: a file's bytes by an fsync of the file, a name by an fsync of its
directory. Of the rest any part may be there: each 4 KiB piece of a write, each change of a name, alone. That is harsher
than the journalling file systems are, and it is all that POSIX promises.
"""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from benchmarks.trace_reader import Call, TraceError

BLOCK = 4096
MAPPED_BY_DESIGN = "-shm"
"""SQLite maps its index of the log and makes it anew after a crash: it need not survive, and is left out."""
FORBIDDEN = {"io_uring_setup", "copy_file_range", "sendfile", "splice", "symlink", "symlinkat"}


class Keep(Enum):
    """What of the unsynced survives a cut."""

    NOTHING = "nothing"
    EVERYTHING = "everything"
    ANYTHING = "anything"


@dataclass(slots=True)
class File:
    """A file's bytes as the system shows them, as they are on disk for certain, and the changes between."""

    data: bytearray = field(default_factory=bytearray)
    safe: bytearray = field(default_factory=bytearray)
    changes: list[tuple[int, int, bytes | None]] = field(default_factory=list)
    appended: bool = False

    def write(self, position: int, offset: int, data: bytes) -> None:
        """Note a write at a position of the recording."""
        _put(self.data, offset, data)
        self.changes.append((position, offset, data))

    def resize(self, position: int, size: int) -> None:
        """Note a change of the size."""
        _resize(self.data, size)
        self.changes.append((position, size, None))

    def sync(self, before: int) -> None:
        """Make safe what was written before a position."""
        for _, offset, data in [one for one in self.changes if one[0] < before]:
            if data is None:
                _resize(self.safe, offset)
            else:
                _put(self.safe, offset, data)
        self.changes = [one for one in self.changes if one[0] >= before]

    def equals(self, data: bytes) -> bool:
        """Tell whether the file is `data`; lines appended at the same time may stand in either order."""
        if self.appended:
            return sorted(self.data.splitlines()) == sorted(data.splitlines())
        return self.data == data

    def after_cut(self, keep: Keep, draw: random.Random) -> bytes:
        """Return bytes that a cut may leave: sizes go as far as some change, each piece of a write is there or not."""
        if keep is Keep.NOTHING or not self.changes:
            return bytes(self.safe)
        if keep is Keep.EVERYTHING:
            return bytes(self.data)
        left, share = bytearray(self.safe), draw.choice((0.0, 0.5, 0.9))
        sized = draw.randint(0, len(self.changes))
        for number, (_, offset, data) in enumerate(self.changes):
            if data is None:
                if number < sized:
                    _resize(left, offset)
                continue
            if number < sized and len(left) < offset + len(data):
                _resize(left, offset + len(data))
            for start, piece in _pieces(offset, data):
                if draw.random() < share:
                    fitting = piece[: max(0, len(left) - start)]
                    left[start : start + len(fitting)] = fitting
        return bytes(left)


@dataclass(slots=True)
class Folder:
    """A directory's names as the system shows them, as they are on disk for certain, and the changes between."""

    names: dict[str, Node] = field(default_factory=dict)
    safe: dict[str, Node] = field(default_factory=dict)
    changes: list[tuple[int, dict[str, Node | None]]] = field(default_factory=list)

    def change(self, position: int, changed: dict[str, Node | None]) -> None:
        """Note names that come (with what) or go (None) together."""
        _rename(self.names, changed)
        self.changes.append((position, changed))

    def sync(self, before: int) -> None:
        """Make safe what was changed before a position."""
        for _, changed in [one for one in self.changes if one[0] < before]:
            _rename(self.safe, changed)
        self.changes = [one for one in self.changes if one[0] >= before]

    def after_cut(self, keep: Keep, draw: random.Random) -> dict[str, Node]:
        """Return names that a cut may leave."""
        if keep is Keep.EVERYTHING:
            return self.names
        left = dict(self.safe)
        if keep is Keep.ANYTHING:
            share = draw.choice((0.0, 0.2, 0.5, 0.8, 1.0))
            for _, changed in self.changes:
                if draw.random() < share:
                    _rename(left, changed)
        return left


Node = File | Folder


@dataclass(slots=True)
class _Open:
    node: Node
    offset: int = 0
    append: bool = False


class Disk:
    """Follows the calls of one recording after the other below `root`, which is on disk from the beginning.

    `deaf` names paths (by a part of them) whose fsyncs are not heard: a disk that lies, to show that it is noticed.
    """

    def __init__(self, root: Path, deaf: str | None = None) -> None:
        self._root = str(root)
        self._deaf = deaf
        self._top = Folder()
        self._open: dict[int, _Open] = {}
        self._handlers: dict[str, Callable[[Call], None]] = {
            "open": lambda call: self._opened(call, 0, None),
            "openat": lambda call: self._opened(call, 1, 0),
            "creat": lambda call: self._opened(call, 0, None),
            "write": lambda call: self._wrote(call, call.data(1), None),
            "pwrite64": lambda call: self._wrote(call, call.data(1), int(call.arguments[3])),
            "writev": lambda call: self._wrote(call, call.vector(1), None),
            "lseek": self._sought,
            "ftruncate": lambda call: self._resized(call, int(call.arguments[1])),
            "fallocate": self._allocated,
            "fsync": self._synced,
            "fdatasync": self._synced,
            "mkdir": lambda call: self._named(call, call.path(0), Folder()),
            "mkdirat": lambda call: self._named(call, call.path(1, 0), Folder()),
            "rename": lambda call: self._moved(call, call.path(0), call.path(1)),
            "renameat": lambda call: self._moved(call, call.path(1, 0), call.path(3, 2)),
            "renameat2": lambda call: self._moved(call, call.path(1, 0), call.path(3, 2)),
            "link": lambda call: self._named(call, call.path(1), self._find(call.path(0))),
            "linkat": lambda call: self._named(call, call.path(3, 2), self._find(call.path(1, 0))),
            "unlink": lambda call: self._named(call, call.path(0), None),
            "unlinkat": lambda call: self._named(call, call.path(1, 0), None),
            "rmdir": lambda call: self._named(call, call.path(0), None),
            "mmap": self._mapped,
        }

    def begin_recording(self) -> None:
        """Forget the descriptors: another process begins, and positions count from 0 again."""
        self._open.clear()
        for node in self._all(self._top):
            if isinstance(node, File):
                node.changes = [(-1, offset, data) for _, offset, data in node.changes]
            else:
                node.changes = [(-1, changed) for _, changed in node.changes]

    def follow(self, call: Call) -> bool:
        """Carry out a call that has ended; a close when it begins. Return whether it touched what is below `root`."""
        if call.name == "close":
            if call.ended < 0:
                self._open.pop(call.fd(0), None)
            return False
        if call.ended < 0 or call.result < 0:
            return False
        if call.name in FORBIDDEN:
            raise TraceError(f"{call.name} is not followed: the recording does not tell everything")
        handler = self._handlers.get(call.name)
        if handler is not None:
            handler(call)
        elif self._root in str(call.arguments):
            raise TraceError(f"{call.name} is not followed")
        return handler is not None and self._concerns(call)

    def write_out(self, folder: Path, keep: Keep, draw: random.Random) -> None:
        """Write what a cut now may leave into `folder`."""
        self._write_out(self._top, folder, keep, draw)

    def difference(self, folder: Path) -> list[str]:
        """Return the paths at which `folder` is not what the calls say it is; the mapped file is not compared."""
        there = {str(p.relative_to(folder)): p for p in folder.rglob("*") if p.is_file()}
        said = {
            name: node for name, node in self._files(self._top, "") if not name.endswith(MAPPED_BY_DESIGN)
        }
        there = {name: path for name, path in there.items() if not name.endswith(MAPPED_BY_DESIGN)}
        wrong = set(said) ^ set(there)
        return sorted(wrong | {n for n in said.keys() & there if not said[n].equals(there[n].read_bytes())})

    def _opened(self, call: Call, place: int, at: int | None) -> None:
        path = call.path(place, at)
        self._open.pop(call.result, None)
        if not self._below(path):
            return
        flags = b"O_CREAT|O_TRUNC|O_WRONLY" if call.name == "creat" else call.arguments[place + 1]
        node = self._find(path)
        if node is None:
            if b"O_CREAT" not in flags:
                raise TraceError("a file was opened that no call has made")
            node = File()
            self._change(call, path, node)
        elif b"O_TRUNC" in flags and isinstance(node, File):
            node.resize(call.ended, 0)
        self._open[call.result] = _Open(node, append=b"O_APPEND" in flags)
        if isinstance(node, File):
            node.appended = node.appended or b"O_APPEND" in flags

    def _wrote(self, call: Call, data: bytes, offset: int | None) -> None:
        opened = self._open.get(call.fd(0))
        if opened is None or not isinstance(opened.node, File):
            return
        if opened.append:
            offset = opened.offset = len(opened.node.data)
        start = opened.offset if offset is None else offset
        opened.node.write(call.ended, start, data[: call.result])
        if offset is None or opened.append:
            opened.offset = start + call.result

    def _sought(self, call: Call) -> None:
        opened = self._open.get(call.fd(0))
        if opened is not None:
            opened.offset = call.result

    def _resized(self, call: Call, size: int) -> None:
        opened = self._open.get(call.fd(0))
        if opened is not None and isinstance(opened.node, File):
            opened.node.resize(call.ended, size)

    def _allocated(self, call: Call) -> None:
        opened = self._open.get(call.fd(0))
        if opened is not None and isinstance(opened.node, File):
            if call.arguments[1] != b"0":
                raise TraceError("only a plain fallocate is followed")
            end = int(call.arguments[2]) + int(call.arguments[3])
            opened.node.resize(call.ended, max(len(opened.node.data), end))

    def _synced(self, call: Call) -> None:
        opened = self._open.get(call.fd(0))
        if opened is None or (self._deaf is not None and self._deaf in call.named(0)):
            return
        opened.node.sync(call.begun)

    def _mapped(self, call: Call) -> None:
        shared = b"MAP_SHARED" in call.arguments[3] and b"PROT_WRITE" in call.arguments[2]
        path = call.named(4)
        if shared and self._below(path) and not path.endswith(MAPPED_BY_DESIGN):
            raise TraceError("a file is written through memory: the recording does not tell everything")

    def _moved(self, call: Call, old: str, new: str) -> None:
        node = self._find(old)
        if not self._below(old) or node is None:
            return
        (was, old_name), (now, new_name) = self._place(old), self._place(new)
        if was is now:
            was.change(call.ended, {old_name: None, new_name: node})
        else:
            was.change(call.ended, {old_name: None})
            now.change(call.ended, {new_name: node})

    def _named(self, call: Call, path: str, node: Node | None) -> None:
        if self._below(path):
            self._change(call, path, node)

    def _change(self, call: Call, path: str, node: Node | None) -> None:
        folder, name = self._place(path)
        folder.change(call.ended, {name: node})

    def _place(self, path: str) -> tuple[Folder, str]:
        parent, name = os.path.split(path)
        folder = self._find(parent)
        if not isinstance(folder, Folder):
            raise TraceError("a name was given in a directory that no call has made")
        return folder, name

    def _find(self, path: str) -> Node | None:
        node: Node | None = self._top
        for name in path[len(self._root) :].split("/"):
            if name:
                node = node.names.get(name) if isinstance(node, Folder) else None
        return node

    def _below(self, path: str) -> bool:
        return path == self._root or path.startswith(f"{self._root}/")

    def _concerns(self, call: Call) -> bool:
        return call.name not in {"lseek", "mmap"} and any(self._below(path) for path in call.paths())

    def _write_out(self, node: Folder, folder: Path, keep: Keep, draw: random.Random) -> None:
        for name, child in node.after_cut(keep, draw).items():
            if isinstance(child, Folder):
                (folder / name).mkdir(mode=0o700)
                self._write_out(child, folder / name, keep, draw)
            elif not name.endswith(MAPPED_BY_DESIGN):
                descriptor = os.open(folder / name, os.O_WRONLY | os.O_CREAT, 0o600)
                os.write(descriptor, child.after_cut(keep, draw))
                os.close(descriptor)

    def _files(self, node: Folder, prefix: str) -> list[tuple[str, File]]:
        found: list[tuple[str, File]] = []
        for name, child in node.names.items():
            if isinstance(child, Folder):
                found += self._files(child, f"{prefix}{name}/")
            else:
                found.append((f"{prefix}{name}", child))
        return found

    def _all(self, node: Node) -> list[Node]:
        if isinstance(node, File):
            return [node]
        below = {id(one): one for names in (node.names, node.safe) for one in names.values()}
        below |= {id(one): one for _, changed in node.changes for one in changed.values() if one is not None}
        return [node, *(deep for one in below.values() for deep in self._all(one))]


def _put(target: bytearray, offset: int, data: bytes) -> None:
    if len(target) < offset:
        _resize(target, offset)
    target[offset : offset + len(data)] = data


def _resize(target: bytearray, size: int) -> None:
    del target[size:]
    target.extend(bytes(size - len(target)))


def _rename(names: dict[str, Node], changed: dict[str, Node | None]) -> None:
    for name, node in changed.items():
        if node is None:
            names.pop(name, None)
        else:
            names[name] = node


def _pieces(offset: int, data: bytes) -> list[tuple[int, bytes]]:
    """Split a write where pages end."""
    pieces, at = [], 0
    while at < len(data):
        end = min(len(data), at + BLOCK - (offset + at) % BLOCK)
        pieces.append((offset + at, data[at:end]))
        at = end
    return pieces
