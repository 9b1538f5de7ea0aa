"""What the ledger hands out is a contract too: frozen checkpoints, certificates and manifests verify, here and alone."""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

sys.path.insert(0, str(Path(__file__).parents[1] / "golden"))

import frozen

from tiered_memory.audit_export import program
from tiered_memory.crypto.signing import Signer, verifies
from tiered_memory.erasure import signed_bytes, verify_certificate
from tiered_memory.errors import CorruptionError
from tiered_memory.highwater import decode_mark
from tiered_memory.model import Certificate, TierErasure
from tiered_memory.notary import note_holds
from tiered_memory.privacy.audit import Auditor
from tiered_memory.privacy.checkpoint import parse_log, verifier_key
from tiered_memory.privacy.manifest import parse_manifest

ROOT = Path(__file__).parents[2]
STRANGER = Signer(bytes(32))


@pytest.fixture(scope="module")
def verifier() -> ModuleType:
    spec = importlib.util.spec_from_file_location("verify_ledger", ROOT / "scripts" / "verify_ledger.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def certificate_of(fields: dict[str, Any]) -> Certificate:
    read = {
        **fields,
        "tiers": tuple(TierErasure(**one) for one in fields["tiers"]),
        "retained": tuple(fields["retained"]),
        "ledger_path": tuple(fields.get("ledger_path", ())),
    }
    for name in ("requested_at", "finished_at"):
        read[name] = datetime.fromisoformat(read[name])
    return Certificate(**read)


def test_frozen_checkpoints_hold_over_their_leaves() -> None:
    golden = frozen.stored("checkpoint_v1")
    public = frozen.SIGNER.public_key
    log = parse_log(golden["log"].encode())
    auditor = Auditor(log.notes, lambda signed: note_holds(signed, public))
    for leaf in golden["leaves"]:
        auditor.add(leaf.encode())
    found = auditor.verdict()
    assert found.sound
    assert (found.entries, found.covered, found.checkpoints) == (4, 4, 2)
    assert [one.checkpoint.software for one in log.notes if one] == ["0.1.0", "0.1.0"]
    assert verifier_key("tiered-memory/ledger/" + "0f" * 16, public) == golden["verifier_key"]


@pytest.mark.parametrize("version", [1, 2])
def test_a_frozen_certificate_verifies_here_and_alone(version: int, verifier: ModuleType) -> None:
    golden = frozen.stored(f"certificate_v{version}")
    verify_certificate(certificate_of(golden))
    found = verifier.verify_certificate(golden, frozen.SIGNER.public_key)
    assert found["in_ledger"] == (version == 2)
    assert "format" in golden if version == 2 else "format" not in golden


@pytest.mark.parametrize("version", [1, 2])
def test_no_field_of_a_certificate_can_be_changed(version: int, verifier: ModuleType) -> None:
    golden = frozen.stored(f"certificate_v{version}")
    for name, value in golden.items():
        changed = {**golden, name: _other(value)}
        with pytest.raises(verifier.Refused):
            verifier.verify_certificate(changed, frozen.SIGNER.public_key)


def _other(value: Any) -> Any:
    match value:
        case bool():
            return not value
        case int():
            return value + 1
        case list():
            return value[1:] or ["x"]
    return ("1" if value[:1] == "0" else "0") + value[1:]


def test_a_certificate_cannot_be_given_another_ones_proof(verifier: ModuleType) -> None:
    """A proof that holds, signed by the same key, for another leaf, under the first certificate's signature."""
    old, new = frozen.stored("certificate_v1"), frozen.stored("certificate_v2")
    grafted = {**old, **{name: new[name] for name in ("ledger_entry", "ledger_path", "ledger_checkpoint")}}
    with pytest.raises(CorruptionError, match="proof"):
        verify_certificate(certificate_of(grafted))
    with pytest.raises(verifier.Refused, match="added"):
        verifier.verify_certificate(grafted)
    with pytest.raises(CorruptionError, match="altered"):
        verify_certificate(certificate_of({**grafted, "format": 2}))


@pytest.mark.parametrize(
    "wrong",
    [
        {"ledger_leaf": "2"},
        {"ledger_leaf": "-1"},
        {"ledger_leaf": ""},
        {"ledger_entry": frozen.LEAVES[2].decode()},
        {"ledger_path": ()},
        {"ledger_path": ("zz",)},
        {"ledger_checkpoint": ""},
        {"ledger_checkpoint": frozen.checkpoint(1).note()},
    ],
    ids=lambda wrong: "-".join(f"{name}={str(value)[:6]}" for name, value in wrong.items()),
)
def test_a_proof_must_hold_even_under_a_good_signature(wrong: dict[str, Any], verifier: ModuleType) -> None:
    unsigned = replace(frozen.certificate(2), **wrong)
    signed = replace(unsigned, signature=frozen.SIGNER.sign(signed_bytes(unsigned)).hex())
    with pytest.raises(CorruptionError, match="proof"):
        verify_certificate(signed)
    with pytest.raises(verifier.Refused):
        verifier.verify_certificate(frozen._plain(signed))


def test_a_certificate_under_another_key_is_refused_by_whoever_knows_the_key(verifier: ModuleType) -> None:
    unsigned = replace(frozen.certificate(1), public_key=STRANGER.public_key.hex())
    forged = replace(unsigned, signature=STRANGER.sign(signed_bytes(unsigned)).hex())
    verify_certificate(forged)
    plain = frozen._plain(forged)
    assert verifier.verify_certificate(plain)["public_key"] == STRANGER.public_key.hex()
    with pytest.raises(verifier.Refused, match="another key"):
        verifier.verify_certificate(plain, frozen.SIGNER.public_key)


def test_a_frozen_manifest_is_read_and_its_signature_holds() -> None:
    data = frozen.stored("ledger_export_v1")["manifest"].encode()
    parsed = parse_manifest(data)
    assert parsed is not None
    manifest, signature = parsed
    assert manifest.entries == 4
    assert manifest.files["leaves.jsonl"] == ("ab" * 32, 1234)
    assert verifies(frozen.SIGNER.public_key, signature, manifest.signed_bytes())
    assert not verifies(frozen.SIGNER.public_key, signature, manifest.signed_bytes() + b" ")


@pytest.mark.parametrize(
    ("was", "becomes"),
    [
        ('"format":1', '"format":2'),
        ('"entries":4', '"entries": 4'),
        ('"entries":4', '"entries":"x"'),
        ('"entries":4', '"entries":4,"more":1'),
        ("{", "["),
        ("}\n", "}"),
    ],
)
def test_other_manifests_are_none(was: str, becomes: str) -> None:
    text = frozen.stored("ledger_export_v1")["manifest"]
    assert was in text
    assert parse_manifest(text.replace(was, becomes, 1).encode()) is None


def test_a_frozen_mark_counts_the_frozen_checkpoints() -> None:
    golden = frozen.stored("highwater_v2_checkpoints")
    mark = decode_mark(golden["file"].encode(), bytes.fromhex(golden["key"]))
    assert mark.checkpoints == frozen.listed_of(frozen.stored("checkpoint_v1")["log"].encode())
    assert replace(mark, erased=None, checkpoints=None) == frozen.MARK
    before = frozen.stored("highwater_v2")
    assert decode_mark(before["file"].encode(), bytes.fromhex(before["key"])).checkpoints is None


def test_the_program_needs_nothing_of_this_package() -> None:
    source = program().decode()
    assert source == (ROOT / "scripts" / "verify_ledger.py").read_text(encoding="utf-8")
    imported = [
        line.split()[1].split(".")[0] for line in source.splitlines() if line.startswith(("import", "from"))
    ]
    assert set(imported) - set(sys.stdlib_module_names) == {"cryptography"}
