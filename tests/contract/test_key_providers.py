"""The services that wrap the root key: AWS KMS as `moto` plays it, Vault's transit as a small server here speaks it."""

from __future__ import annotations

import base64
import json
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
import vault_server

from tiered_memory.clock import SeededEntropy
from tiered_memory.crypto.kms import WrappedRoot
from tiered_memory.crypto.providers import AwsKms, RootKeyProvider, VaultTransit, provider_of
from tiered_memory.errors import ConfigurationError, RootKeyError

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")
pytest.importorskip("hvac")

ROOT = bytes(range(32))
STORE, OTHER = "0a" * 16, "0b" * 16
REGION = "eu-central-1"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NO_PROXY", "*")


# --- AWS KMS -------------------------------------------------------------------------------------------------


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Give the ARN of a key."""
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"):
        monkeypatch.setenv(name, "testing")
    with moto.mock_aws():
        yield boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]


def test_kms_gives_back_the_root_key_to_its_store_alone(aws: str) -> None:
    provider = AwsKms(aws)
    wrapped = provider.wrap(ROOT, STORE)
    assert ROOT not in wrapped
    assert provider.unwrap(wrapped, STORE) == ROOT
    with pytest.raises(RootKeyError, match=r"refused to unwrap .*InvalidCiphertext"):
        provider.unwrap(wrapped, OTHER)


def test_what_kms_did_not_wrap_is_said_plainly(aws: str) -> None:
    other = boto3.client("kms", region_name=REGION).create_key()["KeyMetadata"]["Arn"]
    wrapped = AwsKms(aws).wrap(ROOT, STORE)
    with pytest.raises(RootKeyError, match=r"refused to unwrap .*its state"):
        AwsKms(other).unwrap(wrapped, STORE)
    with pytest.raises(RootKeyError, match="InvalidCiphertext"):
        AwsKms(aws).unwrap(wrapped[:-1] + bytes([wrapped[-1] ^ 1]), STORE)


def test_an_unknown_kms_key(aws: str) -> None:
    with pytest.raises(RootKeyError, match="NotFound"):
        AwsKms(aws[:-4] + "0000").wrap(ROOT, STORE)


def test_kms_without_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    with pytest.raises(RootKeyError, match=r"could not be asked .*NoCredentials"):
        AwsKms(f"arn:aws:kms:{REGION}:1:key/k").wrap(ROOT, STORE)


# --- Vault ---------------------------------------------------------------------------------------------------


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[VaultTransit]:
    with vault_server.running() as address:
        monkeypatch.setenv("VAULT_ADDR", address)
        monkeypatch.setenv("VAULT_TOKEN", vault_server.TOKEN)
        yield VaultTransit("transit", "memory")


def test_vault_gives_back_the_root_key_to_its_store_alone(vault: VaultTransit) -> None:
    wrapped = vault.wrap(ROOT, STORE)
    assert wrapped.startswith(b"vault:v1:")
    assert base64.b64encode(ROOT) not in wrapped
    assert vault.unwrap(wrapped, STORE) == ROOT
    with pytest.raises(RootKeyError, match="another store's"):
        vault.unwrap(wrapped, OTHER)


def test_vault_without_the_token(vault: VaultTransit, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VAULT_TOKEN", "s.other")
    with pytest.raises(RootKeyError, match=r"refused to wrap .*Forbidden") as caught:
        vault.wrap(ROOT, STORE)
    assert "s.other" not in str(caught.value)


def test_vault_with_an_altered_ciphertext_or_another_key(vault: VaultTransit) -> None:
    wrapped = vault.wrap(ROOT, STORE)
    with pytest.raises(RootKeyError, match="InvalidRequest"):
        vault.unwrap(wrapped[:-8] + b"AAAAAAA=", STORE)
    with pytest.raises(RootKeyError, match="InvalidPath"):
        VaultTransit("transit", "absent").unwrap(wrapped, STORE)
    with pytest.raises(RootKeyError, match="InvalidPath"):
        VaultTransit("elsewhere", "memory").unwrap(wrapped, STORE)


def test_a_vault_that_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
    monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{port}")
    monkeypatch.setenv("VAULT_TOKEN", "s.token")
    with pytest.raises(RootKeyError, match=r"could not be asked .*ConnectionError"):
        VaultTransit("transit", "memory").wrap(ROOT, STORE)


# --- both ----------------------------------------------------------------------------------------------------


@pytest.fixture(params=["aws", "vault"])
def provider(request: pytest.FixtureRequest) -> RootKeyProvider:
    if request.param == "aws":
        return AwsKms(request.getfixturevalue("aws"))
    found: VaultTransit = request.getfixturevalue("vault")
    return found


def test_a_wrapped_root_lies_in_a_file_and_comes_back(provider: RootKeyProvider, tmp_path: Path) -> None:
    source = WrappedRoot(tmp_path / "keys" / "root.wrapped", "some", provider)
    assert source.load() is None
    source.keep(ROOT, SeededEntropy(1))
    data = source.path.read_bytes()
    assert ROOT not in data
    assert ROOT.hex().encode() not in data
    assert source.load() == ROOT
    fields = json.loads(data)
    source.path.write_text(json.dumps({**fields, "context": OTHER}))
    with pytest.raises(RootKeyError):
        source.load()
    for damaged in (b"", b"{}", data[:-3], json.dumps({**fields, "format": 2}).encode()):
        source.path.write_bytes(damaged)
        with pytest.raises(RootKeyError, match="damaged"):
            source.load()
    source.remove()
    assert source.load() is None


@pytest.mark.parametrize(
    "name", ["", "aws", "aws-kms:", "vault:", "vault:key", "vault:/key", "vault:mount/", "gcp:k"]
)
def test_names_that_name_no_provider(name: str) -> None:
    with pytest.raises(ConfigurationError, match="root_key_provider"):
        provider_of(name)


def test_names_that_name_a_provider() -> None:
    assert isinstance(provider_of("aws-kms:arn:aws:kms:eu-central-1:1:key/x"), AwsKms)
    assert isinstance(provider_of("aws-kms:alias/memory"), AwsKms)
    assert isinstance(provider_of("vault:a/b/key"), VaultTransit)
