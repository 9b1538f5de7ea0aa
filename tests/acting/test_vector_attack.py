"""What each way of keeping vectors reveals, by an attack on what lies on disk; the figures are printed."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.vector_attack import Attack, Revealed, learned_rotation, lines, reveal
from tiered_memory.embedding.static_embedder import StaticEmbedder

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def attack() -> Attack:
    return Attack(StaticEmbedder())


@pytest.fixture(scope="module")
async def revealed(tmp_path_factory: pytest.TempPathFactory) -> Revealed:
    return await reveal(tmp_path_factory.mktemp("attacked"), attacked=30)


async def test_sealed_vectors_reveal_no_word(revealed: Revealed) -> None:
    print("\n".join(lines(revealed)))  # noqa: T201 - the figures are what this test is for
    assert revealed.sealed == 0.0


async def test_indexed_mode_gives_most_words_back(revealed: Revealed) -> None:
    """It is opt-in and says so; a change that makes this fall is a change of what may be promised."""
    assert revealed.indexed > 0.5


async def test_a_keyed_rotation_is_no_encryption(revealed: Revealed) -> None:
    """Without known pairs the attack finds nothing; with as many as the vector has components, everything again."""
    assert revealed.rotated < 0.02
    assert revealed.rotated_known_pairs > 0.95 * revealed.indexed


def test_few_known_pairs_undo_a_rotation_in_part(attack: Attack) -> None:
    embedder, draw = StaticEmbedder(), np.random.default_rng(3)
    texts = [" ".join(draw.choice(attack.words, 6)) for _ in range(300)]
    vectors = embedder.embed_now(texts)
    secret = np.linalg.qr(draw.normal(size=(vectors.shape[1],) * 2))[0].astype(np.float32)
    shares = []
    for known in (0, 128, 290):
        undo = learned_rotation(vectors[:known], vectors[:known] @ secret) if known else np.eye(len(secret))
        shares.append(attack.share(vectors[290:] @ secret @ undo.astype(np.float32).T, texts[290:]))
    print(f"words from rotated vectors with 0, 128 and 290 known pairs: {shares}")  # noqa: T201
    assert shares[0] == 0.0
    assert shares[2] > 0.9


def test_chance_is_not_taken_for_words(attack: Attack) -> None:
    noise = np.random.default_rng(5).normal(size=(50, 256)).astype(np.float32)
    assert [attack.words_in(vector) for vector in noise] == [set()] * 50
    assert attack.words_in(np.zeros(256, dtype=np.float32)) == set()


def test_the_attack_finds_what_is_in_a_vector(attack: Attack) -> None:
    (vector,) = StaticEmbedder().embed_now(["the surgeon postponed an operation in november"])
    assert {"surgeon", "postponed", "november"} <= attack.words_in(vector)
