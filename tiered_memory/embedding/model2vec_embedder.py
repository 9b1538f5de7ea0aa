"""Static models in model2vec's format: `model.safetensors`, `tokenizer.json`, `config.json`.

The tensors are `embeddings` (one row per token; `embedding.weight` as sentence-transformers saves it), and in
quantised models `weights` (one factor per token) and `mapping` (the row of each token). The file format is that of safetensors: the header's length in 8 bytes, little
endian, a header of JSON, the tensors' bytes.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import anyio.to_thread
import numpy as np
from numpy.typing import NDArray

from tiered_memory.embedding.base import TextKind, Vectors
from tiered_memory.errors import ConfigurationError, InvalidInputError

if TYPE_CHECKING:
    from tokenizers import Tokenizer

MODEL, TOKENIZER, CONFIG = "model.safetensors", "tokenizer.json", "config.json"
TABLES = ("embeddings", "embedding.weight")
_HEADER_BYTES = 8
_LONGEST_HEADER = 1 << 20
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I8": "<i1", "I64": "<i8", "I32": "<i4"}
_BATCH_TEXTS = 512


@dataclass(frozen=True, slots=True)
class _Table:
    """A tokenizer, its tokens' rows and weights; `unknown` is the token that stands for what it does not know."""

    tokenizer: Tokenizer
    embeddings: NDArray[Any]
    weights: NDArray[np.float32] | None
    mapping: NDArray[np.intp] | None
    unknown: int | None

    def sums_of(self, texts: Sequence[str]) -> Vectors:
        """Return the sums of the token vectors of each text, shape `(len(texts), dimensions)`."""
        sums = np.zeros((len(texts), self.embeddings.shape[1]), dtype=np.float32)
        for start in range(0, len(texts), _BATCH_TEXTS):
            batch = [_encodable(one) for one in texts[start : start + _BATCH_TEXTS]]
            for row, encoding in enumerate(self.tokenizer.encode_batch_fast(batch, add_special_tokens=False)):
                sums[start + row] = self._sum_of(encoding.ids)
        return sums

    def _sum_of(self, ids: Iterable[int]) -> Vectors:
        tokens = np.array([one for one in ids if one != self.unknown], dtype=np.intp)
        rows = tokens if self.mapping is None else self.mapping[tokens]
        vectors = self.embeddings[rows].astype(np.float32)
        if self.weights is None:
            total: Vectors = vectors.sum(axis=0)
        else:
            total = np.einsum("t,td->d", self.weights[tokens], vectors)
        return total


class Model2VecEmbedder:
    """Embeds texts with a model2vec model, read by numpy and `tokenizers` alone.

    A vector is the unnormalised sum of the token vectors, as with the shipped embedder: its direction is that of
    the mean which model2vec itself returns, its length grows with the text. Texts are never truncated; unknown
    tokens add nothing. The name is the directory's, with eight digits of the SHA-256 of the model's files.

    Construction reads the files once to name them; the table is mapped at first use.

    Raises:
        ConfigurationError: the directory holds no such model, or one of a sort this does not read.
    """

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        header, self._offset = _header_of(directory / MODEL)
        self._tensors = {name: facts for name, facts in header.items() if name != "__metadata__"}
        self._embeddings, self._dimensions = _table_of(self._tensors)
        self._name = f"{directory.resolve().name}-{_fingerprint(directory)}"
        self._table: _Table | None = None
        self._loading = Lock()

    @property
    def name(self) -> str:
        """The directory's name and eight hexadecimal digits of its files' content."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Number of components of each vector."""
        return self._dimensions

    async def embed(self, texts: Sequence[str], kind: TextKind = "document") -> Vectors:
        """Return float32 vectors of shape `(len(texts), dimensions)`, computed in a worker thread."""
        del kind  # the table knows no roles
        if isinstance(texts, str):
            raise InvalidInputError("texts must be a sequence of strings, not one string")
        return await anyio.to_thread.run_sync(self._embedded, texts)

    def _embedded(self, texts: Sequence[str]) -> Vectors:
        with self._loading:
            if self._table is None:
                self._table = self._loaded()
        return self._table.sums_of(texts)

    def _loaded(self) -> _Table:
        from tokenizers import Tokenizer

        os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
        tokenizer = Tokenizer.from_file(str(self._directory / TOKENIZER))
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return _Table(
            tokenizer=tokenizer,
            embeddings=self._mapped(self._embeddings),
            weights=self._mapped("weights").astype(np.float32) if "weights" in self._tensors else None,
            mapping=self._mapped("mapping").astype(np.intp) if "mapping" in self._tensors else None,
            unknown=_unknown_of(tokenizer),
        )

    def _mapped(self, name: str) -> NDArray[Any]:
        facts = self._tensors[name]
        begin, _ = facts["data_offsets"]
        path, kind = self._directory / MODEL, np.dtype(_DTYPES[facts["dtype"]])
        return np.asarray(np.memmap(path, kind, "r", self._offset + begin, tuple(facts["shape"])))


def is_model2vec(directory: Path) -> bool:
    """Tell whether a directory holds a model in model2vec's format."""
    return all((directory / name).is_file() for name in (MODEL, TOKENIZER))


def _header_of(path: Path) -> tuple[dict[str, Any], int]:
    """Return the header of a safetensors file, and where the tensors' bytes begin."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(_HEADER_BYTES), "little")
            if length > _LONGEST_HEADER:
                raise ConfigurationError(f"{path} is no safetensors file")
            header: dict[str, Any] = json.loads(file.read(length))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path} cannot be read as a safetensors file") from error
    return header, _HEADER_BYTES + length


def _table_of(tensors: Mapping[str, Any]) -> tuple[str, int]:
    """Return the name of the table of embeddings, and its columns."""
    unread = {facts["dtype"] for facts in tensors.values()} - _DTYPES.keys()
    name = next((one for one in TABLES if len(tensors.get(one, {}).get("shape", ())) == len("td")), None)
    if name is None or unread:
        raise ConfigurationError(
            "this is no static model: it needs one table of embeddings, in numbers of 16 to 64 bits or int8"
        )
    return name, int(tensors[name]["shape"][1])


def _fingerprint(directory: Path) -> str:
    digest = hashlib.sha256()
    for name in (MODEL, TOKENIZER):
        with (directory / name).open("rb") as file:
            digest.update(hashlib.file_digest(file, "sha256").digest())
    return digest.hexdigest()[:8]


def _unknown_of(tokenizer: Tokenizer) -> int | None:
    """Return the id of the unknown token, which models name by its text or by its number."""
    model = json.loads(tokenizer.to_str())["model"]
    if isinstance(model.get("unk_id"), int):
        return int(model["unk_id"])
    token = model.get("unk_token")
    found: int | None = None if token is None else tokenizer.token_to_id(token)
    return found


def _encodable(text: str) -> str:
    """Drop lone surrogates, which have no UTF-8 form and which the tokenizer refuses."""
    return text if text.isascii() else text.encode("utf-8", "ignore").decode("utf-8")
