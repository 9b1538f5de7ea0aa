"""A Vault for tests: it speaks /v1/transit/encrypt|decrypt/<key> with AES-GCM inside, to whoever brings the token."""

from __future__ import annotations

import base64
import json
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, ClassVar

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

TOKEN = "s.token"


class Transit(BaseHTTPRequestHandler):
    """Speaks /v1/transit/encrypt|decrypt/<key> with AES-GCM inside, to whoever brings the token."""

    ciphers: ClassVar = {"memory": AESGCM(bytes(range(32)))}

    def do_POST(self) -> None:
        self._answer()

    def do_PUT(self) -> None:
        self._answer()

    def log_message(self, *_: Any) -> None:
        """Say nothing."""

    def _answer(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if self.headers.get("X-Vault-Token") != TOKEN:
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


@contextmanager
def running() -> Iterator[str]:
    """Give the address of a server."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Transit)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
