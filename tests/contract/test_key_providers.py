"""The services that wrap the root key: AWS KMS as `moto` plays it, Vault's transit as a small server here speaks it."""

from __future__ import annotations

import base64
import json
import os
import socket
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

boto3 = pytest.importorskip("boto3")
moto = pytest.importorskip("moto")
pytest.importorskip("hvac")

from cryptography.exceptions import InvalidTag  # noqa: E402 - after the extras are known to be there
from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # noqa: E402

from tiered_memory.clock import SeededEntropy  # noqa: E402
from tiered_memory.crypto.kms import WrappedRoot  # noqa: E402
from tiered_memory.crypto.providers import AwsKms, RootKeyProvider, VaultTransit, provider_of  # noqa: E402
from tiered_memory.errors import ConfigurationError, RootKeyError  # noqa: E402

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


def test_a_disabled_kms_key_is_said_plainly(aws: str) -> None:
    wrapped = AwsKms(aws).wrap(ROOT, STORE)
    boto3.client("kms", region_name=REGION).disable_key(KeyId=aws)
    with pytest.raises(RootKeyError, match=r"Disabled.*its state"):
        AwsKms(aws).unwrap(wrapped, STORE)


def test_an_unknown_kms_key_and_missing_credentials(aws: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(RootKeyError, match="NotFound"):
        AwsKms(aws[:-4] + "0000").wrap(ROOT, STORE)
    monkeypatch.setattr("tiered_memory.crypto.providers.AwsKms._client", _raising_no_credentials)
    with pytest.raises(RootKeyError, match="NoCredentials"):
        AwsKms(aws).wrap(ROOT, STORE)


def _raising_no_credentials(provider: AwsKms) -> Any:
    from botocore.exceptions import NoCredentialsError

    raise NoCredentialsError


# --- Vault ---------------------------------------------------------------------------------------------------


class _Transit(BaseHTTPRequestHandler):
    """Speaks /v1/transit/encrypt|decrypt/<key> with AES-GCM inside, to whoever brings the token."""

    token = "s.token"
    ciphers = {"memory": AESGCM(bytes(range(32)))}

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, format: str, *args: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("X-Vault-Token") != self.token:
            return self._send(403, {"errors": ["permission denied"]})
        _, version, mount, verb, name = self.path.split("/")
        if (version, mount) != ("v1", "transit") or name not in self.ciphers:
            return self._send(404, {"errors": ["no handler for route"]})
        try:
            data = getattr(self, f"_{verb}")(self.ciphers[name], body)
        except (InvalidTag, ValueError):
            return self._send(400, {"errors": ["cipher: message authentication failed"]})
        return self._send(200, {"data": data})

    def _encrypt(self, cipher: AESGCM, body: dict[str, str]) -> dict[str, str]:
        nonce = os.urandom(12)
        sealed = nonce + cipher.encrypt(nonce, base64.b64decode(body["plaintext"]), None)
        return {"ciphertext": "vault:v1:" + base64.b64encode(sealed).decode()}

    def _decrypt(self, cipher: AESGCM, body: dict[str, str]) -> dict[str, str]:
        sealed = base64.b64decode(body["ciphertext"].removeprefix("vault:v1:"))
        return {"plaintext": base64.b64encode(cipher.decrypt(sealed[:12], sealed[12:], None)).decode()}

    def _send(self, status: int, body: dict[str, Any]) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)


@pytest.fixture
def vault(monkeypatch: pytest.MonkeyPatch) -> Iterator[VaultTransit]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Transit)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    monkeypatch.setenv("VAULT_ADDR", f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setenv("VAULT_TOKEN", _Transit.token)
    yield VaultTransit("transit", "memory")
    server.shutdown()
    thread.join()
    server.server_close()


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
