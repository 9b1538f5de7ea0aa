"""A token issuer for tests: it makes keys, signs tokens, and publishes its JWK set on a free port or in a file."""

from __future__ import annotations

import base64
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from jwt.algorithms import ECAlgorithm, OKPAlgorithm, RSAAlgorithm

ISSUER, AUDIENCE = "https://id.example", "memory"
JWK_OF: Any = {"RS256": RSAAlgorithm, "ES256": ECAlgorithm, "EdDSA": OKPAlgorithm}


@cache
def private_key(algorithm: str, number: int = 0, bits: int = 2048) -> Any:
    """Return a key, the same for the same arguments: RSA keys take their time."""
    match algorithm:
        case "RS256":
            return rsa.generate_private_key(public_exponent=65537, key_size=bits)
        case "ES256":
            return ec.generate_private_key(ec.SECP256R1())
    return ed25519.Ed25519PrivateKey.generate()


def public_jwk(algorithm: str, kid: str | None, **more: Any) -> dict[str, Any]:
    """Return the published half of `private_key(algorithm)`."""
    key = more.pop("key", None) or private_key(algorithm)
    jwk: dict[str, Any] = json.loads(JWK_OF[algorithm].to_jwk(key.public_key()))
    return {**jwk, **({} if kid is None else {"kid": kid}), **more}


def encoded(value: bytes | dict[str, Any]) -> str:
    """Return a token's part: base64url without padding."""
    data = value if isinstance(value, bytes) else json.dumps(value).encode()
    return base64.urlsafe_b64encode(data).decode().rstrip("=")


class Issuer:
    """Signs tokens for `now`, and knows what it publishes."""

    def __init__(self, now: float) -> None:
        self.now = now
        self.keys: list[Any] = [public_jwk(one, one) for one in JWK_OF]
        self.asked = 0
        self.status = 200
        self.body: bytes | None = None

    def claims(self, **changed: Any) -> dict[str, Any]:
        """Return good claims; those that are None are left out."""
        good = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "alice",
            "exp": self.now + 600,
            "iat": self.now,
            "scope": "memories:read",
        }
        return {name: value for name, value in {**good, **changed}.items() if value is not None}

    def token(
        self, algorithm: str = "RS256", *, kid: str | None = "", key: Any = None, **changed: Any
    ) -> str:
        """Return a signed token; its `kid` is its algorithm's name unless another, or None, is given."""
        headers = {} if kid is None else {"kid": kid or algorithm}
        signing = key or private_key(algorithm)
        return jwt.encode(self.claims(**changed), signing, algorithm=algorithm, headers=headers)

    def document(self) -> bytes:
        """Return what is published."""
        return json.dumps({"keys": self.keys}).encode() if self.body is None else self.body

    async def fetch(self) -> bytes:
        """Answer as an issuer does that is asked directly."""
        self.asked += 1
        if self.status != 200:
            raise OSError(self.status)
        return self.document()

    def publish(self, path: Path) -> None:
        """Write the set to a file."""
        path.write_bytes(self.document())


@contextmanager
def serving(issuer: Issuer) -> Iterator[str]:
    """Publish on a free port of this machine; yield the URL."""

    class Answer(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            issuer.asked += 1
            body = issuer.document()
            self.send_response(issuer.status)
            self.send_header("Location", "/elsewhere")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/keys"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
