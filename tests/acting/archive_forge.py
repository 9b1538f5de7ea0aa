"""Makes archives that a store signed, of contents it never wrote: what a signature does not vouch for is checked."""

from __future__ import annotations

import hashlib
import json
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from tiered_memory.formats.archive import MANIFEST, FileFacts, parse_manifest
from tiered_memory.notary import Notary


def forged(notary: Notary, source: Path, target: Path, changes: Mapping[str, bytes]) -> Path:
    """Write an archive with other files, correctly signed."""
    with zipfile.ZipFile(source) as archive:
        files = {name: archive.read(name) for name in archive.namelist()} | dict(changes)
    manifest, _ = parse_manifest(files.pop(MANIFEST))
    facts = {
        name: FileFacts(hashlib.sha256(data).hexdigest(), len(data), data.count(b"\n"))
        for name, data in files.items()
    }
    files[MANIFEST] = replace(manifest, files=facts).encode(notary.sign)
    return packed(target, files)


def rewritten(notary: Notary, source: Path, target: Path, memories: list[dict[str, Any]]) -> Path:
    """Write an archive with other memories, correctly signed."""
    data = b"".join(json.dumps(one).encode() + b"\n" for one in memories)
    return forged(notary, source, target, {"memories.jsonl": data})


def packed(target: Path, files: Mapping[str, bytes]) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in files.items():
            archive.writestr(name, data)
    return target
