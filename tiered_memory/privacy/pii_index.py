"""What is computed from a text must not give away what the text alone may say: values become keyed tokens. Pure."""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Iterable, Mapping
from types import MappingProxyType

from tiered_memory.policy.pii_types import SECRETS, PiiType, Span
from tiered_memory.privacy.pii_masking import normalised

TOKEN_DIGITS = 8


def token(kind: PiiType, value: str, key: bytes) -> str:
    """Return the word that stands for a value: the same for one value however it is written, under one `key`."""
    message = f"index\0{kind.value}\0{normalised(kind, value)}".encode("utf-8", "surrogatepass")
    return hmac.new(key, message, hashlib.sha256).hexdigest()[:TOKEN_DIGITS]


def blinded(
    text: str, spans: Iterable[Span], key: bytes, known: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return `text` with each value of `spans` (sorted, apart) replaced by its type and its token under `key`.

    `known` maps values as they are written to placeholders that stand for them in stored texts; a question is
    given both, so that it finds a masked text as well as one that is kept. A secret leaves its type alone.
    """
    pieces, at = [], 0
    for span in spans:
        value = text[span.start : span.end]
        pieces += [text[at : span.start], _words(span.type, value, key, known.get(value, ""))]
        at = span.end
    return "".join([*pieces, text[at:]])


def _words(kind: PiiType, value: str, key: bytes, placeholder: str) -> str:
    name = kind.value.replace("_", " ").lower()
    return name if kind in SECRETS else f"{placeholder} {name} {token(kind, value, key)}".strip()
