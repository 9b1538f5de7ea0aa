"""The ledger as files that anybody can verify without this package, and their verification with it."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from importlib import resources
from pathlib import Path
from typing import IO, TypeVar

import tiered_memory
from tiered_memory.clock import Clock, to_us
from tiered_memory.crypto.signing import verifies
from tiered_memory.errors import CorruptionError, InvalidInputError, StorageError
from tiered_memory.files import PRIVATE_MODE, replace_file, sync_path
from tiered_memory.notary import Notary, Row, note_holds, on_disk
from tiered_memory.privacy import manifest as m
from tiered_memory.privacy.audit import Auditor, Verdict
from tiered_memory.privacy.checkpoint import ORIGIN, SignedCheckpoint, parse_log, verifier_key

T = TypeVar("T")
MOST_BYTES_OF_A_LEAF = 1 << 16


@dataclass(frozen=True, slots=True)
class ExportReport:
    """What was exported: entries, the root over them (hex), checkpoints, the key (hex) to verify them with, bytes."""

    entries: int
    root: str
    checkpoints: int
    public_key: str
    bytes: int


@dataclass(slots=True)
class _Written:
    """A file that is being written, and what the manifest will say of it."""

    stream: IO[bytes]
    digest: hashlib._Hash = field(default_factory=hashlib.sha256)
    size: int = 0

    def write(self, data: bytes) -> None:
        self.stream.write(data)
        self.digest.update(data)
        self.size += len(data)

    @property
    def facts(self) -> tuple[str, int]:
        return self.digest.hexdigest(), self.size


async def export(notary: Notary, clock: Clock, target: Path) -> ExportReport:
    """Write the ledger up to now into the directory `target`, which must not exist or be empty.

    Raises:
        InvalidInputError: something is there already.
        CorruptionError: the ledger contradicts its checkpoints; a forged one is not handed out.
        StorageError: it could not be read or written; what was written has no manifest and is no export.
    """
    await _in_thread(lambda: _claim(target))
    head = await notary.note()
    if head is None:
        raise InvalidInputError("the ledger is empty: there is nothing to export")
    size = head.checkpoint.size
    files = {m.LEAVES: await _write_leaves(notary, target / m.LEAVES, size)}
    log = await _in_thread(lambda: _log_up_to(notary.raw_checkpoints(), head))
    key = verifier_key(head.checkpoint.origin, notary.public_key) + "\n"
    for name, data in ((m.CHECKPOINTS, log), (m.PUBLIC_KEY, key.encode()), (m.PROGRAM, program())):
        files[name] = await _in_thread(lambda name=name, data=data: _write(target / name, data))  # type: ignore[misc]
    manifest = m.Manifest(
        head.checkpoint.incarnation,
        max(0, to_us(clock.now())),
        tiered_memory.__version__,
        size,
        head.checkpoint.root.hex(),
        notary.public_key.hex(),
        files,
    )
    await _in_thread(lambda: replace_file(target / m.MANIFEST, manifest.encode(notary.sign)))
    count, written = len(parse_log(log).notes), sum(size for _, size in files.values())
    return ExportReport(size, manifest.root, count, manifest.public_key, written)


def verify_export(
    source: Path, public_key: bytes | None = None, known: Sequence[SignedCheckpoint] = ()
) -> Verdict:
    """Judge an export, against the key (32 bytes) and the checkpoints one has from elsewhere.

    Without a key the export's own is believed, which a forger can have put there: the verdict says so. Synchronous.

    Raises:
        CorruptionError: this is no export, or its manifest was altered or made by somebody else.
        StorageError: a file could not be read.
    """
    try:
        return _Examination(source, public_key, known).verdict()
    except OSError as error:
        raise StorageError(f"the export could not be read ({type(error).__name__})") from error


def program() -> bytes:
    """Return the program that verifies an export without this package: `scripts/verify_ledger.py`."""
    package = Path(str(resources.files("tiered_memory")))
    inside = package / "scripts" / m.PROGRAM
    return (inside if inside.is_file() else package.parent / "scripts" / m.PROGRAM).read_bytes()


class _Examination:
    """One look at an export."""

    def __init__(self, source: Path, public_key: bytes | None, known: Sequence[SignedCheckpoint]) -> None:
        self._source = source
        self._manifest = _signed_manifest(source / m.MANIFEST, public_key)
        self._key = bytes.fromhex(self._manifest.public_key)
        self._known = known
        self._notices = [] if public_key else ["the key is the export's own: compare it with one you trust"]

    def verdict(self) -> Verdict:
        """Compare files, leaves and checkpoints with each other."""
        problems = self._files()
        path = self._source / m.CHECKPOINTS
        log = parse_log(path.read_bytes() if path.is_file() else b"")
        if log.torn:
            problems.append("the checkpoints do not end with one")
        wanted = self._manifest
        auditor = Auditor(log.notes, self._holds, incarnation=wanted.incarnation, known=self._known)
        for leaf in _lines(self._source / m.LEAVES, problems):
            auditor.add(leaf)
        found = auditor.verdict()
        if found.entries != wanted.entries:
            problems.append(f"there are {found.entries} entries, not the {wanted.entries} of the manifest")
        elif found.root.hex() != wanted.root:
            problems.append("the root over the entries is not the manifest's")
        if found.covered != found.entries:
            problems.append("the newest checkpoint does not cover every entry")
        return Verdict(
            found.entries,
            found.root,
            found.checkpoints,
            found.covered,
            (*problems, *found.problems),
            (*self._notices, *found.notices),
        )

    def _holds(self, signed: SignedCheckpoint) -> bool:
        return note_holds(signed, self._key)

    def _files(self) -> list[str]:
        """Return which files are not what the manifest says."""
        there = {path.name for path in self._source.iterdir()} - {m.MANIFEST}
        listed = self._manifest.files
        found = [f"{name} is not in the manifest" for name in sorted(there - listed.keys())]
        found += [f"{name} is missing" for name in sorted({*m.SIGNED_FILES, *listed} - there)]
        for name in sorted(there & listed.keys()):
            with (self._source / name).open("rb") as stream:
                digest = hashlib.file_digest(stream, "sha256").hexdigest()
                if (digest, stream.tell()) != listed[name]:
                    found.append(f"{name} is not what the manifest says: it was altered")
        return found


def _signed_manifest(path: Path, public_key: bytes | None) -> m.Manifest:
    parsed = m.parse_manifest(path.read_bytes()) if path.is_file() else None
    if parsed is None:
        raise CorruptionError("this is no complete export: its manifest is missing or was altered")
    manifest, signature = parsed
    if public_key is not None and manifest.public_key != public_key.hex():
        raise CorruptionError("the export was made under another key than the one you trust")
    try:
        own = bytes.fromhex(manifest.public_key)
    except ValueError as error:
        raise CorruptionError("the manifest was altered: its key is none") from error
    if not verifies(own, signature, manifest.signed_bytes()):
        raise CorruptionError("the manifest was altered: its signature does not verify")
    return manifest


def _lines(path: Path, problems: list[str]) -> Iterator[bytes]:
    """Yield the leaves of a file, without a limit to their number but to the length of each."""
    if not path.is_file():
        return
    with closing(path.open("rb")) as stream:
        while line := stream.readline(MOST_BYTES_OF_A_LEAF):
            if not line.endswith(b"\n"):
                problems.append(f"{m.LEAVES} does not consist of whole lines")
                return
            yield line[:-1]


async def _write_leaves(notary: Notary, path: Path, size: int) -> tuple[str, int]:
    """A leaf holds no newline: JSON writes it as an escape."""
    await _in_thread(lambda: path.touch(PRIVATE_MODE, exist_ok=False))
    with closing(await _in_thread(lambda: path.open("wb"))) as stream:
        written = _Written(stream)
        async for rows in notary.rows():
            await _in_thread(lambda rows=rows: _write_rows(written, rows, size))  # type: ignore[misc]
            if rows[-1][0] + 1 >= size:
                break
    await _in_thread(lambda: sync_path(path))
    return written.facts


def _write_rows(written: _Written, rows: Sequence[Row], size: int) -> None:
    written.write(b"".join(leaf + b"\n" for index, leaf, _ in rows if index < size))


def _write(path: Path, data: bytes) -> tuple[str, int]:
    replace_file(path, data)
    return hashlib.sha256(data).hexdigest(), len(data)


def _log_up_to(data: bytes, head: SignedCheckpoint) -> bytes:
    """Return the log up to the export's head: other checkpoints may have followed meanwhile."""
    end = data.find(head.note().encode())
    return data[: end + len(head.note().encode()) + 1]


def _claim(target: Path) -> None:
    if target.exists() and any(target.iterdir()):
        raise InvalidInputError("the export's directory must not exist yet, or be empty")
    target.mkdir(mode=0o700, parents=True, exist_ok=True)


async def _in_thread(work: Callable[[], T]) -> T:
    return await on_disk(work, "the export could not be written")


def known_checkpoints(data: bytes) -> tuple[SignedCheckpoint, ...]:
    """Return the checkpoints in a file: one signed note, or a log of them.

    Raises:
        InvalidInputError: there are none.
    """
    log = parse_log(data if data.endswith(b"\n\n") else data.rstrip(b"\n") + b"\n\n")
    if not log.notes or None in log.notes or log.torn:
        raise InvalidInputError(f"that is no checkpoint: a signed note that begins with {ORIGIN}…")
    return tuple(one for one in log.notes if one is not None)
