"""The guards' folder, and what wrapping again keeps and changes, over all kinds of keys."""

from __future__ import annotations

import stat
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tiered_memory.clock import SeededEntropy
from tiered_memory.crypto.envelope import Place, SealContext
from tiered_memory.crypto.guards import GuardFolder
from tiered_memory.crypto.keyring import KeyOwner, Keyring, guard_of
from tiered_memory.errors import CorruptionError, KeyUnavailableError

ID, SECRET = b"i" * 16, b"s" * 32
TENANT, SUBJECT = b"t" * 32, b"u" * 32
CONTEXT = SealContext(TENANT, SUBJECT, Place.MEMORY, "0a" * 16, "p")


class Shelf:
    """Guards in RAM."""

    def __init__(self) -> None:
        self.kept: dict[bytes, bytes] = {}

    def get(self, guard_id: bytes) -> bytes | None:
        return self.kept.get(guard_id)

    def put(self, guard_id: bytes, secret: bytes) -> None:
        self.kept[guard_id] = secret


def test_a_guard_comes_back_until_it_is_destroyed(tmp_path: Path) -> None:
    folder = GuardFolder(tmp_path / "keys" / "epochs")
    assert folder.get(ID) is None
    assert folder.every() == {}
    folder.put(ID, SECRET)
    assert (folder.get(ID), folder.every()) == (SECRET, {ID: SECRET})
    (path,) = folder.folder.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o400
    assert stat.S_IMODE(folder.folder.stat().st_mode) == 0o700
    folder.destroy(ID)
    assert (folder.get(ID), list(folder.folder.iterdir())) == (None, [])
    folder.destroy(ID)


def test_a_guard_is_written_over_before_its_name_goes(tmp_path: Path) -> None:
    folder = GuardFolder(tmp_path)
    folder.put(ID, SECRET)
    (path,) = tmp_path.iterdir()
    other = tmp_path / "the same file"
    other.hardlink_to(path)
    folder.destroy(ID)
    assert set(other.read_bytes()) == {0}


@pytest.mark.parametrize("found", [b"", b"zz", b"ab" * 31, b"ab" * 33, "é".encode()])
def test_a_guard_that_is_not_whole_is_none(tmp_path: Path, found: bytes) -> None:
    folder = GuardFolder(tmp_path)
    folder.put(ID, SECRET)
    (path,) = tmp_path.iterdir()
    path.chmod(0o600)
    path.write_bytes(found)
    assert folder.get(ID) is None
    assert folder.every() == {}


def test_strange_files_beside_the_guards_are_left_alone(tmp_path: Path) -> None:
    folder = GuardFolder(tmp_path)
    folder.put(ID, SECRET)
    (tmp_path / "notes.txt").write_text("kept")
    (tmp_path / "1.guard").write_text("no base32")
    assert folder.every() == {ID: SECRET}


@given(ids=st.sets(st.binary(min_size=16, max_size=16), max_size=4), gone=st.data())
def test_destroying_one_leaves_the_others(
    tmp_path_factory: pytest.TempPathFactory, ids: set[bytes], gone: st.DataObject
) -> None:
    folder = GuardFolder(tmp_path_factory.mktemp("guards"))
    kept = {one: bytes([number]) * 32 for number, one in enumerate(ids)}
    for one, secret in kept.items():
        folder.put(one, secret)
    if kept:
        del kept[one := gone.draw(st.sampled_from(sorted(kept)))]
        folder.destroy(one)
    assert folder.every() == kept


@given(seed=st.integers(0, 1000), purpose=st.text(max_size=20), turns=st.integers(1, 5))
def test_wrapping_again_keeps_the_key_and_what_it_sealed(seed: int, purpose: str, turns: int) -> None:
    shelf = Shelf()
    keyring = Keyring(bytes(32), SeededEntropy(seed), shelf)
    epoch, _ = keyring.new_epoch(TENANT, 1, 0)
    key, record = keyring.new_data_key(epoch, TENANT, KeyOwner(SUBJECT, purpose, 2), 5)
    sealed = key.seal(b"content", CONTEXT, keyring.nonce())
    for number in range(2, 2 + turns):
        old, (epoch, kept) = epoch, keyring.new_epoch(TENANT, number, 0)
        record = keyring.rewrap(old, epoch, TENANT, record)
        assert (record.epoch, record.format, record.key_id) == (number, 2, key.key_id)
        with pytest.raises(CorruptionError):
            keyring.open_data_key(old, TENANT, record)
        again = keyring.open_data_key(keyring.open_epoch(kept), TENANT, record)
        assert (again.secret, again.epoch) == (key.secret, 1)
        assert again.open(sealed, CONTEXT) == b"content"


@given(
    seed=st.integers(0, 1000),
    fields=st.sampled_from(["subject", "purpose", "key_id", "generation", "format"]),
)
def test_a_record_put_in_anothers_place_does_not_open(seed: int, fields: str) -> None:
    keyring = Keyring(bytes(32), SeededEntropy(seed), Shelf())
    old, (new, _) = keyring.new_epoch(TENANT, 1, 0)[0], keyring.new_epoch(TENANT, 2, 0)
    _, record = keyring.new_data_key(old, TENANT, KeyOwner(SUBJECT, "p", 2), 5)
    record = keyring.rewrap(old, new, TENANT, record)
    others = {"subject": b"x" * 32, "purpose": "q", "key_id": b"y" * 16, "generation": 3, "format": 1}
    with pytest.raises(CorruptionError):
        keyring.open_data_key(new, TENANT, replace(record, **{fields: others[fields]}))


@given(seed=st.integers(0, 1000))
def test_an_epoch_needs_the_root_and_its_own_guard(seed: int) -> None:
    shelf = Shelf()
    keyring = Keyring(bytes(32), SeededEntropy(seed), shelf)
    _, first = keyring.new_epoch(TENANT, 1, 0)
    _, second = keyring.new_epoch(TENANT, 2, 0)
    assert keyring.open_epoch(first).epoch == 1
    with pytest.raises(CorruptionError):
        Keyring(b"r" * 32, SeededEntropy(0), shelf).open_epoch(first)
    names = guard_of(first), guard_of(second)
    assert None not in names
    shelf.kept[names[0]] = shelf.kept[names[1]]  # type: ignore[index]
    with pytest.raises(CorruptionError):
        keyring.open_epoch(first)
    shelf.kept.clear()
    with pytest.raises(KeyUnavailableError, match="has ended"):
        keyring.open_epoch(second)
