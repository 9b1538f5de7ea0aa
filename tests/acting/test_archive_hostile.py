"""An archive may come from anybody: what is forged, bent or blown up is refused whole, and nothing of it is stored."""

from __future__ import annotations

import json
import os
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from archive_forge import forged, packed, rewritten
from archive_tools import lines
from support import consenting, contents, parts_of

from tiered_memory import Interaction, TieredMemory, User, archive_files
from tiered_memory.archive_files import ArchiveReader, verify_archive
from tiered_memory.errors import ArchiveError

pytestmark = pytest.mark.anyio


async def facts(user: User, count: int = 3) -> None:
    await user.add_many([Interaction(content=f"fact number {n}", importance=0.9) for n in range(count)])


@pytest.mark.parametrize(
    "change",
    [
        {"content": 5},
        {"content": ""},
        {"role": "boss"},
        {"occurred_at": "yesterday"},
        {"occurred_at": "2025-01-01T00:00:00"},
        {"ingested_at": 7},
        {"importance": 2},
        {"trust": "NaN"},
        {"id": "../../etc/passwd"},
        {"metadata": {"a": {"b": {"c": {"d": {"e": {"f": 1}}}}}}},
        {"supersedes": "x" * 32},
        {"repeats": [{"id": "0" * 32}]},
        {"provenance": {"source": "moon"}},
        {"purpose": "a\nb"},
    ],
)
async def test_a_wrong_line_keeps_all_from_being_stored(
    memory: TieredMemory, alice: User, tmp_path: Path, change: dict[str, Any]
) -> None:
    await facts(alice)
    made = await alice.export(tmp_path)
    await alice.erase(reason="request")
    alice = await consenting(memory)
    bad = lines(made.path, "memories.jsonl")
    bad[-1] |= change
    target = rewritten(parts_of(memory).core.notary, made.path, tmp_path / "bad.zip", bad)
    with pytest.raises(ArchiveError, match=r"line 3 .*nothing was stored"):
        await alice.import_archive(target)
    assert await contents(alice) == []


@pytest.mark.parametrize(
    "raw", [b"[]\n", b"{\n", b"\xff\n", b'"x"\n', b"{}\n", b"[" * 100_000 + b"\n", b"{}"]
)
async def test_lines_that_are_no_objects(
    memory: TieredMemory, alice: User, tmp_path: Path, raw: bytes
) -> None:
    made = await alice.export(tmp_path)
    target = forged(parts_of(memory).core.notary, made.path, tmp_path / "bad.zip", {"memories.jsonl": raw})
    with pytest.raises(ArchiveError, match="nothing was stored"):
        await alice.import_archive(target)


async def test_a_memory_twice_in_an_archive(memory: TieredMemory, alice: User, tmp_path: Path) -> None:
    await facts(alice, 1)
    made = await alice.export(tmp_path)
    twice = lines(made.path, "memories.jsonl") * 2
    target = rewritten(parts_of(memory).core.notary, made.path, tmp_path / "bad.zip", twice)
    with pytest.raises(ArchiveError, match="twice"):
        await alice.import_archive(target)


@pytest.fixture
async def made(alice: User, tmp_path: Path) -> Path:
    await facts(alice)
    return (await alice.export(tmp_path / "made.zip")).path


def files_of(path: Path) -> dict[str, bytes]:
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def without(name: str) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: {key: data for key, data in files.items() if key != name}


def having(name: str, data: bytes) -> Callable[[dict[str, bytes]], dict[str, bytes]]:
    return lambda files: files | {name: data}


@pytest.mark.parametrize(
    "change",
    [
        without("manifest.json"),
        without("consents.jsonl"),
        without("schema/memories.schema.json"),
        having("../../evil.sh", b"x"),
        having("/etc/passwd", b"x"),
        having("evil.sh", b"x"),
        having("README.html", b"<script>"),
        having("memories.jsonl", b""),
        having("manifest.json", b"{}"),
        having("manifest.json", b"[" * 100_000),
        having("manifest.json", b"\xff"),
        having("manifest.json", b" " * ((1 << 20) + 1)),
    ],
)
async def test_another_set_of_files(
    alice: User, made: Path, tmp_path: Path, change: Callable[[dict[str, bytes]], dict[str, bytes]]
) -> None:
    target = packed(tmp_path / "bad.zip", change(files_of(made)))
    with pytest.raises(ArchiveError, match="nothing was stored"):
        await alice.import_archive(target)
    with pytest.raises(ArchiveError):
        verify_archive(target)
    assert not list(tmp_path.rglob("evil*"))


