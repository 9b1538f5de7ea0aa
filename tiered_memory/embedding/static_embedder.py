"""The default embedder: a table of token vectors, summed. No network, no accelerator, no transformer.

The table is a model2vec distillation of all-MiniLM-L6-v2 (see `model/NOTICE`): per token 256 int8 codes and one
scale. A static vector gives its words away to whoever holds it: treat vectors as content.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
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

_MODEL_DIRECTORY = Path(__file__).parent / "model"
_INLINE_TEXTS = 64
_INLINE_CHARACTERS = 16_384  # about 5 ms of tokenizing
_PORTION_CHARACTERS = 262_144  # keeps the tokenizer's own records of a batch to some tens of megabytes
_LONG_TEXT_TOKENS = 1024
_WORD = re.compile(r"[a-z0-9]+|[^a-z0-9\s]")
_CONTROL = re.compile(r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f]")


@dataclass(frozen=True, slots=True)
class _TokenTable:
    """A tokenizer and its tokens' vectors, `scales[t] * codes[t]`; the unknown token's scale is zero."""

    tokenizer: Tokenizer
    codes: NDArray[np.int8]
    scales: NDArray[np.float32]
    whole: Mapping[str, int]

    def vectors_of(self, texts: Sequence[str]) -> Vectors:
        """Return the sums of the token vectors of each text, shape `(len(texts), dimensions)`."""
        vectors = np.zeros((len(texts), self.codes.shape[1]), dtype=np.float32)
        for row, ids in enumerate(self._token_ids(texts)):
            vectors[row] = self._sum_of(ids)
        return vectors

    def _token_ids(self, texts: Sequence[str]) -> Iterator[list[int]]:
        if _is_small(texts):
            for text in texts:
                yield self._ids_of(text)
            return
        for portion in _portions(texts):  # in a batch the tokenizer lets other threads run
            for encoding in self.tokenizer.encode_batch_fast(portion, add_special_tokens=False):
                yield encoding.ids

    def _ids_of(self, text: str) -> list[int]:
        """ASCII text falls into words and signs that are tokenized each for itself: most are tokens themselves."""
        if not text.isascii() or _CONTROL.search(text):
            return self._encoded(text)
        ids: list[int] = []
        for word in _WORD.findall(text.lower()):
            token = self.whole.get(word)
            ids += self._encoded(word) if token is None else (token,)
        return ids

    def _encoded(self, text: str) -> list[int]:
        ids: list[int] = self.tokenizer.encode(_encodable(text), add_special_tokens=False).ids
        return ids

    def _sum_of(self, ids: list[int]) -> Vectors:
        tokens = np.array(ids, dtype=np.intp)
        weights = self.scales[tokens]
        if len(ids) > _LONG_TEXT_TOKENS:  # each distinct token once: bounded work and memory for any length
            counts = np.bincount(tokens)
            tokens = np.flatnonzero(counts)
            weights = counts[tokens].astype(np.float32) * self.scales[tokens]
        # einsum, not `@`: the same bits whatever BLAS and thread count the process has
        total: Vectors = np.einsum("t,td->d", weights, self.codes[tokens].astype(np.float32))
        return total


class StaticEmbedder:
    """Embeds texts by summing the vectors of their tokens; the same table serves queries and documents.

    A vector is the **unnormalised sum** of frequency-weighted token vectors. So the sum of two texts' vectors is
    the vector of both texts one after the other, direction is the meaning, and length grows with the number of
    telling words (one word of middling frequency: about 6). Normalise to compare.

    A text without known tokens has the zero vector: empty, blank, most emoji, one unbroken word of more than
    100 characters. Texts are never truncated: time grows linearly, at about a quarter of a microsecond per
    character of English and one per CJK character. Case and accents do not matter; NUL is ignored.

    Construction reads a small file; the table (8 MB, mapped read-only) is loaded at first use, once, and
    verified against the recorded SHA-256. Loading sets `TOKENIZERS_PARALLELISM=false` for the process unless the
    variable is set already: the tokenizer's thread pool buys a sixth of speed for a quarter more processor time,
    and with "true" a process forked after a large batch hangs. Instances may be shared by threads.

    Args:
        model_directory: Directory with `config.json`, `codes.npy`, `scales.npy` and `tokenizer.json`, as written
            by `scripts/distill_embedder.py`; the model shipped with the package if not given.

    Raises:
        ConfigurationError: The directory holds no such model, or (at first use) a file's content is not the one
            its configuration records.
    """

    def __init__(self, model_directory: Path = _MODEL_DIRECTORY) -> None:
        self._directory = model_directory
        config = _read_config(model_directory)
        self._digests: dict[str, str] = config["sha256"]
        self._name = f"{config['name']}-{_fingerprint(self._digests)}"
        self._dimensions: int = config["dimensions"]
        self._table: _TokenTable | None = None
        self._loading = Lock()

    @property
    def name(self) -> str:
        """The model's name and eight hexadecimal digits of its files' content: other files, another identity."""
        return self._name

    @property
    def dimensions(self) -> int:
        """Number of components of each vector."""
        return self._dimensions

    def vocabulary(self) -> Collection[str]:
        """Return the tokens of the model's vocabulary, word pieces among them."""
        return (self._table or self._loaded()).whole.keys()

    async def embed(self, texts: Sequence[str], kind: TextKind = "document") -> Vectors:
        """Return `embed_now(texts)`, from a worker thread if it would hold the event loop for more than ~5 ms."""
        del kind  # the table knows no roles
        if self._table is not None and _is_small(texts):
            return self.embed_now(texts)
        return await anyio.to_thread.run_sync(self.embed_now, texts)

    def embed_now(self, texts: Sequence[str]) -> Vectors:
        """Return float32 vectors of shape `(len(texts), dimensions)`, all finite.

        A text's vector does not depend on the texts beside it.

        Raises:
            InvalidInputError: `texts` is a single string.
            ConfigurationError: The model's files are missing or damaged.
        """
        if isinstance(texts, str):
            raise InvalidInputError("texts must be a sequence of strings, not one string")
        return (self._table or self._loaded()).vectors_of(texts)

    def _loaded(self) -> _TokenTable:
        with self._loading:
            if self._table is None:
                self._table = _load(self._directory, self._digests)
            return self._table


