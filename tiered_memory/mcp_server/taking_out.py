"""An archive as a tool can hand it over: its files' beginnings as text, or the whole file when it is small."""

from __future__ import annotations

import base64
import tempfile
import zipfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread
from mcp.types import BlobResourceContents, EmbeddedResource

from tiered_memory.archive import Archive
from tiered_memory.errors import InvalidInputError
from tiered_memory.formats.archive import ACCESS_FILES, ArchiveKind
from tiered_memory.mcp_server.answers import Exported, ExportedFile
from tiered_memory.user import User

MOST_ARCHIVE = 4 << 20
"""Bytes of an archive that one answer can carry."""
ELSEWHERE = "`tiered-memory export` and the HTTP API write the whole archive, of any size"
WHOLE = "This is all of it."
REST = f"What did not fit: ask again with a larger max_bytes; {ELSEWHERE}."
TOO_LARGE = f"the archive has more than {MOST_ARCHIVE} bytes, too many for one answer: {ELSEWHERE}"


@asynccontextmanager
async def exported(user: User, kind: ArchiveKind) -> AsyncIterator[Archive]:
    """Give an archive that is gone afterwards: it holds in clear what the store keeps sealed."""
    with tempfile.TemporaryDirectory(prefix="tiered-memory-") as folder:
        yield await user.export(folder, kind=kind)


async def told(archive: Archive, max_bytes: int) -> Exported:
    """Return what an archive holds, with the beginnings of its files in at most `max_bytes` bytes of text."""
    files = await anyio.to_thread.run_sync(_texts, archive, max_bytes)
    complete = all(one.complete for one in files)
    return Exported(
        id=archive.id,
        kind=archive.kind.value,
        made_at=archive.made_at,
        memories=archive.memories,
        bytes=archive.bytes,
        left_out=dict(archive.left_out),
        damaged=len(archive.damaged),
        public_key=archive.public_key,
        files=files,
        complete=complete,
        says=WHOLE if complete else REST,
    )


async def attached(archive: Archive) -> EmbeddedResource:
    """Return the archive itself; raises InvalidInputError when it is too large for one answer."""
    if archive.bytes > MOST_ARCHIVE:
        raise InvalidInputError(TOO_LARGE)
    content = await anyio.Path(archive.path).read_bytes()
    blob = base64.b64encode(content).decode()
    uri = f"archive:{archive.id}.zip"
    return EmbeddedResource(
        type="resource", resource=BlobResourceContents(uri=uri, mime_type="application/zip", blob=blob)
    )


def _texts(archive: Archive, max_bytes: int) -> list[ExportedFile]:
    found, left = [], max_bytes
    with zipfile.ZipFile(Path(archive.path)) as packed:
        for name in (one for one in ACCESS_FILES if one in archive.files):
            facts = archive.files[name]
            with packed.open(name) as stream:
                text = beginning(stream.read(left + 1), left, whole_only=not name.endswith(".jsonl"))
            left -= len(text)
            found.append(
                ExportedFile(
                    name=name,
                    bytes=facts.bytes,
                    lines=facts.lines,
                    sha256=facts.sha256,
                    text=text.decode(),
                    complete=len(text) == facts.bytes,
                )
            )
    return found


def beginning(content: bytes, most: int, *, whole_only: bool) -> bytes:
    """Return at most `most` bytes of whole lines; nothing of a document that is cut (`whole_only`)."""
    if len(content) <= most:
        return content
    return b"" if whole_only else content[: content.rfind(b"\n", 0, most) + 1]