async def test_every_file_is_covered_by_the_signature(made: Path, tmp_path: Path) -> None:
    files = files_of(made)
    for name in files:
        changed = packed(tmp_path / "bad.zip", files | {name: files[name][:-1] + b"!"})
        with pytest.raises(ArchiveError):
            verify_archive(changed)
    assert verify_archive(packed(tmp_path / "good.zip", files)).manifest.id


@pytest.mark.parametrize(
    "field", ["id", "kind", "made_at_us", "salt", "subject_commitment", "left_out", "damaged"]
)
async def test_every_field_of_the_manifest_is_signed(made: Path, tmp_path: Path, field: str) -> None:
    files = files_of(made)
    other: dict[str, Any] = {
        "id": "00" * 16, "kind": "portability", "made_at_us": 1, "salt": "00", "subject_commitment": "00",
        "left_out": {"x": 1}, "damaged": ["x"],
    }  # fmt: skip
    manifest = json.loads(files["manifest.json"]) | {field: other[field]}
    target = packed(tmp_path / "bad.zip", files | {"manifest.json": json.dumps(manifest).encode()})
    with pytest.raises(ArchiveError):
        verify_archive(target)


@pytest.mark.parametrize("where", [0.05, 0.5, 0.95])
async def test_flipped_bits_and_cut_tails(made: Path, tmp_path: Path, where: float) -> None:
    data = made.read_bytes()
    at = int(len(data) * where)
    for bad in (
        data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :],
        data[:at],
        b"",
        b"PK",
        os.urandom(4096),
    ):
        (tmp_path / "bad.zip").write_bytes(bad)
        try:
            verify_archive(tmp_path / "bad.zip")
        except ArchiveError:
            continue
        assert files_of(tmp_path / "bad.zip") == files_of(made)


async def test_a_bomb_is_refused_before_it_is_unpacked(
    memory: TieredMemory, made: Path, tmp_path: Path
) -> None:
    blank = {"memories.jsonl": b" " * (80 << 20) + b"\n"}
    target = forged(parts_of(memory).core.notary, made, tmp_path / "bomb.zip", blank)
    assert target.stat().st_size < 1 << 20
    with pytest.raises(ArchiveError, match="unpacks to more"):
        ArchiveReader(target)


async def test_a_bound_on_everything_together(made: Path) -> None:
    with pytest.raises(ArchiveError, match="unpacks to more"):
        ArchiveReader(made, most_bytes=1000)


async def test_a_size_that_lies(made: Path, tmp_path: Path) -> None:
    """The list of files says 10 bytes where there are more."""
    data = bytearray(made.read_bytes())
    at = data.rfind(b"PK\x01\x02", 0, data.rfind(b"memories.jsonl"))
    data[at + 24 : at + 28] = struct.pack("<I", 10)
    (tmp_path / "bad.zip").write_bytes(data)
    with pytest.raises(ArchiveError):
        verify_archive(tmp_path / "bad.zip")


async def test_a_list_of_files_without_end(tmp_path: Path) -> None:
    with zipfile.ZipFile(tmp_path / "many.zip", "w") as archive:
        for number in range(2000):
            archive.writestr(f"{number}", b"")
    with pytest.raises(ArchiveError, match="more files"):
        ArchiveReader(tmp_path / "many.zip")


async def test_the_same_name_twice(made: Path, tmp_path: Path) -> None:
    target = packed(tmp_path / "bad.zip", files_of(made))
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(target, "a") as archive:
        archive.writestr("memories.jsonl", b"")
    with pytest.raises(ArchiveError, match="files that no archive has"):
        ArchiveReader(target)


async def test_a_line_without_end(
    memory: TieredMemory, alice: User, made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(archive_files.f, "LINE_BYTES", 1000)
    long = {"memories.jsonl": b"x" * 5000 + b"\n"}
    target = forged(parts_of(memory).core.notary, made, tmp_path / "bad.zip", long)
    with pytest.raises(ArchiveError, match="1000 bytes"):
        await alice.import_archive(target)


@pytest.mark.parametrize("raw", [b"{}", b"[]", b'{"rules": 5}', b'{"rules": {"secret": {}}}', b"\xff"])
async def test_retention_that_cannot_be_read(
    memory: TieredMemory, alice: User, made: Path, tmp_path: Path, raw: bytes
) -> None:
    target = forged(parts_of(memory).core.notary, made, tmp_path / "bad.zip", {"retention.json": raw + b"\n"})
    with pytest.raises(ArchiveError, match="retention"):
        await alice.import_archive(target)


async def test_no_file_and_a_directory(alice: User, tmp_path: Path) -> None:
    for path in (tmp_path / "none.zip", tmp_path):
        with pytest.raises(ArchiveError, match="cannot be read"):
            await alice.import_archive(path)
