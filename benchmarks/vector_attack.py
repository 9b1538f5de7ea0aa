"""What each way of keeping vectors reveals to whoever reads the disk: the words an attacker gets back.

The attacker has the shipped model, as everybody has, and no key. A static vector is the sum of its words' vectors, so
that words are found by orthogonal matching pursuit (Pati, Rezaiifar and Krishnaprasad 1993): take the word nearest to
what is left, fit all words taken so far by least squares, go on. Words are claimed only when they explain the vector.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from tiered_memory import Interaction, TieredMemory
from tiered_memory.config import load_settings
from tiered_memory.embedding.static_embedder import StaticEmbedder

Matrix = NDArray[np.float32]
MOST_WORDS = 24
UNEXPLAINED = 0.05
"""Share of a vector's length that may be left over when its words are claimed."""
LEAST_WEIGHT = 0.3
WINDOWS = 200
PURPOSE = "personalization"

SUBJECTS = ("my sister", "the surgeon", "our landlord", "a neighbour", "the auditor", "his daughter")
VERBS = ("visited", "postponed", "described", "regretted", "financed", "remembered")
OBJECTS = (
    "the divorce hearing in Lisbon", "insulin and a new pump", "the mortgage on the farm", "a biopsy in November",
    "the orphanage near Kyoto", "an overdue tax letter", "violin lessons for the twins", "the bankruptcy of a bakery",
    "chess with the bishop", "a passport under another name",
)  # fmt: skip
TEXTS = tuple(f"{one} {verb} {what}" for one in SUBJECTS for verb in VERBS for what in OBJECTS)


@dataclass(frozen=True, slots=True)
class Revealed:
    """Shares (0..1) of the texts' words an attacker gets back from what lies on disk.

    `rotated` is indexed mode with every vector turned by a secret orthogonal matrix, without and with pairs of text
    and vector that the attacker knows.
    """

    sealed: float
    indexed: float
    rotated: float
    rotated_known_pairs: float


class Attack:
    """Finds the words in vectors of the shipped model."""

    def __init__(self, embedder: StaticEmbedder) -> None:
        self.words = sorted(word for word in embedder.vocabulary() if word.isascii() and word.isalpha())
        self._vectors = embedder.embed_now(self.words)
        lengths = np.linalg.norm(self._vectors, axis=1, keepdims=True)
        self._directions = (self._vectors / np.maximum(lengths, 1e-9)).astype(np.float32)

    def words_in(self, vector: Matrix) -> set[str]:
        """Return the words that explain a vector of shape (dimensions,), none if none do."""
        length, left, taken = float(np.linalg.norm(vector)), vector, list[int]()
        weights = np.zeros(0, dtype=np.float32)
        while len(taken) < MOST_WORDS and float(np.linalg.norm(left)) > UNEXPLAINED * length:
            likeness = self._directions @ left
            likeness[taken] = -np.inf
            taken.append(int(np.argmax(likeness)))
            chosen = self._vectors[taken].T
            weights = np.linalg.lstsq(chosen, vector, rcond=None)[0].astype(np.float32)
            left = vector - chosen @ weights
        if not taken or float(np.linalg.norm(left)) > UNEXPLAINED * length:
            return set()
        least = LEAST_WEIGHT * float(np.median(weights))
        return {self.words[at] for at, weight in zip(taken, weights, strict=True) if weight > least}

    def share(self, vectors: Iterable[Matrix], texts: Sequence[str]) -> float:
        """Return which share of all the texts' words is found in the vectors, one of each text, in order."""
        found = wanted = 0
        for vector, text in zip(vectors, texts, strict=True):
            words = set(re.findall(r"[a-z]+", text.lower()))
            found, wanted = found + len(words & self.words_in(vector)), wanted + len(words)
        return found / wanted


def learned_rotation(plain: Matrix, turned: Matrix) -> Matrix:
    """Return the orthogonal matrix nearest to taking `plain` to `turned` (Schönemann 1966); rows are known pairs."""
    left, _, right = np.linalg.svd(plain.T @ turned)
    found: Matrix = (left @ right).astype(np.float32)
    return found


