"""Services that wrap the root key, so that it lies nowhere in clear: AWS KMS and HashiCorp Vault's transit engine.

Each needs its extra (`aws`: boto3, `vault`: hvac) and finds its credentials where its own tools do. What fails is a
`RootKeyError` that names the service's error code and never a key.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol

from tiered_memory.errors import ConfigurationError, RootKeyError

SECONDS = 5.0
"""How long a service may take to connect, and to answer."""
ATTEMPTS = 3
CONTEXT_NAME = "tiered_memory:store"
AWS, VAULT = "aws-kms", "vault"


class RootKeyProvider(Protocol):
    """Wraps the root key and unwraps it; `context` (hex) names the store and must be the same both times."""

    def wrap(self, root: bytes, context: str) -> bytes:
        """Return the root key wrapped; raises RootKeyError when the service refuses or does not answer."""
        ...

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """Return the root key; raises RootKeyError when the service refuses or does not answer."""
        ...


class AwsKms:
    """A symmetric key of AWS KMS, by its ARN or alias; the store's id is the encryption context."""

    def __init__(self, key: str) -> None:
        self._key = key

    def wrap(self, root: bytes, context: str) -> bytes:
        """See `RootKeyProvider`."""
        with _aws_errors("wrap"):
            answer = self._client().encrypt(
                KeyId=self._key, Plaintext=root, EncryptionContext={CONTEXT_NAME: context}
            )
        wrapped: bytes = answer["CiphertextBlob"]
        return wrapped

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """See `RootKeyProvider`."""
        with _aws_errors("unwrap"):
            answer = self._client().decrypt(
                KeyId=self._key, CiphertextBlob=wrapped, EncryptionContext={CONTEXT_NAME: context}
            )
        root: bytes = answer["Plaintext"]
        return root

    def _client(self) -> Any:
        try:
            import boto3
            from botocore.config import Config
        except ImportError:
            raise ConfigurationError("AWS KMS needs boto3: pip install 'tiered-memory[aws]'") from None
        _, _, _, region, *_ = [*self._key.split(":"), "", "", ""]
        patience = Config(
            connect_timeout=SECONDS, read_timeout=SECONDS, retries={"total_max_attempts": ATTEMPTS}
        )
        return boto3.client("kms", region_name=region or None, config=patience)


class VaultTransit:
    """A key of Vault's transit engine; address and token as Vault's own tools find them (VAULT_ADDR, VAULT_TOKEN).

    Transit binds no context to a ciphertext unless its key is a derived one, so that the context goes inside.
    """

    def __init__(self, mount: str, key: str) -> None:
        self._mount, self._key = mount, key

    def wrap(self, root: bytes, context: str) -> bytes:
        """See `RootKeyProvider`."""
        inner = base64.b64encode(bytes.fromhex(context) + root).decode("ascii")
        with _vault_errors("wrap"):
            answer = self._transit().encrypt_data(self._key, inner, mount_point=self._mount)
            return str(answer["data"]["ciphertext"]).encode("ascii")

    def unwrap(self, wrapped: bytes, context: str) -> bytes:
        """See `RootKeyProvider`."""
        with _vault_errors("unwrap"):
            answer = self._transit().decrypt_data(self._key, wrapped.decode("ascii"), mount_point=self._mount)
            inner = base64.b64decode(answer["data"]["plaintext"])
        store = bytes.fromhex(context)
        if not inner.startswith(store):
            raise RootKeyError(
                "the wrapped root key is another store's: put this store's keys/root.wrapped back"
            )
        return inner[len(store) :]

    def _transit(self) -> Any:
        try:
            import hvac
        except ImportError:
            raise ConfigurationError("Vault needs hvac: pip install 'tiered-memory[vault]'") from None
        return hvac.Client(timeout=SECONDS).secrets.transit


def provider_of(name: str) -> RootKeyProvider:
    """Return the provider that a setting names: `aws-kms:<key ARN or alias>` or `vault:<mount>/<key>`.

    Raises:
        ConfigurationError: it names none.
    """
    kind, _, rest = name.partition(":")
    make = _KINDS.get(kind)
    if make is None or not rest:
        raise ConfigurationError(
            "root_key_provider must be file, env, aws-kms:<key ARN or alias> or vault:<mount>/<key>"
        )
    return make(rest)


def _vault(rest: str) -> VaultTransit:
    mount, _, key = rest.rpartition("/")
    if not (mount and key):
        raise ConfigurationError(
            "root_key_provider: vault needs a mount and a key, as in vault:transit/memory"
        )
    return VaultTransit(mount, key)


_KINDS: dict[str, Callable[[str], RootKeyProvider]] = {AWS: AwsKms, VAULT: _vault}


@contextmanager
def _aws_errors(what: str) -> Iterator[None]:
    try:
        from botocore.exceptions import BotoCoreError, ClientError
    except ImportError:
        yield  # the client says which extra is missing
        return
    try:
        yield
    except ClientError as error:
        raise RootKeyError(_refused("AWS KMS", what, str(error.response["Error"]["Code"]))) from None
    except BotoCoreError as error:
        raise RootKeyError(_unreached("AWS KMS", what, type(error).__name__)) from None


@contextmanager
def _vault_errors(what: str) -> Iterator[None]:
    try:
        from hvac.exceptions import VaultError
        from requests.exceptions import RequestException
    except ImportError:
        yield
        return
    try:
        yield
    except VaultError as error:
        raise RootKeyError(_refused("Vault", what, type(error).__name__)) from None
    except RequestException as error:
        raise RootKeyError(_unreached("Vault", what, type(error).__name__)) from None
    except (KeyError, TypeError, binascii.Error):
        raise RootKeyError(
            "Vault's answer is none: check VAULT_ADDR and the mount; nothing was changed"
        ) from None


def _refused(service: str, what: str, code: str) -> str:
    return (
        f"{service} refused to {what} the root key ({code}): check the key's name, its state, and that these "
        "credentials may use it; nothing was changed"
    )


def _unreached(service: str, what: str, kind: str) -> str:
    return (
        f"{service} could not be asked to {what} the root key ({kind}): check its address, the credentials and the "
        "network, then open again; nothing was changed"
    )
