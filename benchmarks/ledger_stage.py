"""What the mutations of the ledger start from: one store with its export, an older export of it, and a fork.

The fork is what somebody with the keys could make: the store as it was, gone on with differently, honestly signed.
"""

from __future__ import annotations

import hashlib
import random
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from benchmarks.store import NOTICE, PURPOSE
from tiered_memory import TieredMemory
from tiered_memory.audit_export import export
from tiered_memory.config import load_settings
from tiered_memory.crypto.signing import Signer
from tiered_memory.notary import sign_checkpoint
from tiered_memory.privacy import manifest as m
from tiered_memory.privacy.checkpoint import (
    Checkpoint,
    SignedCheckpoint,
    encode_entry,
    parse_log,
    verifier_key,
)
from tiered_memory.privacy.merkle import leaf_hash, tree_root

Files = Mapping[str, bytes]
USERS = 12
ROUNDS = 3


@dataclass(frozen=True, slots=True)
class Stage:
    """The stopped store `data`, its key (32 bytes), newest checkpoint, and exports by file name."""

    data: Path
    public_key: bytes
    head: SignedCheckpoint
    whole: Files
    older: Files
    fork: Files


async def build_stage(folder: Path) -> Stage:
    """Fill a store, export it, go on in two ways, and export both."""
    data, twin = folder / "data", folder / "twin"
    for number in range(ROUNDS - 1):
        await _live(data, f"round{number}")
    older = await _exported(data, folder / "older")
    shutil.copytree(data, twin)
    await _live(data, "last")
    await _live(twin, "other")
    whole = await _exported(data, folder / "whole")
    fork = await _exported(twin, folder / "fork")
    notes = parse_log(whole[m.CHECKPOINTS]).notes
    head = notes[-1]
    manifest = m.parse_manifest(whole[m.MANIFEST])
    assert head is not None
    assert manifest is not None
    return Stage(data, bytes.fromhex(manifest[0].public_key), head, whole, older, fork)


def forged(files: Files, key: Signer) -> Files:
    """Return the export of these leaves as a forger with a key of their own would make it."""
    leaves = files[m.LEAVES].split(b"\n")[:-1]
    old = parse_log(files[m.CHECKPOINTS]).notes
    sizes = sorted({min(one.checkpoint.size, len(leaves)) for one in old if one} | {len(leaves)})
    first = next(one.checkpoint for one in old if one)
    hashes = [leaf_hash(leaf) for leaf in leaves]
    heads = [
        Checkpoint(first.incarnation, size, tree_root(hashes[:size]), first.at_us, first.software)
        for size in sizes
    ]
    log = b"".join(encode_entry(sign_checkpoint(head, key)) for head in heads)
    name = verifier_key(first.origin, key.public_key) + "\n"
    made = {**files, m.CHECKPOINTS: log, m.PUBLIC_KEY: name.encode()}
    root = tree_root(hashes).hex()
    return {**made, m.MANIFEST: _manifest(made, len(leaves), root, key)}


def _manifest(files: Files, entries: int, root: str, key: Signer) -> bytes:
    parsed = m.parse_manifest(files[m.MANIFEST])
    assert parsed is not None
    said = parsed[0]
    facts = {
        name: (hashlib.sha256(files[name]).hexdigest(), len(files[name]))
        for name in files
        if name != m.MANIFEST
    }
    made = m.Manifest(
        said.incarnation, said.made_at_us, said.software, entries, root, key.public_key.hex(), facts
    )
    return made.encode(key.sign)


def rehashed(files: Files) -> Files:
    """Return an export whose manifest has the files' present digests, under the signature it had."""
    parsed = m.parse_manifest(files[m.MANIFEST])
    assert parsed is not None
    said, signature = parsed
    leaves = files[m.LEAVES].split(b"\n")[:-1]

    class _Kept(Signer):
        def sign(self, data: bytes) -> bytes:
            del data
            return signature

    stand_in = _Kept(bytes(32))
    stand_in.public_key = bytes.fromhex(said.public_key)
    root = tree_root([leaf_hash(leaf) for leaf in leaves]).hex()
    return {**files, m.MANIFEST: _manifest(files, len(leaves), root, stand_in)}


def draw_signer(draw: random.Random) -> Signer:
    """Return a key that is not the ledger's."""
    return Signer(draw.randbytes(32))


async def _live(data: Path, word: str) -> None:
    """Let users come, say something, take back a consent, and go; each opening ends with a checkpoint."""
    settings = load_settings(data_dir=data, redis_url="local", background=False, ballast_mib=0)
    async with TieredMemory.open(settings) as memory:
        for number in range(USERS):
            user = memory.user(f"{word}{number}")
            await user.consent.grant(PURPOSE, notice=NOTICE)
            told = await user.add(f"{word} remark {number}", importance=0.9)
            if number % 3 == 0:
                await user.delete(told.id)
            if number % 4 == 1:
                await user.consent.withdraw(PURPOSE)
            if number % 4 == 2:
                await user.erase(reason="asked for it")


async def _exported(data: Path, target: Path) -> Files:
    settings = load_settings(data_dir=data, redis_url="local", background=False, ballast_mib=0)
    async with TieredMemory.open(settings) as memory:
        core = memory._parts().core  # noqa: SLF001 - the ledger has no name in the public face
        await export(core.notary, core.clock, target)
    return _read(target)


def _read(folder: Path) -> Files:
    return {path.name: path.read_bytes() for path in folder.iterdir()}
