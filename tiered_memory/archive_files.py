"""Archives as files: written without a name until they are whole, read with bounds. Synchronous."""

from __future__ import annotations

import contextlib
import hashlib
import os
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import IO, Self, TypeVar

from tiered_memory.crypto.signing import verifies
from tiered_memory.errors import ArchiveError, InvalidInputError
from tiered_memory.files import PRIVATE_MODE, sync_path
from tiered_memory.formats import archive as f

T = TypeVar("T")
MOST_FILES = 64
MOST_BYTES = 4 << 30
"""Of all files of an archive together, unpacked, that is read."""
MOST_RATIO, RATIO_FROM = 200, 64 << 20
"""More than 64 MiB that were packed more than 200-fold are a bomb: own archives come to about 5."""
DIRECTORY_BYTES = 64 << 10
DESCRIPTORS = "/proc/self/fd"
END_BYTES, END_MAGIC = 22, b"PK\x05\x06"
CHUNK = 1 << 20
EARLIEST = (1980, 1, 1, 0, 0, 0)
LEVEL = 6
EXISTS = "there is a file of that name already; nothing was exported: name another"
ALTERED = "the archive was altered: {} is not what the manifest says; nothing was stored"
UNREADABLE = "this is no archive, or a damaged one: it cannot be unpacked; nothing was stored"


class NewFile:
    """A file that gets its name when it is whole: whatever happens before leaves nothing behind.

    Where the file system has no files without a name, it has a hidden one until then, which only a kill leaves.
    """

    def __init__(self, target: Path) -> None:
        if os.path.lexists(target):
            raise InvalidInputError(EXISTS)
        self.target, self._hidden = target, target.with_name(f".{target.name}.partial")
        self._named = False
        self.stream: IO[bytes] = os.fdopen(self._open(), "w+b")

    def _open(self) -> int:
        nameless = getattr(os, "O_TMPFILE", None)
        if nameless is not None and Path(DESCRIPTORS).is_dir():
            with contextlib.suppress(OSError):
                return os.open(self.target.parent, nameless | os.O_RDWR, PRIVATE_MODE)
        descriptor = os.open(self._hidden, os.O_RDWR | os.O_CREAT | os.O_EXCL, PRIVATE_MODE)
        self._named = True
        return descriptor

    def publish(self) -> int:
        """Force the file to disk, give it its name and return its size; nothing of that name is overwritten."""
        self.stream.flush()
        descriptor = self.stream.fileno()
        os.fchmod(descriptor, PRIVATE_MODE)
        os.fsync(descriptor)
        source = str(self._hidden.absolute()) if self._named else f"{DESCRIPTORS}/{descriptor}"
        try:
            # Only with a directory given does Python ask for the link to be followed; an absolute path needs none.
            os.link(source, self.target, src_dir_fd=descriptor, follow_symlinks=True)
        except FileExistsError:
            raise InvalidInputError(EXISTS) from None
        sync_path(self.target.parent)
        return os.fstat(descriptor).st_size

    def withdraw(self) -> None:
        """Take the published file away again."""
        self.target.unlink(missing_ok=True)
        sync_path(self.target.parent)

    def close(self) -> None:
        """Let go of the file; without `publish` it is gone."""
        self.stream.close()
        if self._named:
            self._hidden.unlink(missing_ok=True)


class ArchiveWriter:
    """Writes the files of an archive one after the other; the layout depends on their contents alone."""

    def __init__(self, stream: IO[bytes]) -> None:
        self._zip = zipfile.ZipFile(stream, "w", zipfile.ZIP_DEFLATED, compresslevel=LEVEL)
        self.files: dict[str, f.FileFacts] = {}

    def add(self, name: str, pieces: Iterable[bytes]) -> None:
        """Write a file in one go."""
        with self.file(name) as entry:
            entry.write(pieces)

    @contextlib.contextmanager
    def file(self, name: str) -> Iterator[Entry]:
        """Give a file to write to, piece by piece; its facts are known afterwards."""
        with self._zip.open(_info(name), "w", force_zip64=True) as stream:
            entry = Entry(stream)
            yield entry
        self.files[name] = entry.facts

    def finish(self, manifest: bytes) -> None:
        """Write the manifest and close the archive."""
        with self._zip.open(_info(f.MANIFEST), "w", force_zip64=True) as stream:
            stream.write(manifest)
        self._zip.close()

    def abandon(self) -> None:
        """Write no more: without this the archive would be closed some time, into a file that is gone."""
        self._zip.fp = None


class Entry:
    """A file that is being written, or (without a stream) read, and what the manifest says of it."""

    def __init__(self, stream: IO[bytes] | None) -> None:
        self._stream = stream
        self._digest = hashlib.sha256()
        self._bytes = self._lines = 0

    def write(self, pieces: Iterable[bytes]) -> None:
        """Append pieces."""
        data = b"".join(pieces)
        if self._stream is not None:
            self._stream.write(data)
        self._digest.update(data)
        self._bytes += len(data)
        self._lines += data.count(b"\n")

    @property
    def facts(self) -> f.FileFacts:
        """What was written so far."""
        return f.FileFacts(self._digest.hexdigest(), self._bytes, self._lines)


def _info(name: str) -> zipfile.ZipInfo:
    """Times and modes are the same for every archive: they would say when which file was written."""
    made = zipfile.ZipInfo(name, EARLIEST)
    made.compress_type = zipfile.ZIP_DEFLATED
    made.create_system = 3
    made.external_attr = (0o100000 | PRIVATE_MODE) << 16
    return made


def schema_of(name: str) -> bytes:
    """Return the JSON Schema (2020-12) of one of an archive's files."""
    inside = resources.files("tiered_memory") / "formats" / f.schema_name(name)
    return inside.read_bytes()