async def reveal(
    folder: Path, texts: Sequence[str] = TEXTS, *, attacked: int = 60, seed: int = 7
) -> Revealed:
    """Write the texts in both modes to stores in `folder`, attack `attacked` of them, and say what was found."""
    embedder = StaticEmbedder()
    attack, draw = Attack(embedder), np.random.default_rng(seed)
    sealed = await _values_on_disk(folder / "sealed", texts, indexed=False)
    shown = _vectors_in(await _values_on_disk(folder / "indexed", texts, indexed=True), embedder.dimensions)
    victims = [texts[at] for at in draw.choice(len(texts), attacked, replace=False)]
    plain = [nearest(shown, vector) for vector in embedder.embed_now(victims)] if len(shown) else []
    secret = np.linalg.qr(draw.normal(size=(embedder.dimensions,) * 2))[0].astype(np.float32)
    known = [text for text in texts if text not in set(victims)]
    pairs = embedder.embed_now(known)
    undone = learned_rotation(pairs, pairs @ secret)
    turned = [(one @ secret).astype(np.float32) for one in plain]
    return Revealed(
        sealed=_share_of_words_in(attack, _windows(sealed, embedder.dimensions), texts),
        indexed=attack.share(plain, victims),
        rotated=attack.share(turned, victims),
        rotated_known_pairs=attack.share([one @ undone.T for one in turned], victims),
    )


def nearest(shown: Matrix, vector: Matrix) -> Matrix:
    """Return the stored vector that is a text's, to compare what the attack finds with what it should have."""
    likeness = shown @ vector / np.maximum(np.linalg.norm(shown, axis=1), 1e-9)
    found: Matrix = shown[int(np.argmax(likeness))]
    return found


def _share_of_words_in(attack: Attack, vectors: Iterable[Matrix], texts: Sequence[str]) -> float:
    wanted = {word for text in texts for word in re.findall(r"[a-z]+", text.lower())}
    found = {word for vector in vectors for word in attack.words_in(vector)}
    return len(found & wanted) / len(wanted)


def _windows(values: Sequence[bytes], dimensions: int) -> Iterator[Matrix]:
    """Read what is stored as vectors wherever one might begin, in the middle of each value and at its end."""
    long = [value for value in values if len(value) >= 4 * dimensions]
    for value in long[:WINDOWS]:
        for at in (0, (len(value) - 4 * dimensions) // 2, len(value) - 4 * dimensions):
            read = np.frombuffer(value, np.float32, dimensions, at)
            if np.isfinite(read).all() and float(np.abs(read).max()) < 1e18:
                yield read
        ints = np.frombuffer(value[-dimensions:], np.int8).astype(np.float32)
        yield ints


def _vectors_in(values: Sequence[bytes], dimensions: int) -> Matrix:
    found = [np.frombuffer(one, np.float32) for one in values if len(one) == 4 * dimensions]
    return np.array(found, dtype=np.float32)


async def _values_on_disk(data: Path, texts: Sequence[str], *, indexed: bool) -> list[bytes]:
    """Store the texts, and return every value of every column of the cold tables as LanceDB decodes it."""
    settings = load_settings(
        data_dir=data, redis_url="local", background=False, indexed_above_memories=0 if indexed else None
    )
    async with TieredMemory.open(settings) as memory:
        user = memory.user("victim")
        await user.consent.grant(PURPOSE, notice="n1")
        await user.add_many([Interaction(content=text, importance=0.9) for text in texts])
        await memory.drain()
        await user.search("who was it?", limit=1)
    return list(_cold_values(data / "cold"))


def _cold_values(cold: Path) -> Iterator[bytes]:
    import lancedb

    connection = lancedb.connect(str(cold))
    for path in cold.glob("*.lance"):
        for column in connection.open_table(path.stem).to_arrow().columns:
            for value in column.to_pylist():
                if isinstance(value, bytes):
                    yield value
                elif isinstance(value, list):
                    yield np.asarray(value, dtype=np.float32).tobytes()


def lines(found: Revealed) -> list[str]:
    """Return one line a mode, for people."""
    return [f"{name.replace('_', ' ')}: {share:.1%} of the words" for name, share in asdict(found).items()]