def _is_small(texts: Sequence[str]) -> bool:
    return len(texts) <= _INLINE_TEXTS and sum(map(len, texts)) <= _INLINE_CHARACTERS


def _encodable(text: str) -> str:
    """Drop lone surrogates, which have no UTF-8 form and which the tokenizer refuses."""
    return text if text.isascii() else text.encode("utf-8", "ignore").decode("utf-8")


def _portions(texts: Iterable[str]) -> Iterator[list[str]]:
    portion: list[str] = []
    size = 0
    for text in texts:
        portion.append(_encodable(text))
        size += len(text) + 1
        if size >= _PORTION_CHARACTERS:
            yield portion
            portion, size = [], 0
    if portion:
        yield portion


def _read_config(directory: Path) -> dict[str, Any]:
    path = directory / "config.json"
    try:
        config: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"no readable embedder configuration at {path}") from error
    missing = {"name", "dimensions", "sha256"} - config.keys()
    if missing:
        raise ConfigurationError(f"{path} lacks {', '.join(sorted(missing))}")
    return config


def _fingerprint(digests: dict[str, str]) -> str:
    listing = "".join(f"{digests[name]}  {name}\n" for name in sorted(digests))
    return hashlib.sha256(listing.encode()).hexdigest()[:8]


def _load(directory: Path, digests: dict[str, str]) -> _TokenTable:
    from tokenizers import Tokenizer

    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    for name, digest in digests.items():
        _verify(directory / name, digest)
    tokenizer = Tokenizer.from_file(str(directory / "tokenizer.json"))
    return _TokenTable(
        tokenizer=tokenizer,
        whole=tokenizer.get_vocab(),
        codes=_mapped(directory / "codes.npy"),
        scales=np.load(directory / "scales.npy", allow_pickle=False),
    )


def _verify(path: Path, digest: str) -> None:
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise ConfigurationError(f"cannot read the embedder file {path}") from error
    if found != digest:
        raise ConfigurationError(
            f"{path} is not the file its configuration records: reinstall or re-distil it"
        )


def _mapped(path: Path) -> NDArray[np.int8]:
    """Map an array read-only, as a plain ndarray: indexing the memmap class costs microseconds more."""
    return np.asarray(np.load(path, mmap_mode="r", allow_pickle=False))