# --- reading -------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ArchiveCheck:
    """An archive whose hashes and signature hold; `notices` say what that does not prove."""

    manifest: f.ArchiveManifest
    notices: tuple[str, ...] = ()


class ArchiveReader:
    """Reads an archive somebody may have forged: nothing is unpacked to disk, and no name in it is followed.

    Raises:
        ArchiveError: it is none, is larger than an archive may be, or was altered.
    """

    def __init__(self, path: Path, *, most_bytes: int = MOST_BYTES) -> None:
        self._most_bytes = most_bytes
        try:
            self._stream = path.open("rb")
        except OSError as error:
            raise ArchiveError(f"the archive cannot be read ({type(error).__name__})") from None
        try:
            _check_end(self._stream)
            self._zip = _translated(lambda: zipfile.ZipFile(self._stream))
            self._check_names()
            self.manifest, self._signature = f.parse_manifest(self._manifest_bytes())
            self._check_files()
        except BaseException:
            self._stream.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._stream.close()

    def check(self, public_key: bytes | None = None) -> ArchiveCheck:
        """Compare every byte with the manifest, and the manifest with its signature.

        Without a key (32 bytes) the archive's own is believed, which a forger can have put there.
        """
        own = bytes.fromhex(self.manifest.public_key)
        if public_key is not None and own != public_key:
            raise ArchiveError(
                "the archive was made under another key than the one you trust; nothing was stored"
            )
        if not verifies(own, self._signature, self.manifest.signed_bytes()):
            raise ArchiveError("the archive was altered: its signature does not verify; nothing was stored")
        for name in self.manifest.files:
            self._check_file(name)
        notices = () if public_key else ("the key is the archive's own: compare it with one you trust",)
        return ArchiveCheck(self.manifest, notices)

    def lines(self, name: str) -> Iterator[bytes]:
        """Yield the lines of a file."""
        rest = b""
        for chunk in self._chunks(name):
            *whole, rest = (rest + chunk).split(b"\n")
            if len(rest) > f.LINE_BYTES or any(len(one) > f.LINE_BYTES for one in whole):
                raise ArchiveError(f"{name} has a line of more than {f.LINE_BYTES} bytes; nothing was stored")
            yield from whole
        if rest:
            raise ArchiveError(f"{name} does not end with a whole line; nothing was stored")

    def _chunks(self, name: str) -> Iterator[bytes]:
        with _translated(lambda: self._zip.open(name)) as stream:
            while chunk := _translated(lambda: stream.read(CHUNK)):
                yield chunk

    def _manifest_bytes(self) -> bytes:
        if (
            f.MANIFEST not in self._zip.namelist()
            or self._zip.getinfo(f.MANIFEST).file_size > f.MANIFEST_BYTES
        ):
            raise ArchiveError("this is no archive of this software: it has no manifest; nothing was stored")
        return b"".join(self._chunks(f.MANIFEST))

    def _check_names(self) -> None:
        """Only names that archives have are let in, so that none can point anywhere."""
        known = {f.MANIFEST, *f.files_of(f.ArchiveKind.ACCESS)}
        names = [one.filename for one in self._zip.infolist()]
        if len(names) > MOST_FILES or len(set(names)) != len(names) or not known.issuperset(names):
            raise ArchiveError("the archive has files that no archive has; nothing was stored")
        packed, unpacked = (
            sum(one.compress_size for one in self._zip.infolist()),
            sum(one.file_size for one in self._zip.infolist()),
        )
        if unpacked > self._most_bytes or (unpacked > RATIO_FROM and unpacked > MOST_RATIO * packed):
            raise ArchiveError("the archive unpacks to more than an archive may; nothing was stored")

    def _check_files(self) -> None:
        listed = {*self.manifest.files, f.MANIFEST}
        if listed != set(self._zip.namelist()) or set(self.manifest.files) != set(
            f.files_of(self.manifest.kind)
        ):
            raise ArchiveError("the archive's files are not those of its manifest; nothing was stored")

    def _check_file(self, name: str) -> None:
        wanted = self.manifest.files[name]
        if self._zip.getinfo(name).file_size != wanted.bytes:
            raise ArchiveError(ALTERED.format(name))
        reading = Entry(None)
        for chunk in self._chunks(name):
            reading.write((chunk,))
        if reading.facts != wanted:
            raise ArchiveError(ALTERED.format(name))


def verify_archive(path: Path, public_key: bytes | None = None) -> ArchiveCheck:
    """Check an archive without any store: hashes, signature, layout. `public_key` is 32 bytes.

    Raises:
        ArchiveError: it is none, or it was altered.
    """
    with ArchiveReader(path) as reader:
        return reader.check(public_key)


def _check_end(stream: IO[bytes]) -> None:
    """The list of a zip's files is read whole: one that is long enough to hurt is refused before."""
    stream.seek(0, os.SEEK_END)
    size = stream.tell()
    stream.seek(max(0, size - END_BYTES))
    end = stream.read(END_BYTES)
    if len(end) < END_BYTES or not end.startswith(END_MAGIC) or end[20:] != b"\0\0":
        raise ArchiveError(UNREADABLE)
    entries, listed = int.from_bytes(end[10:12], "little"), int.from_bytes(end[12:16], "little")
    if entries > MOST_FILES or listed > DIRECTORY_BYTES:
        raise ArchiveError("the archive has more files than an archive may; nothing was stored")


def _translated(work: Callable[[], T]) -> T:
    try:
        return work()
    except (
        zipfile.BadZipFile,
        zlib.error,
        EOFError,
        OSError,
        NotImplementedError,
        RuntimeError,
        ValueError,
    ) as error:
        if isinstance(error, ArchiveError):
            raise
        raise ArchiveError(UNREADABLE) from error
